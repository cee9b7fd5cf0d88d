"""RMI where Σ_P is singular: fewer regions than dimensions, against fifty-digit arithmetic.

In float64 the inverse-and-subtract form of the paper loses up to every digit of the gradient here,
so the reference is the closed form of the gradient, -(1/dn) Aᵀ (M + ξ)⁻¹ (Y - A P), in mpmath.
"""

from dataclasses import replace

import mpmath
import pytest
import torch

from losses.region.term import RegionTerm, build_region
from losses.rmi import FORMULATIONS


def exact_value_and_gradient(probs, truth, side, *, normalised, ridge):
    """Return -I_l of one map, and its gradient by each probability."""
    d = side * side
    corners = [
        (i, j) for i in range(probs.shape[0] - side + 1) for j in range(probs.shape[1] - side + 1)
    ]
    n = len(corners)

    def centred(maps):
        regions = [maps[i : i + side, j : j + side].flatten().tolist() for i, j in corners]
        points = mpmath.matrix(regions).T
        for row in range(d):
            mean = mpmath.fsum(points[row, column] for column in range(n)) / n
            for column in range(n):
                points[row, column] -= mean
        return points

    p, y = centred(probs), centred(truth)
    scale = n if normalised else 1
    ridge = mpmath.mpf(ridge) * mpmath.eye(d)
    regression = y * p.T / scale * mpmath.inverse(p * p.T / scale + ridge)
    m = y * y.T / scale - regression * (p * y.T / scale) + ridge
    by_point = -regression.T * mpmath.inverse(m) * (y - regression * p) / (d * scale)
    gradient = torch.zeros_like(probs)
    for column, (i, j) in enumerate(corners):
        for row in range(d):
            gradient[i + row // side, j + row % side] += float(by_point[row, column])
    return float(mpmath.log(mpmath.det(m)) / (2 * d)), gradient


@pytest.mark.parametrize("formulation", ["authors", "paper"])
@pytest.mark.parametrize("noise", [1e-3, 0.3])
@pytest.mark.parametrize(("height", "width", "side"), [(3, 4, 2), (4, 5, 3), (5, 5, 3)])
def test_fewer_regions_than_dimensions(formulation, noise, height, width, side):
    g = torch.Generator().manual_seed(height + width)
    truth = (torch.rand(1, height, width, generator=g, dtype=torch.float64) > 0.5).double()
    other = torch.rand(1, height, width, generator=g, dtype=torch.float64)
    probs = ((1 - noise) * truth + noise * other).requires_grad_()
    # Without the 1e-8 of the published code, which the other reference holds.
    constants = replace(FORMULATIONS[formulation], log_offset=0.0)

    region = build_region("square", side, radial_decay=0.0)
    value = RegionTerm.apply(probs, truth, None, region, constants)
    (gradient,) = torch.autograd.grad(value.sum(), probs)
    with mpmath.workdps(50):
        expected, reference = exact_value_and_gradient(
            probs[0].detach(),
            truth[0],
            side,
            normalised=constants.normalised,
            ridge=constants.ridge,
        )
    assert value.item() == pytest.approx(expected, rel=1e-9)
    assert (gradient[0] - reference).abs().max() < 1e-6 * reference.abs().max()

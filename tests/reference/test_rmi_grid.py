"""RMI against plain autograd transcriptions, in float64, over a grid of 720 cases.

The value is held against the paper's equations, the gradient against the same ones written with the
residual of the regression: in two of the cases the inverse and the subtraction lose ten digits of
the gradient. The worst of them is held against fifty-digit arithmetic, too.
"""

import itertools

import mpmath
import pytest
import torch
from residual_rmi import residual_rmi_terms
from test_rmi_singular import exact_value_and_gradient

from bench.perf.plain_rmi import plain_rmi_terms
from losses import RMILoss
from losses.region.term import RegionTerm, build_region
from losses.rmi import FORMULATIONS

IGNORED = 255
ILL_CONDITIONED = "paper-avg-1-2-drop-12-12-21-confident-False"


def batch(case: int, height: int, width: int, classes: int, regime: str, with_ignored: bool):
    """Return float64 logits and labels of two images: blocks of up to four classes."""
    g = torch.Generator().manual_seed(case)
    coarse = torch.randint(0, min(classes, 4), (2, height // 3 + 1, width // 3 + 1), generator=g)
    target = coarse.repeat_interleave(3, 1).repeat_interleave(3, 2)[:, :height, :width].clone()
    onehot = torch.stack([(target == k).double() for k in range(classes)], dim=1)
    gain, noise = {
        "loose": (2.0, 1.0),
        "confident": (16.0, 1.0),
        "perfect": (16.0, 0.0),
        "saturated": (80.0, 0.0),
    }[regime]
    logits = gain * (onehot - 0.5)
    logits += noise * torch.randn(onehot.shape, generator=g, dtype=torch.float64)
    if regime == "saturated":  # and in places wrong
        logits[torch.rand(logits.shape, generator=g) < 0.02] *= -1
    if with_ignored:
        target[0, : height // 8] = IGNORED
        target[1, height // 2, width // 2 :] = IGNORED
    return logits, target


def cases():
    """Every formulation, pooling, factor and region size with each regime; the rest takes turns."""
    grid = itertools.product(
        ("authors", "paper"),
        ("avg", "max", "interp"),
        range(1, 7),
        range(1, 6),
        ("loose", "confident", "perfect", "saturated"),
    )
    for case, (formulation, pooling, factor, region_size, regime) in enumerate(grid):
        options = {
            "formulation": formulation,
            "pooling": pooling,
            "downsample_factor": factor,
            "region_size": region_size,
            "ignored": ("zero", "drop")[case // 4 % 2],
        }
        data = {
            "height": (region_size + 9) * factor + case % 2,
            "width": (region_size + 10) * factor + case // 2 % 2,
            "classes": (2, 4, 12, 21)[case // 4 % 4],
            "regime": regime,
            "with_ignored": case // 8 % 3 > 0,
        }
        name = "-".join(str(value) for value in (*options.values(), *data.values()))
        yield pytest.param(case, options, data, id=name)


CASES = {case.id: case for case in cases()}


@pytest.mark.parametrize(("case", "options", "data"), CASES.values())
def test_value_and_gradient_equal_the_plain_transcription(case, options, data):
    logits, target = batch(case, **data)
    expected = 0.5 * sum(plain_rmi_terms(logits, target, **options))
    actual = logits.clone().requires_grad_()
    value = RMILoss(**options)(actual, target)
    assert (value - expected).abs() <= 1e-6 * expected.abs()

    plain = logits.clone().requires_grad_()
    total = 0.5 * sum(residual_rmi_terms(plain, target, **options))
    (gradient,) = torch.autograd.grad(value, actual)
    (reference,) = torch.autograd.grad(total, plain)
    # The regression magnifies a rounding by κ(Σ_P), the residual by √(‖Σ_Y‖·‖M⁻¹‖), together by at
    # most 4e8 on this grid; that is 4e-8 for each of the d ≤ 25 terms of a sum.
    assert (gradient - reference).abs().max() <= 1e-6 * reference.abs().max()


@pytest.mark.parametrize("image", [0, 1])
def test_where_the_transcription_loses_digits_fifty_are_enough(image):
    case, options, data = CASES[ILL_CONDITIONED].values
    logits, target = batch(case, **data)
    probs = logits[image, :1].sigmoid().requires_grad_()
    truth = (target[image : image + 1] == 0).double()
    region = build_region("square", options["region_size"], radial_decay=0.0)
    value = RegionTerm.apply(probs, truth, None, region, FORMULATIONS["paper"])
    (gradient,) = torch.autograd.grad(value.sum(), probs)
    with mpmath.workdps(50):
        expected, reference = exact_value_and_gradient(
            probs[0].detach(), truth[0], region.height, normalised=True, ridge=1e-6
        )
    assert value.item() == pytest.approx(expected, rel=1e-9)
    assert (gradient[0] - reference).abs().max() < 1e-8 * reference.abs().max()

"""RMI's plain transcription where it needs all its digits: by a residual instead of an inverse.

Pooling, regions and the pixel term are those of `bench.perf.plain_rmi`; autograd does the rest.
"""

import torch
from torch import Tensor

from bench.perf.plain_rmi import (
    centred_points,
    half_log_det,
    pixel_term_and_maps,
    region_weights,
)


def residual_rmi_terms(
    logits: Tensor,
    target: Tensor,
    *,
    region_size: int,
    downsample_factor: int,
    pooling: str,
    formulation: str,
    ignored: str,
) -> tuple[Tensor, Tensor]:
    """Return the sigmoid cross entropy and the region term, unweighted."""
    authors = formulation == "authors"
    pixel, probs, truth, holes = pixel_term_and_maps(
        logits, target, downsample_factor, pooling, authors, ignored
    )
    weight = None if holes is None else region_weights(holes, region_size)
    region = residual_values(probs, truth, region_size, authors, weight)
    return pixel, region.sum(1).mean()


def residual_values(
    probs: Tensor, truth: Tensor, side: int, authors: bool, weight: Tensor | None
) -> Tensor:
    """Return -I_l of each image and class by the regression A = Σ_YP (Σ_P + ξ)⁻¹ and its residual.

    M + ξ = (Y - A P)(Y - A P)ᵀ + ξ A Aᵀ + ξ is a sum of squares. Σ_Y - A Σ_PY is a difference that
    loses the digits in which both agree, and autograd loses them once more.
    """
    p, y, count = centred_points(probs, truth, side, weight)
    scale = 1.0 if authors else 1 / count
    ridge = (5e-4 if authors else 1e-6) * torch.eye(side * side, dtype=p.dtype, device=p.device)
    factor = torch.linalg.cholesky(p @ p.mT * scale + ridge)
    a = torch.cholesky_solve(p @ y.mT * scale, factor).mT
    residual = y - a @ p
    m = residual @ residual.mT * scale + a @ ridge @ a.mT + ridge
    return half_log_det(m, authors)

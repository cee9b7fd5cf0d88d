"""RMI transcribed from the paper's equations: whole tensors, gradients by autograd.

The baseline of the benchmark, and a second way to every value: one-hot labels, all R² shifted
copies of both maps, an explicit inverse, a subtraction. Pixel-wise work has the dtype of the
logits, covariances are float64. `test_rmi_literal` checks losses.rmi against loops over regions.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = 255


def plain_rmi_terms(
    logits: Tensor,
    target: Tensor,
    *,
    region_size: int = 3,
    downsample_factor: int = 4,
    pooling: str = "avg",
    formulation: str = "authors",
    ignored: str = "zero",
) -> tuple[Tensor, Tensor]:
    """Return the sigmoid cross entropy and the region term (eq. 14 to 16), unweighted."""
    authors = formulation == "authors"
    pixel, probs, truth, holes = pixel_term_and_maps(
        logits, target, downsample_factor, pooling, authors, ignored
    )
    weight = None if holes is None else region_weights(holes, region_size)
    region = region_values(probs, truth, region_size, authors, weight)
    return pixel, region.sum(1).mean()


def pixel_term_and_maps(
    logits: Tensor, target: Tensor, factor: int, pooling: str, authors: bool, ignored: str
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Return the sigmoid cross entropy, the downsampled probabilities and truth, and the holes.

    The holes are above 0 where an ignored pixel contributes; None unless ``ignored`` is "drop".
    """
    labelled = (target != IGNORED).unsqueeze(1).to(logits.dtype)
    onehot = F.one_hot(target.masked_fill(target == IGNORED, 0), logits.shape[1])
    truth = onehot.permute(0, 3, 1, 2).to(logits.dtype) * labelled

    pixel = F.binary_cross_entropy_with_logits(logits, truth, weight=labelled, reduction="sum")
    pixel = pixel / (labelled.sum() + 1)

    probs = logits.sigmoid() * labelled + (1e-6 if authors else 0.0)
    pad = factor // 2 if authors and factor > 1 else 0
    holes = None
    if ignored == "drop":
        mixed, picked = downsample(1 - labelled, 1 - labelled, factor, pooling, pad)
        holes = mixed + picked
    return pixel, *downsample(probs, truth, factor, pooling, pad), holes


def region_weights(holes: Tensor, side: int) -> Tensor:
    """Return 1 for each region without an ignored pixel, and 0 for the others."""
    return 1 - shifted_copies((holes > 0).double(), side).amax(2)


def downsample(
    probs: Tensor, truth: Tensor, factor: int, pooling: str, pad: int
) -> tuple[Tensor, Tensor]:
    """Return both maps at 1 / ``factor`` of their size, by the pooling of that name."""
    if factor == 1:
        return probs, truth
    if pooling == "avg":
        return F.avg_pool2d(probs, factor, padding=pad), F.avg_pool2d(truth, factor, padding=pad)
    if pooling == "max":
        return F.max_pool2d(probs, factor, padding=pad), F.max_pool2d(truth, factor, padding=pad)
    size = [length // factor for length in probs.shape[-2:]]
    return (
        F.interpolate(probs, size, mode="bilinear", align_corners=True),
        F.interpolate(truth, size, mode="nearest"),
    )


def shifted_copies(maps: Tensor, side: int) -> Tensor:
    """Return [b, c, R², n]: the value of each pixel of a region, for every region."""
    height, width = maps.shape[-2] - side + 1, maps.shape[-1] - side + 1
    copies = [maps[:, :, i : i + height, j : j + width] for i in range(side) for j in range(side)]
    return torch.stack(copies, dim=2).flatten(3)


def centred_points(
    probs: Tensor, truth: Tensor, side: int, weight: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the points of both maps minus their means, and the number of points."""
    p, y = (shifted_copies(maps, side).double() for maps in (probs, truth))
    if weight is None:
        count = torch.full((1, 1, 1, 1), p.shape[-1], dtype=torch.float64, device=p.device)
        p, y = (points - points.mean(-1, keepdim=True) for points in (p, y))
    else:
        weight = weight.unsqueeze(2)
        count = weight.sum(-1, keepdim=True).clamp(min=1)
        p, y = (
            (points - (points * weight).sum(-1, keepdim=True) / count) * weight for points in (p, y)
        )
    return p, y, count


def region_values(
    probs: Tensor, truth: Tensor, side: int, authors: bool, weight: Tensor | None
) -> Tensor:
    """Return -I_l of each image and class."""
    p, y, count = centred_points(probs, truth, side, weight)
    scale = 1.0 if authors else 1 / count
    ridge = (5e-4 if authors else 1e-6) * torch.eye(side * side, dtype=p.dtype, device=p.device)
    cov_y, cov_p, cov_yp = y @ y.mT * scale, p @ p.mT * scale, y @ p.mT * scale
    m = cov_y - cov_yp @ torch.inverse(cov_p + ridge) @ cov_yp.mT + ridge
    return half_log_det(m, authors)


def half_log_det(m: Tensor, authors: bool) -> Tensor:
    """Return ½ log det M per dimension."""
    diagonal = torch.linalg.cholesky(m).diagonal(dim1=-2, dim2=-1)
    return (diagonal + (1e-8 if authors else 0.0)).log().sum(-1) / m.shape[-1]

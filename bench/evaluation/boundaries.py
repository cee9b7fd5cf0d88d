"""Where a label map changes, and the pixel counts around it: Boundary IoU and trimaps.

Distances are those of a chessboard (a pixel's eight neighbours are 1 away), as in the published
code of Boundary IoU. Runs on the device that holds the labels; all counts are exact.

Cheng, Girshick, Dollár, Berg, Kirillov, "Boundary IoU" (2021); Kohli, Ladický, Torr, "Robust higher
order potentials" (2009), which scores in trimaps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from bench.iou import IGNORED, TRIMAP_WIDTHS

BOUNDARY_SHARE = 0.02
"""Width of Boundary IoU's bands as a share of the image's diagonal (Cheng et al. 2021, 5.3)."""


@dataclass(frozen=True)
class ImageCounts:
    """Pixel counts of one image with k classes, m of them objects: all that its scores need."""

    confusion: Int64[Tensor, "k k"]
    """[truth, prediction] over pixels whose truth is a class."""
    trimap: Int64[Tensor, "widths k k"]
    """The same within each of TRIMAP_WIDTHS, over pixels whose truth is an object."""
    intersection: Int64[Tensor, " m"]
    """Per object: pixels in the bands of both masks, Boundary IoU's numerator."""
    union: Int64[Tensor, " m"]
    """Per object: pixels in the band of either mask."""


def boundary_width(height: int, width: int) -> int:
    """How far inside a mask Boundary IoU's band reaches, in pixels; at least 1."""
    return max(1, round(BOUNDARY_SHARE * math.hypot(height, width)))


def image_counts(
    prediction: UInt8[Tensor, "h w"],
    target: UInt8[Tensor, "h w"],
    num_classes: int,
    num_objects: int,
) -> ImageCounts:
    """Count one image. Classes from ``num_objects`` on are void: no border measure scores there.

    Where the truth is void or ignored, the prediction is cut out as well, and the edge of the cut
    is a border of both maps. So is the image's frame for Boundary IoU, but not for trimaps.
    """
    k, m = num_classes, num_objects
    truth, shown = (labels.where(target < m, IGNORED) for labels in (target, prediction))
    bands = near_border(torch.stack([truth, shown]), boundary_width(*target.shape), frame=True)
    code = _ring(truth).int()
    # Targets outside the classes share one extra row that is cut off: no masked copies needed.
    rows = target.where(target < k, k)
    for part, size in ((bands[0], 2), (bands[1], 2), (rows, k + 1), (prediction, k)):
        code = code * size + part
    shape = (len(TRIMAP_WIDTHS) + 1, 2, 2, k + 1, k)
    counts = torch.bincount(code.flatten(), minlength=math.prod(shape)).view(shape)
    counts = counts[..., :k, :].cpu()

    trimap = counts.sum((1, 2)).cumsum(0)[:-1]
    trimap[:, m:] = 0
    by_band = counts[..., :m, :].sum(0)  # [in truth's band, in prediction's, truth, prediction]
    intersection = by_band[1, 1].diagonal()
    union = by_band[1].sum((0, 2)) + by_band[:, 1].sum((0, 1))[:m] - intersection
    return ImageCounts(counts.sum((0, 1, 2)), trimap, intersection, union)


def near_border(
    labels: UInt8[Tensor, "*maps h w"], width: int, *, frame: bool
) -> Bool[Tensor, "*maps h w"]:
    """Pixels with another label at most ``width`` away; with ``frame``, all is other outside."""
    highest, lowest = _spread(torch.stack([labels, 255 - labels]), width, outside=255 * frame)
    return highest != 255 - lowest


def _ring(labels: UInt8[Tensor, "h w"]) -> UInt8[Tensor, "h w"]:
    """How many of TRIMAP_WIDTHS are too narrow to hold each pixel."""
    extremes, reached = torch.stack([labels, 255 - labels]), 0
    ring = torch.zeros_like(labels)
    for width in TRIMAP_WIDTHS:
        extremes = _spread(extremes, width - reached, outside=0)
        ring += extremes[0] == 255 - extremes[1]
        reached = width
    return ring


def _spread(
    values: UInt8[Tensor, "*maps h w"], radius: int, *, outside: int
) -> UInt8[Tensor, "*maps h w"]:
    """The highest value of the square of ``radius`` around each pixel."""
    values = F.pad(values, [radius] * 4, value=outside)
    for dim in (-2, -1):
        covered = 1
        while covered < 2 * radius + 1:
            step = min(covered, 2 * radius + 1 - covered)
            length = values.shape[dim] - step
            values = torch.maximum(values.narrow(dim, 0, length), values.narrow(dim, step, length))
            covered += step
    return values

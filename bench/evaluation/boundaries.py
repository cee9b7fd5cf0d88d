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
class BoundaryCounts:
    """The pixel counts that score one image with k classes, m of which are objects."""

    confusion: Int64[Tensor, "k k"]
    """[truth, prediction] over pixels whose truth is a class."""
    trimap: Int64[Tensor, "widths k k"]
    """The same within each of TRIMAP_WIDTHS, over pixels whose truth is an object."""
    intersection: Int64[Tensor, " m"]
    """Per object: pixels in the bands of both masks, Boundary IoU's numerator."""
    union: Int64[Tensor, " m"]
    """Per object: pixels in the band of either mask."""


def boundary_width(height: int, width: int) -> int:
    """Return how far inside a mask Boundary IoU's band reaches, in pixels; at least 1."""
    return max(1, round(BOUNDARY_SHARE * math.hypot(height, width)))


def count_pixels(
    prediction: UInt8[Tensor, "h w"],
    target: UInt8[Tensor, "h w"],
    num_classes: int,
    num_objects: int,
) -> BoundaryCounts:
    """Return the pixel counts of one image.

    Where the truth is void or ignored, the prediction is cut out as well, and the edge of the cut
    is a border of both maps. The image's frame is a border for Boundary IoU, but not for trimaps.

    Args:
        prediction: Predicted classes.
        target: True classes; labels from ``num_classes`` on are ignored.
        num_classes: Number of classes, objects and void.
        num_objects: Number of classes, the first ones, that are objects; the others are void, and
            no border measure scores there.
    """
    k, m = num_classes, num_objects
    truth, shown = (labels.where(target < m, IGNORED) for labels in (target, prediction))
    bands = near_border(torch.stack([truth, shown]), boundary_width(*target.shape), frame=True)
    code = _ring(truth).int()
    # Targets outside the classes share one extra row, which is cut off: cheaper than a mask.
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
    return BoundaryCounts(counts.sum((0, 1, 2)), trimap, intersection, union)


def near_border(
    labels: UInt8[Tensor, "*maps h w"], width: int, *, frame: bool
) -> Bool[Tensor, "*maps h w"]:
    """Return which pixels have another label at most ``width`` pixels away.

    Args:
        labels: Label maps.
        width: Distance in pixels.
        frame: Whether the outside of the image counts as another label.
    """
    outside = 255 if frame else 0
    highest, lowest = _spread(torch.stack([labels, 255 - labels]), width, outside=outside)
    return highest != 255 - lowest


def _ring(labels: UInt8[Tensor, "h w"]) -> UInt8[Tensor, "h w"]:
    """Return for each pixel how many of TRIMAP_WIDTHS are too narrow to hold it."""
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
    """Return the highest value in the square of ``radius`` around each pixel."""
    values = F.pad(values, [radius] * 4, value=outside)
    for dim in (-2, -1):
        covered = 1
        while covered < 2 * radius + 1:
            step = min(covered, 2 * radius + 1 - covered)
            length = values.shape[dim] - step
            values = torch.maximum(values.narrow(dim, 0, length), values.narrow(dim, step, length))
            covered += step
    return values

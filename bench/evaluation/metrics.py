"""Pixel counts of an evaluation, and the scores of the whole data set computed from them.

Border measures are Boundary IoU and trimaps. Distances are those of a chessboard (a pixel's eight
neighbours are 1 away), as in the published code of Boundary IoU. Images are counted on the device
that holds the labels; all counts are exact.

Cheng, Girshick, Dollár, Berg, Kirillov, "Boundary IoU" (2021); Kohli, Ladický, Torr, "Robust higher
order potentials" (2009), which scores in trimaps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import eq
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from bench.data.dataset import SegmentationDataset
from bench.files import write_whole
from bench.iou import BORDER_METRICS, IGNORED, TRIMAP_WIDTHS, class_iou, iou_of, mean_known
from bench.runs.rundir import RunDir

BOUNDARY_SHARE = 0.02
"""Width of Boundary IoU's bands as a share of the image's diagonal (Cheng et al. 2021, 5.3)."""


def confusion_matrix(
    prediction: Int64[Tensor, "*shape"], target: Int64[Tensor, "*shape"], num_classes: int
) -> Int64[Tensor, "k k"]:
    """Return pixel counts [truth, prediction] over the pixels whose target is a class."""
    # Targets outside the classes share one extra row, which is cut off: cheaper than a mask.
    row = target.where((target >= 0) & (target < num_classes), num_classes)
    counts = torch.bincount(
        (row * num_classes + prediction).flatten(), minlength=(num_classes + 1) * num_classes
    )
    return counts.view(num_classes + 1, num_classes)[:num_classes]


class PixelCounts:
    """The pixel counts of each image of a split, and the scores of all images together."""

    def __init__(self, dataset: SegmentationDataset) -> None:
        self.dataset = dataset
        self.per_image: list[BoundaryCounts] = []

    def add(self, prediction: UInt8[Tensor, "h w"], target: UInt8[Tensor, "h w"]) -> None:
        """Count one image: predicted and true classes, 255 where ignored."""
        classes = len(self.dataset.class_names)
        target = target.to(prediction.device)
        self.per_image.append(count_pixels(prediction, target, classes, self.dataset.num_objects))

    def class_iou(self) -> Float64[np.ndarray, " k"]:
        """Return IoU per class over all images; NaN for a class neither true nor predicted."""
        return class_iou(self._stacked(lambda image: image.confusion).sum(0))

    def scores(self) -> dict[str, float]:
        """Return the data set's own metrics, BORDER_METRICS and thin_miou, in [0, 1] or NaN.

        Border and thin metrics are means over objects, from pixels whose truth is an object.
        """
        confusion = self._stacked(lambda image: image.confusion).sum(0)
        intersection = self._stacked(lambda image: image.intersection).sum(0)
        union = self._stacked(lambda image: image.union).sum(0)
        boundary = iou_of(intersection, union)
        trimaps = self._stacked(lambda image: image.trimap).sum(0)
        scores = self.dataset.scores(confusion)
        values = [mean_known(boundary), *(self._object_miou(trimap) for trimap in trimaps)]
        scores |= dict(zip(BORDER_METRICS, values, strict=True))
        if thin := self.dataset.thin_classes:
            scores["thin_miou"] = self._object_miou(confusion, thin)
        return scores

    def write(self, directory: RunDir, groups: Mapping[str, str]) -> None:
        """Write the counts of every image to the run directory.

        Args:
            directory: Where the run leaves its files.
            groups: The group of each image by its id, in the order of the counts.
        """
        names = np.array(list(groups))
        # Images that stand alone need no groups.
        alone = all(map(eq, groups, groups.values()))
        grouped: dict[str, Any] = {} if alone else {"groups": np.array([*groups.values()])}
        matrices = self._stacked(lambda image: image.confusion).astype(np.int32)
        trimap = self._stacked(lambda image: image.trimap).astype(np.int32)
        intersection = self._stacked(lambda image: image.intersection).astype(np.int32)
        union = self._stacked(lambda image: image.union).astype(np.int32)
        write_whole(
            directory.confusion,
            lambda path: np.savez_compressed(path, ids=names, matrices=matrices, **grouped),
        )
        write_whole(
            directory.boundaries,
            lambda path: np.savez_compressed(
                path,
                ids=names,
                widths=np.array(TRIMAP_WIDTHS),
                trimap=trimap,
                boundary_share=np.array(BOUNDARY_SHARE),
                intersection=intersection,
                union=union,
            ),
        )

    def _stacked(self, part: Callable[[BoundaryCounts], Tensor]) -> Int64[np.ndarray, "n ..."]:
        return torch.stack([part(image) for image in self.per_image]).numpy()

    def _object_miou(
        self, matrix: Int64[np.ndarray, "k k"], names: Sequence[str] | None = None
    ) -> float:
        """Return the mean IoU of objects (those called ``names``) where the truth is an object."""
        count = self.dataset.num_objects
        matrix = matrix.copy()
        matrix[count:] = 0
        iou = class_iou(matrix)[:count]
        if names is not None:
            iou = iou[[self.dataset.class_names.index(name) for name in names]]
        return mean_known(iou)


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

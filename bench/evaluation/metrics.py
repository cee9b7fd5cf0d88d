"""Pixel counts of an evaluation, and the scores of the whole data set computed from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float64, Int64, UInt8
from torch import Tensor

from bench.data.dataset import SegmentationDataset
from bench.evaluation.boundaries import BOUNDARY_SHARE, BoundaryCounts, count_pixels
from bench.files import write_whole
from bench.iou import BORDER_METRICS, TRIMAP_WIDTHS, class_iou, iou_of, mean_known
from bench.runs.rundir import RunDir


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

    def write(self, directory: RunDir, ids: Sequence[str]) -> None:
        """Write the counts of every image, called ``ids``, to the run directory."""
        names = np.array(ids)
        matrices = self._stacked(lambda image: image.confusion).astype(np.int32)
        trimap = self._stacked(lambda image: image.trimap).astype(np.int32)
        intersection = self._stacked(lambda image: image.intersection).astype(np.int32)
        union = self._stacked(lambda image: image.union).astype(np.int32)
        write_whole(
            directory.confusion,
            lambda path: np.savez_compressed(path, ids=names, matrices=matrices),
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

"""Pixel counts of an evaluation and the scores read from them, at the level of the data set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float64, Int64, UInt8
from torch import Tensor

from bench.data.dataset import SegmentationDataset
from bench.evaluation.boundaries import BOUNDARY_SHARE, ImageCounts, image_counts
from bench.files import write_whole
from bench.iou import BORDER_METRICS, TRIMAP_WIDTHS, class_iou, iou_of, mean_known
from bench.runs.rundir import RunDir


def confusion_matrix(
    prediction: Int64[Tensor, "*shape"], target: Int64[Tensor, "*shape"], num_classes: int
) -> Int64[Tensor, "k k"]:
    """Pixel counts [truth, prediction] over pixels whose target is a class; others are left out."""
    # Targets outside the classes share one extra row that is cut off: no masked copies needed.
    row = target.where((target >= 0) & (target < num_classes), num_classes)
    counts = torch.bincount(
        (row * num_classes + prediction).flatten(), minlength=(num_classes + 1) * num_classes
    )
    return counts.view(num_classes + 1, num_classes)[:num_classes]


class PixelCounts:
    """What was counted in each image of a split, and the scores of them all together."""

    def __init__(self, dataset: SegmentationDataset) -> None:
        self.dataset = dataset
        self.per_image: list[ImageCounts] = []

    def add(self, prediction: UInt8[Tensor, "h w"], target: UInt8[Tensor, "h w"]) -> None:
        """Count one image: predicted and true classes, 255 where ignored."""
        classes = len(self.dataset.class_names)
        target = target.to(prediction.device)
        self.per_image.append(image_counts(prediction, target, classes, self.dataset.num_objects))

    def class_iou(self) -> Float64[np.ndarray, " k"]:
        """IoU per class over all images; NaN where a class is neither true nor predicted."""
        return class_iou(self._images("confusion").sum(0))

    def scores(self) -> dict[str, float]:
        """The data set's own metrics, BORDER_METRICS and thin_miou, all in [0, 1] or NaN.

        Border and thin metrics are means over objects, from pixels whose truth is an object.
        """
        confusion = self._images("confusion").sum(0)
        boundary = iou_of(self._images("intersection").sum(0), self._images("union").sum(0))
        trimaps = self._images("trimap").sum(0)
        found = self.dataset.scores(confusion)
        values = [mean_known(boundary), *(self._object_miou(trimap) for trimap in trimaps)]
        found |= dict(zip(BORDER_METRICS, values, strict=True))
        if thin := self.dataset.thin_classes:
            found["thin_miou"] = self._object_miou(confusion, thin)
        return found

    def write(self, directory: RunDir, ids: Sequence[str]) -> None:
        """Leave the counts of every image in the run directory."""
        names = np.array(ids)
        confusion, trimap, intersection, union = (
            self._images(name).astype(np.int32)
            for name in ("confusion", "trimap", "intersection", "union")
        )
        write_whole(
            directory.confusion,
            lambda path: np.savez_compressed(path, ids=names, matrices=confusion),
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

    def _images(self, name: str) -> Int64[np.ndarray, "n ..."]:
        return torch.stack([getattr(counts, name) for counts in self.per_image]).numpy()

    def _object_miou(
        self, matrix: Int64[np.ndarray, "k k"], names: Sequence[str] | None = None
    ) -> float:
        """Mean IoU of objects (those called ``names``), scored where the truth is one."""
        count = self.dataset.num_objects
        matrix = matrix.copy()
        matrix[count:] = 0
        iou = class_iou(matrix)[:count]
        if names is not None:
            iou = iou[[self.dataset.class_names.index(name) for name in names]]
        return mean_known(iou)

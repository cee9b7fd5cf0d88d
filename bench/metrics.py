"""Confusion matrices and the scores read from them, at the level of the data set (as VOC)."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from bench.samples import class_iou, mean_known


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


class ConfusionMatrix:
    """Sum of confusion matrices and each image's own."""

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.per_image: list[Int64[Tensor, "k k"]] = []
        self.total = torch.zeros(num_classes, num_classes, dtype=torch.int64)

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add one image: predicted and true classes [h, w]."""
        matrix = confusion_matrix(prediction, target, self.num_classes).cpu()
        self.per_image.append(matrix)
        self.total += matrix

    def iou(self) -> Float64[np.ndarray, " k"]:
        """IoU per class over all images; NaN where a class is neither true nor predicted."""
        return class_iou(self.total.numpy())

    def mean_iou(self) -> float:
        """Mean of the classes' IoU, those without a pixel left out; NaN where none has one."""
        return mean_known(self.iou())

"""The scores of a run, computed again from its pixel counts by numpy alone."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from bench.iou import class_iou, iou_of, mean_known, pixel_accuracy
from reports.bundle.counts import Counts

MEAN = re.compile(r"miou(?:_(\d+))?")
TRIMAP = re.compile(r"trimap_miou_(\d+)")


def recounted(counts: Counts, classes: Sequence[str], thin: Sequence[str]) -> dict[str, float]:
    """Return the scores that a run's counts give, by their names in its record.

    A class is also an object if Boundary IoU's bands have a number for it.

    Args:
        counts: Of a trained run.
        classes: Names of its classes.
        thin: Names of the thin classes.
    """
    assert counts.matrices is not None
    matrix = counts.matrices.sum(0)
    objects = counts.union.shape[1]
    found = {f"class_iou.{n}": v for n, v in zip(classes, class_iou(matrix), strict=True)}
    for count in range(1, len(classes) + 1):
        found[f"metrics.miou_{count}"] = _object_miou(matrix, count)
    # Mean over all classes, counted at every pixel, whatever its truth.
    found["metrics.miou"] = mean_known(class_iou(matrix))
    found[f"metrics.miou_{len(classes)}"] = found["metrics.miou"]
    found["metrics.pixel_accuracy"] = pixel_accuracy(matrix)
    if objects:
        bands = iou_of(counts.intersection.sum(0), counts.union.sum(0))
        found["metrics.boundary_miou"] = mean_known(bands)
        for width, near in counts.trimaps.items():
            found[f"metrics.trimap_miou_{width}"] = _object_miou(near, objects)
        if thin:
            found["metrics.thin_miou"] = _object_miou(
                matrix, objects, [classes.index(c) for c in thin]
            )
    return {name: float(value) for name, value in found.items()}


def _object_miou(matrix: np.ndarray, objects: int, chosen: Sequence[int] | None = None) -> float:
    """Return the mean IoU of objects where the truth is an object."""
    labelled = matrix.copy()
    labelled[objects:] = 0
    iou = class_iou(labelled)[:objects]
    return mean_known(iou if chosen is None else iou[list(chosen)])


def imported_score(counts: Counts) -> float:
    """Return the score of an imported run: the mean over classes of their IoU, or over images."""
    return mean_known(iou_of(counts.intersection.sum(0), counts.union.sum(0)))

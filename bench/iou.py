"""Intersection over union from pixel counts, and the names of the scores. No torch here."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

HEADLINE = "miou"
"""Column key of the metric that the profile names, such as "miou_11" (``Manifest.metric``).

A study asks for "miou" on any data set; the profile says which classes the mean is over. Reports
print the metric's own name (``reports.statistics.scores.Scores.metric``); the values that a paper
prints go by their own names in reports/published.toml.
"""
IGNORED = 255
"""Label of a pixel that is neither trained on nor scored."""
TRIMAP_WIDTHS = (1, 3, 5, 10, 20)
"""Widths in pixels to either side of a border of the labels."""
BORDER_METRICS = ("boundary_miou", *(f"trimap_miou_{width}" for width in TRIMAP_WIDTHS))
"""Scores of every data set besides its own ``metric_names``."""


def class_iou(matrix: Int64[np.ndarray, "k k"]) -> Float64[np.ndarray, " k"]:
    """Return IoU per class in [0, 1]; NaN for a class that is neither true nor predicted.

    Args:
        matrix: Pixel counts [truth, prediction].
    """
    hits = np.diagonal(matrix)
    return iou_of(hits, matrix.sum(0) + matrix.sum(1) - hits)


def iou_of(
    intersection: Int64[np.ndarray, " k"], union: Int64[np.ndarray, " k"]
) -> Float64[np.ndarray, " k"]:
    """Return intersection over union; NaN for an empty union."""
    return np.divide(intersection, union, out=np.full(len(union), np.nan), where=union > 0)


def mean_known(values: Float64[np.ndarray, " k"]) -> float:
    """Return the mean of the values that are not NaN; NaN if all are."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def pixel_accuracy(matrix: Int64[np.ndarray, "k k"]) -> float:
    """Return the share of the counted pixels that are predicted correctly; NaN without any."""
    total = int(matrix.sum())
    return int(np.trace(matrix)) / total if total else float("nan")

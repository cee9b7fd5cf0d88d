"""Per-image pixel counts of a run, the scores that follow from them, and their comparison."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from bench.iou import mean_known
from reports.statistics.stats import Comparison, compare, percent


@dataclass(frozen=True, eq=False)
class ImageCounts:
    """Pixel counts of one run for each image and class."""

    ids: tuple[str, ...]
    hits: Int64[np.ndarray, "images k"]
    """Pixels of the class that were predicted as the class."""
    unions: Int64[np.ndarray, "images k"]
    """Pixels that are of the class or were predicted as it."""

    @cached_property
    def score(self) -> float:
        """The data set's mIoU in percent, as VOC defines it: all images in one matrix."""
        return percent(mean_known(self._iou))

    @cached_property
    def image_score(self) -> float:
        """Mean over images of each image's own mIoU, in percent."""
        return percent(mean_known(self.of_images))

    @cached_property
    def influence(self) -> Float64[np.ndarray, " images"]:
        """How much each image moves ``score``, in percentage points times the number of images.

        This is the first term of the score's expansion (the infinitesimal jackknife); its mean is
        zero.
        """
        known = ~np.isnan(self._iou)
        pull = self.hits[:, known] - self._iou[known] * self.unions[:, known]
        return 100 * len(self.ids) * (pull / self.unions[:, known].sum(0)).mean(1)

    @cached_property
    def image_influence(self) -> Float64[np.ndarray, " images"]:
        """The same as ``influence`` for ``image_score``."""
        return percent(np.nan_to_num(self.of_images - mean_known(self.of_images)))

    @cached_property
    def of_images(self) -> Float64[np.ndarray, " images"]:
        """The mIoU of each image over the classes that it shows, in 0..1; NaN without a class."""
        shown = self.unions > 0
        total = np.nan_to_num(_ratio(self.hits, self.unions)).sum(1)
        return _ratio(total, shown.sum(1))

    @cached_property
    def _iou(self) -> Float64[np.ndarray, " k"]:
        return _ratio(self.hits.sum(0), self.unions.sum(0))


@dataclass(frozen=True)
class StudyCounts:
    """The counts of a study's finished runs."""

    runs: Mapping[str, ImageCounts] = field(default_factory=dict)
    """By run id."""
    notes: tuple[str, ...] = ()
    """Which runs have no counts, and why."""

    def shared_ids(self, run_ids: Iterable[str]) -> tuple[str, ...] | None:
        """Return the image ids that all of these runs have counts of; None where they differ."""
        ids = {self.runs[run].ids if run in self.runs else None for run in run_ids}
        return ids.pop() if len(ids) == 1 else None


def image_counts(
    ids: tuple[str, ...], matrices: Int64[np.ndarray, "images k k"], metric: str
) -> ImageCounts:
    """Return the counts of one run from its confusion matrices.

    Args:
        ids: Id of each image.
        matrices: Pixel counts [truth, prediction] of each image.
        metric: The metric of the data set. "miou_<n>" scores the pixels of the first n classes
            alone, any other name those of all classes.
    """
    given = re.search(r"_(\d+)$", metric)
    kept = min(int(given[1]), matrices.shape[-1]) if given else matrices.shape[-1]
    labelled = matrices[:, :kept, :].astype(np.int64)
    hits = np.diagonal(labelled, axis1=1, axis2=2)
    unions = labelled.sum(2) + labelled[:, :, :kept].sum(1) - hits
    return ImageCounts(ids, hits, unions)


def compare_images(
    pairs: Sequence[tuple[Mapping[int, ImageCounts], Mapping[int, ImageCounts]]],
    seeds: Sequence[int],
    by_image: bool = False,
) -> Comparison | None:
    """Return ours - theirs in mIoU, with an interval that covers other images too.

    Args:
        pairs: Counts by seed, (ours, theirs) for each pair of rows; the result is the mean over
            the pairs. All counts must be of the same images.
        seeds: The seeds to pair by; every mapping must hold them.
        by_image: Compare the mean of the images' own mIoU instead of the data set's.

    Returns:
        The comparison in percentage points; None without a seed.
    """
    if not seeds:
        return None

    def mean(value: Callable[[ImageCounts], Any], side: int, seed: int) -> Any:
        return sum(value(pair[side][seed]) for pair in pairs) / len(pairs)

    def score(counts: ImageCounts) -> float:
        return counts.image_score if by_image else counts.score

    def influence(counts: ImageCounts) -> Float64[np.ndarray, " images"]:
        return counts.image_influence if by_image else counts.influence

    ours, theirs = ({seed: mean(score, side, seed) for seed in seeds} for side in (0, 1))
    moved = [mean(influence, 0, seed) - mean(influence, 1, seed) for seed in seeds]
    return compare(ours, theirs, np.stack(moved))


def gain_by_image(ours: ImageCounts | None, base: ImageCounts | None) -> dict[str, float]:
    """Return the gain of one run over another in each image's own mIoU, lowest first.

    Args:
        ours: Counts of our run; None where it has none.
        base: Counts of the other run; None where it has none.

    Returns:
        Percentage points by image id; empty where a run has no counts, or of other images.
    """
    if ours is None or base is None or ours.ids != base.ids:
        return {}
    gains = dict(zip(ours.ids, percent(ours.of_images - base.of_images), strict=True))
    known = {image: float(gain) for image, gain in gains.items() if np.isfinite(gain)}
    return dict(sorted(known.items(), key=lambda pair: (pair[1], pair[0])))


def _ratio(hits: np.ndarray, unions: np.ndarray) -> np.ndarray:
    return np.divide(hits, unions, out=np.full(hits.shape, np.nan), where=unions > 0)

"""What a report knows of each run: its line in the runs frame, and its pixel counts per image.

The runs frame is a pandas frame with one line for each row and seed of a study. A run that never
started has a line too, with status "queued". Columns:

- label, method, seed, run_id; each setting under its own name, such as "loss.pooling";
- status, reason, role, updated (seconds since the epoch);
- mlflow_run_id, artifact_uri, result (digest of result.json);
- probed ("yes" if the run recorded how its parts behave); behaves (the parts, such as "loss", in
  which it behaves differently from the code at hand);
- final/<metric> and iou/<class>, in 0..1; cost/<cost>, in the cost's own unit;
- digest/<name>.

Scores and their comparison follow from the pixel counts of images.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64, Int64, Real

from bench.iou import mean_known
from reports.statistics.stats import Paired, paired, percent

if TYPE_CHECKING:
    import pandas as pd


def values(frame: pd.DataFrame, label: str, column: str) -> dict[int, float]:
    """Return by seed what the finished runs of row ``label`` have in ``column``, as stored."""
    if column not in frame:
        return {}
    ours = (frame["label"] == label) & (frame["status"] == "finished") & frame[column].notna()
    rows = frame.loc[ours, :]
    return {int(seed): float(v) for seed, v in zip(rows["seed"], rows[column], strict=True)}


def class_names(frame: pd.DataFrame) -> list[str]:
    """Return the names of the classes on which any run was scored."""
    return [column.removeprefix("iou/") for column in frame if column.startswith("iou/")]


@dataclass(frozen=True, eq=False)
class ImageCounts:
    """Pixel counts of one run for each image and class."""

    ids: tuple[str, ...]
    hits: Real[np.ndarray, "images k"]
    """Pixels of the class that were predicted as the class.

    Of an imported run with one score per image: that score, in the only column.
    """
    unions: Real[np.ndarray, "images k"]
    """Pixels that are of the class or were predicted as it; 1 for such a score."""
    groups: tuple[str, ...] | None = None
    """The group of each image, such as a film or a patient; None if images stand alone."""

    def of_groups(
        self, influence: Float64[np.ndarray, "n images"]
    ) -> Float64[np.ndarray, "n groups"]:
        """Return how much each group moves a score, times the number of groups.

        Args:
            influence: How much each image does, times the number of images.
        """
        if self.groups is None:
            return influence
        names, group = np.unique(self.groups, return_inverse=True)
        total = np.zeros((len(names), len(influence)))
        np.add.at(total, group, influence.T)
        return total.T * (len(names) / len(self.ids))

    @cached_property
    def of_pixels(self) -> bool:
        """Whether these are counts of pixels, not one score for each image."""
        return self.unions.shape[1] > 1 or bool((self.unions != 1).any())

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
        """The same as ``influence`` for ``image_score``; images without a class have none."""
        pull = np.nan_to_num(self.of_images - mean_known(self.of_images))
        return percent(pull * len(self.ids) / max(1, np.isfinite(self.of_images).sum()))

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

    @property
    def groups(self) -> int | None:
        """Number of groups of the images of a run; None if images stand alone."""
        known = (counts.groups for counts in self.runs.values())
        return next((len(set(groups)) for groups in known if groups is not None), None)


def image_counts(
    ids: tuple[str, ...],
    matrices: Int64[np.ndarray, "images k k"],
    metric: str,
    groups: tuple[str, ...] | None = None,
) -> ImageCounts:
    """Return the counts of one run from its confusion matrices.

    Args:
        ids: Id of each image.
        matrices: Pixel counts [truth, prediction] of each image.
        metric: The metric of the data set. "miou_<n>" scores the pixels of the first n classes
            alone, any other name those of all classes.
        groups: The group of each image; None if images stand alone.
    """
    given = re.search(r"_(\d+)$", metric)
    kept = min(int(given[1]), matrices.shape[-1]) if given else matrices.shape[-1]
    labelled = matrices[:, :kept, :].astype(np.int64)
    hits = np.diagonal(labelled, axis1=1, axis2=2)
    unions = labelled.sum(2) + labelled[:, :, :kept].sum(1) - hits
    return ImageCounts(ids, hits, unions, groups)


def compare_images(
    pairs: Sequence[tuple[Mapping[int, ImageCounts], Mapping[int, ImageCounts]]],
    seeds: Sequence[int],
    by_image: bool = False,
) -> Paired | None:
    """Return ours - theirs in mIoU, with an interval that covers other images too.

    Args:
        pairs: Counts by seed, (ours, theirs) for each pair of rows; the result is the mean over
            the pairs. All counts must be of the same images.
        seeds: The seeds to pair by; every mapping must hold them.
        by_image: Compare the mean of the images' own mIoU instead of the data set's.

    Returns:
        The difference in percentage points; None without a seed.
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
    counts = pairs[0][0][seeds[0]]
    return paired(ours, theirs, counts.of_groups(np.stack(moved)))


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

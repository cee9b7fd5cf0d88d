"""What the rows of a study scored, seed by seed, and how two of them compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING

from bench.manifest import Manifest
from reports.frame import values
from reports.statistics.image_counts import ImageCounts, Images, compare_images
from reports.statistics.stats import Comparison, compare

if TYPE_CHECKING:
    import pandas as pd

BY_IMAGE = "miou_image"
"""Mean over images of each image's own mIoU: from the matrices, in no run's metrics."""


@dataclass(frozen=True, eq=False)
class Scores:
    """The numbers of one study: scores in percent, costs in their own unit."""

    manifest: Manifest
    frame: pd.DataFrame
    images: Images = field(default_factory=Images)

    @cached_property
    def image_ids(self) -> tuple[str, ...] | None:
        """The images that every finished run has matrices of; None where one has not."""
        finished = self.frame.loc[self.frame["status"] == "finished", "run_id"]
        return self.images.shared(finished)

    @property
    def imaged(self) -> bool:
        """Whether intervals speak of other images: every finished run has its matrices."""
        return self.image_ids is not None

    def runs(self, label: str) -> dict[int, str]:
        """The finished runs of a row by seed."""
        return self._column(label, "run_id")

    def links(self, label: str) -> tuple[str, ...]:
        """MLflow's ids of a row's finished runs, by seed."""
        if "mlflow_run_id" not in self.frame:
            return ()
        return tuple(self._column(label, "mlflow_run_id").values())

    def of(self, label: str, key: str) -> dict[int, float]:
        """The finished values of a row by seed; "miou" is the study's headline metric."""
        if key == BY_IMAGE:
            return {seed: counts.image_score for seed, counts in self.counts(label).items()}
        if f"cost/{key}" in self.frame:
            return values(self.frame, label, f"cost/{key}")
        name = self.metric(key)
        column = name if name.startswith("iou/") else f"final/{name}"
        return {seed: 100 * v for seed, v in values(self.frame, label, column).items()}

    def counts(self, label: str) -> dict[int, ImageCounts]:
        """The per-image counts of a row's finished runs by seed."""
        known = self.images.runs
        return {seed: known[run] for seed, run in self.runs(label).items() if run in known}

    def compare(self, label: str, other: str, key: str) -> Comparison | None:
        """How far the first row lies above the second in ``key``; None without a common seed."""
        return compare_rows((self, label), (self, other), key)

    def metric(self, key: str) -> str:
        """The name of a column's metric: the profile says which "miou" is."""
        return self.manifest.metric if key == "miou" else key

    def _column(self, label: str, column: str) -> dict[int, str]:
        mine = (self.frame["label"] == label) & (self.frame["status"] == "finished")
        rows = self.frame.loc[mine, :]
        return {int(s): str(v) for s, v in zip(rows["seed"], rows[column], strict=True)}


Row = tuple[Scores, str]


def compare_rows(ours: Row, theirs: Row, key: str) -> Comparison | None:
    """How far one row lies above another, of the same study or not."""
    return _compared([(ours, theirs)], key)


def mean_comparison(scores: Scores, pairs: Sequence[tuple[str, str]]) -> Comparison | None:
    """The mean over ``pairs`` of rows of how far the first lies above the second, by seed."""
    return _compared([((scores, a), (scores, b)) for a, b in pairs], "miou")


def _compared(pairs: Sequence[tuple[Row, Row]], key: str) -> Comparison | None:
    """Paired over the seeds that every row has; over images too where all have the same ones."""
    counts = [[scores.counts(label) for scores, label in pair] for pair in pairs]
    if key == BY_IMAGE or _on_images(pairs, key):
        seeds = set.intersection(*(set(side) for pair in counts for side in pair))
        if len({side[seed].ids for pair in counts for side in pair for seed in seeds}) == 1:
            sides = [(ours, theirs) for ours, theirs in counts]
            return compare_images(sides, sorted(seeds), key == BY_IMAGE)
    values = [[scores.of(label, key) for scores, label in pair] for pair in pairs]
    seeds = set.intersection(*(set(side) for pair in values for side in pair))
    ours, theirs = (
        {seed: fmean(pair[side][seed] for pair in values) for seed in seeds} for side in (0, 1)
    )
    return compare(ours, theirs)


def _on_images(pairs: Sequence[tuple[Row, Row]], key: str) -> bool:
    sides = [scores for pair in pairs for scores, _ in pair]
    headline = all(s.metric(key) == s.manifest.metric for s in sides)
    return headline and share_images(sides)


def share_images(studies: Sequence[Scores]) -> bool:
    """Whether gains between these studies speak of other images: all scored the same ones."""
    ids = {(scores.manifest.metric, scores.image_ids) for scores in studies}
    return len(ids) == 1 and studies[0].imaged

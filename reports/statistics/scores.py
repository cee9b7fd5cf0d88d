"""Scores of a study's rows by seed, how two rows compare, and verdicts against the paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING

from bench.iou import HEADLINE
from bench.manifest import IMPORTED, Manifest
from reports.checks import Check, checks
from reports.model import TableRow, Verdict
from reports.runs import ImageCounts, StudyCounts, compare_images, values
from reports.statistics.stats import (
    Comparison,
    Estimate,
    Paired,
    adjusted,
    paired,
    percent,
    with_test,
)
from reports.wording import metric_name, population

if TYPE_CHECKING:
    import pandas as pd

BY_IMAGE = "miou_image"
"""Mean over images of each image's own mIoU: from the matrices, not among a run's metrics."""

MIN_GROUPS = 5
"""Fewest groups of images that stand for others; with two, Student's factor would be 12.7."""


@dataclass(frozen=True, eq=False)
class Scores:
    """The numbers of one study."""

    manifest: Manifest
    frame: pd.DataFrame
    """The runs frame."""
    images: StudyCounts = field(default_factory=StudyCounts)
    """Per-image counts; without them intervals cover other seeds alone."""
    _known: dict[tuple[str, str, str], Paired | None] = field(default_factory=dict, repr=False)

    @cached_property
    def image_ids(self) -> tuple[str, ...] | None:
        """Ids of the images that every finished run has counts of; None where they differ."""
        finished = self.frame.loc[self.frame["status"] == "finished", "run_id"]
        return self.images.shared_ids(finished)

    @property
    def covers_images(self) -> bool:
        """Whether intervals of gains cover other images: every finished run has its counts.

        Images of few groups, such as two films, say nothing about other groups.
        """
        groups = self.images.groups
        return self.image_ids is not None and (groups is None or groups >= MIN_GROUPS)

    @property
    def population(self) -> str:
        """The sentence that says which other experiments the intervals of gains cover."""
        metric = self.manifest.metric
        name = metric_name(HEADLINE if metric.startswith(HEADLINE) else metric)
        return population(self.covers_images, self.images.groups, folds=self.folds, metric=name)

    @property
    def imported(self) -> bool:
        """Whether the runs were made elsewhere."""
        return self.manifest.role == IMPORTED

    @property
    def folds(self) -> bool:
        """Whether each seed holds out another fold of the images."""
        return bool(self.manifest.settings.get("data.folds"))

    @cached_property
    def checks(self) -> list[Check]:
        """A check for each digest in which runs must agree."""
        return checks(self.frame, folds=self.folds)

    @property
    def odd_checks(self) -> tuple[Check, ...]:
        """The digest checks in which some run differs."""
        return tuple(check for check in self.checks if check.odd)

    def metric(self, key: str) -> str:
        """Return the name of a column's metric: the profile's own for ``HEADLINE``."""
        return self.manifest.metric if key == HEADLINE else key

    def of(self, label: str, key: str) -> dict[int, float]:
        """Return by seed what the finished runs of a row have in a column.

        Args:
            label: The row.
            key: The column: a metric, "iou/<class>" or a cost.

        Returns:
            Scores in percent, costs in their own unit. Runs store scores in 0..1; this is where
            they become percent.
        """
        if key == BY_IMAGE:
            counts = self.counts(label).items()
            return {seed: found.image_score for seed, found in counts if found.of_pixels}
        if f"cost/{key}" in self.frame:
            return values(self.frame, label, f"cost/{key}")
        name = self.metric(key)
        column = name if name.startswith("iou/") else f"final/{name}"
        return {seed: percent(v) for seed, v in values(self.frame, label, column).items()}

    def runs(self, label: str) -> dict[int, str]:
        """Return the ids of a row's finished runs by seed."""
        return self._column(label, "run_id")

    def links(self, label: str) -> tuple[str, ...]:
        """Return MLflow's ids of a row's finished runs, by seed."""
        if "mlflow_run_id" not in self.frame:
            return ()
        return tuple(self._column(label, "mlflow_run_id").values())

    def counts(self, label: str) -> dict[int, ImageCounts]:
        """Return the per-image counts of a row's finished runs by seed."""
        known = self.images.runs
        return {seed: known[run] for seed, run in self.runs(label).items() if run in known}

    def compare(self, label: str, other: str, key: str) -> Comparison | None:
        """Return the gain of one row over another in a column; None without a common seed."""
        return with_test(self.paired(label, other, key))

    def paired(self, label: str, other: str, key: str) -> Paired | None:
        """Return the same difference without its exact test; each is computed once."""
        asked = label, other, key
        if asked not in self._known:
            self._known[asked] = _paired([((self, label), (self, other))], key)
        return self._known[asked]

    def _column(self, label: str, column: str) -> dict[int, str]:
        mine = (self.frame["label"] == label) & (self.frame["status"] == "finished")
        rows = self.frame.loc[mine, :]
        return {int(s): str(v) for s, v in zip(rows["seed"], rows[column], strict=True)}


StudyRow = tuple[Scores, str]
"""A study's scores, and the label of one of its rows."""


def compare_rows(ours: StudyRow, theirs: StudyRow, key: str) -> Comparison | None:
    """Return the gain of one row over another, of the same study or of two.

    Args:
        ours: Our study and row.
        theirs: The other study and row.
        key: The column, as in ``Scores.of``.

    Returns:
        The comparison in the column's unit, percentage points for scores; None without a common
        seed.
    """
    return with_test(_paired([(ours, theirs)], key))


def mean_comparison(scores: Scores, pairs: Sequence[tuple[str, str]]) -> Comparison | None:
    """Return the mean gain in the headline metric over pairs of rows, by seed.

    Args:
        scores: The study.
        pairs: Labels (ours, theirs).

    Returns:
        The comparison over the seeds that every row has; None without such a seed.
    """
    return with_test(_paired([((scores, a), (scores, b)) for a, b in pairs], HEADLINE))


def share_images(studies: Sequence[Scores]) -> bool:
    """Return whether gains between these studies cover other images: all scored the same ones."""
    ids = {(scores.manifest.metric, scores.image_ids) for scores in studies}
    return len(ids) == 1 and studies[0].covers_images


def _paired(pairs: Sequence[tuple[StudyRow, StudyRow]], key: str) -> Paired | None:
    """Pair by the seeds that every row has; cover other images where all runs share theirs."""
    counts = [[scores.counts(label) for scores, label in pair] for pair in pairs]
    if _on_images(pairs, key):
        seeds = set.intersection(*(set(side) for pair in counts for side in pair))
        if len({side[seed].ids for pair in counts for side in pair for seed in seeds}) == 1:
            sides = [(ours, theirs) for ours, theirs in counts]
            return compare_images(sides, sorted(seeds), key == BY_IMAGE)
    by_seed = [[scores.of(label, key) for scores, label in pair] for pair in pairs]
    seeds = set.intersection(*(set(side) for pair in by_seed for side in pair))
    ours, theirs = (
        {seed: fmean(pair[side][seed] for pair in by_seed) for seed in seeds} for side in (0, 1)
    )
    return paired(ours, theirs)


def _on_images(pairs: Sequence[tuple[StudyRow, StudyRow]], key: str) -> bool:
    studies = [scores for pair in pairs for scores, _ in pair]
    from_matrices = key == BY_IMAGE or all(s.metric(key) == s.manifest.metric for s in studies)
    return from_matrices and share_images(studies)


def score_verdict(value: Estimate, printed: float, *, same_experiment: bool) -> Verdict:
    """Return whether the interval of our score contains the printed one.

    Args:
        value: Our score in percent.
        printed: The paper's score in percent.
        same_experiment: Whether data, model and metric are the paper's; if not, nothing follows.
    """
    if not same_experiment or value.low is None or value.high is None or value.spread == "range":
        return "cannot tell"
    return "agrees" if value.low <= printed <= value.high else "differs"


def gain_verdict(found: Comparison, printed: float | None) -> Verdict | None:
    """Return whether our gain has the sign of the printed one.

    Signs compare where scales differ, so this holds for any experiment.

    Args:
        found: Our gain.
        printed: The paper's gain; None where it prints none.
    """
    if printed is None:
        return None
    above = found.gain.above_zero
    if above is None or printed == 0:
        return "cannot tell"
    return "agrees" if above == (printed > 0) else "differs"


def with_holm(rows: Sequence[TableRow]) -> list[TableRow]:
    """Return the rows with the p values of all their comparisons adjusted as one family.

    A row that the table repeats counts once.
    """
    family = {
        (row.label, i): cell.comparison
        for row in rows
        for i, cell in enumerate(row.cells)
        if cell.comparison
    }
    found = dict(zip(family, adjusted(list(family.values())), strict=True))
    return [
        replace(
            row,
            cells=tuple(
                replace(cell, comparison=found.get((row.label, i)))
                for i, cell in enumerate(row.cells)
            ),
        )
        for row in rows
    ]

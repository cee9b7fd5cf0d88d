"""The rows of a study's first table in the score that the study is about."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from bench.iou import HEADLINE
from bench.manifest import base_row, distinct_rows
from reports.statistics.pairs import Pairs, pairs
from reports.statistics.scores import Scores
from reports.wording import metric_name


@dataclass(frozen=True)
class Ranking:
    """The rows of a study's first table in the score that it is about."""

    scores: Scores
    key: str

    @property
    def base(self) -> str:
        """The row that gains are measured against."""
        return base_row(self.scores.manifest.tables[0].rows).label

    @cached_property
    def labels(self) -> list[str]:
        """Every row."""
        return [row.label for row in distinct_rows(self.scores.manifest.tables[0])]

    @cached_property
    def pairs(self) -> Pairs:
        """How every two rows differ."""
        return pairs(self.scores, self.labels, self.key)

    @property
    def reference(self) -> str:
        """The base row; without a run of it the row with the highest mean, if any has one."""
        means = self.pairs.means
        return self.base if self.base in means else next(iter(means), self.base)

    @cached_property
    def order(self) -> list[str]:
        """The rows by their gain over ``reference``, highest first; its own gain is 0.

        Rows without a seed in common with it are left out.
        """
        others = self.pairs.others(self.reference)
        gains = {label: self.pairs.difference(label, self.reference) for label in others}
        known = {label: found.gain.mean for label, found in gains.items() if found}
        # Where a row ties with the base row, it comes first: it is what the study is about.
        return sorted([*known, self.reference], key=lambda label: -known.get(label, -1e-12))

    @property
    def score(self) -> str:
        """The score's name, such as "mIoU"."""
        return metric_name(self.scores.metric(self.key))

    @property
    def missing(self) -> int:
        """Number of runs of these rows that have not finished."""
        wanted = len(self.scores.manifest.seeds)
        return sum(wanted - len(self.scores.runs(label)) for label in self.labels)


def ranking_of(scores: Scores) -> Ranking:
    """Return the rows of a study's first table in its first score, or else in its metric."""
    columns = scores.manifest.tables[0].columns
    known = (key for key in columns if f"final/{scores.metric(key)}" in scores.frame)
    return Ranking(scores, next(known, HEADLINE))

"""The numbers of a study on several profiles; docs/statistics.md explains the methods."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from bench.iou import HEADLINE
from bench.manifest import Manifest, base_row
from reports.statistics.scores import Scores
from reports.statistics.stats import LEVEL, Comparison, Estimate, estimate
from reports.wording import joined


@dataclass(frozen=True)
class Side:
    """The study on one profile."""

    scores: Scores

    @property
    def manifest(self) -> Manifest:
        """The study as it was planned."""
        return self.scores.manifest

    @property
    def profile(self) -> str:
        """Name of the profile."""
        return self.manifest.profile

    @property
    def odd(self) -> set[str]:
        """The rows with a run that was made under different conditions than its neighbours."""
        return {label for check in self.scores.odd_checks for label, _ in check.odd}

    def mean(self, label: str) -> float | None:
        """Return a row's mean score in percent; None without a finished run."""
        found = estimate(self.scores.of(label, HEADLINE).values())
        return found.mean if found else None


@dataclass(frozen=True)
class Ranks:
    """The ranks of rows over profiles, and what tests say of them."""

    profiles: int
    mean: dict[str, float]
    """Mean rank of each row, best first; 1 is the highest score of a profile."""
    statistic: float | None
    """Friedman's chi-squared; None below three rows, or where all rows tie."""
    p: float | None
    critical: float | None
    """Nemenyi's critical difference of two mean ranks; None below three rows."""

    @property
    def groups(self) -> list[tuple[str, ...]]:
        """The largest groups of rows whose mean ranks do not differ, each of two rows or more."""
        labels = list(self.mean)
        if self.critical is None:
            return []
        spans = []
        for i, first in enumerate(labels):
            near = [o for o in labels[i:] if self.mean[o] - self.mean[first] < self.critical]
            spans.append((i, i + len(near)))
        kept = [spans[0], *(b for a, b in pairwise(spans) if b[1] > a[1])]
        return [tuple(labels[start:end]) for start, end in kept if end - start > 1]


@dataclass(frozen=True)
class Separation:
    """How well a profile tells rows apart; in percentage points."""

    profile: str
    rows: int
    between: float | None
    """Standard deviation of the rows' means; None below two rows."""
    within: float | None
    """Standard deviation of a row's scores over seeds, pooled; None where no row has two seeds."""
    noise: float | None
    """The ratio that is expected if all rows tie: the root of the mean of 1 / n."""

    @property
    def ratio(self) -> float | None:
        """Between over within; None where one is unknown, or no seed differs."""
        return self.between / self.within if self.between is not None and self.within else None


def every_label(sides: Sequence[Side]) -> list[str]:
    """Return the labels of all rows that some profile has, in order of first appearance."""
    return list(dict.fromkeys(label for side in sides for label in side.manifest.rows))


def common_labels(sides: Sequence[Side]) -> list[str]:
    """Return the labels of the rows that have a finished run on every profile."""
    return [
        label for label in every_label(sides) if all(side.mean(label) is not None for side in sides)
    ]


def base_label(sides: Sequence[Side]) -> str:
    """Return the label of the row that gains are measured against: that of the first profile."""
    return base_row(sides[0].manifest.tables[0].rows).label


def gain(side: Side, label: str, base: str) -> Comparison | None:
    """Return the gain of a row on one profile; None where the two share no finished seed."""
    return side.scores.compare(label, base, HEADLINE)


def mean_gain(gains: Sequence[Comparison]) -> Estimate | None:
    """Return the mean of the gains on profiles, with Student's 95 % interval over profiles."""
    return estimate(found.gain.mean for found in gains)


def ranks(sides: Sequence[Side], labels: Sequence[str]) -> Ranks:
    """Return the ranks of rows by their mean scores, with the tests of Friedman and Nemenyi.

    J. Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets" (JMLR 7, 2006).

    Args:
        sides: The profiles, each of which counts once.
        labels: Rows that have a finished run on every profile.
    """
    import numpy as np
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    table = np.array([[side.mean(label) for label in labels] for side in sides], dtype=float)
    table = table.round(9)  # means of the same seeds in another order tie
    means = rankdata(-table, axis=1).mean(0)
    order = sorted(range(len(labels)), key=lambda i: means[i])
    k, n = len(labels), len(sides)
    statistic = p = critical = None
    if k >= 3:
        range_of_k = studentized_range.ppf(1 - LEVEL, k, np.inf)
        critical = float(range_of_k / math.sqrt(2) * math.sqrt(k * (k + 1) / (6 * n)))
        if (table != table[:, :1]).any():
            found = friedmanchisquare(*table.T)
            statistic, p = float(found.statistic), float(found.pvalue)
    return Ranks(n, {labels[i]: float(means[i]) for i in order}, statistic, p, critical)


def separation(side: Side, labels: Sequence[str]) -> Separation:
    """Return how far rows lie apart on a profile, and how far seeds of one row do.

    After F. Isensee et al., "nnU-Net Revisited" (MICCAI 2024), who judge data sets by the two.

    Args:
        side: The profile.
        labels: The rows.
    """
    rows = [list(side.scores.of(label, HEADLINE).values()) for label in labels]
    rows = [row for row in rows if row]
    freedom = sum(len(row) - 1 for row in rows)
    squares = sum(statistics.variance(row) * (len(row) - 1) for row in rows if len(row) > 1)
    means = [statistics.fmean(row) for row in rows]
    return Separation(
        profile=side.profile,
        rows=len(rows),
        between=statistics.stdev(means) if len(rows) > 1 else None,
        within=math.sqrt(squares / freedom) if freedom else None,
        noise=math.sqrt(statistics.fmean(1 / len(row) for row in rows)) if rows else None,
    )


@dataclass(frozen=True)
class Answer:
    """A study on several profiles."""

    sides: tuple[Side, ...]

    @cached_property
    def labels(self) -> list[str]:
        """The rows that some profile has."""
        return every_label(self.sides)

    @cached_property
    def common(self) -> list[str]:
        """The rows that have a finished run on every profile."""
        return common_labels(self.sides)

    @property
    def base(self) -> str:
        """The row that gains are measured against."""
        return base_label(self.sides)

    @cached_property
    def ranks(self) -> Ranks | None:
        """The ranks of the common rows; None below two of them."""
        return ranks(self.sides, self.common) if len(self.common) > 1 else None

    @cached_property
    def separations(self) -> list[Separation]:
        """How well each profile tells the common rows apart."""
        return [separation(side, self.common) for side in self.sides]

    def open(self, label: str) -> list[str]:
        """Return the rows that a row's mean over all profiles does not lie above.

        Args:
            label: A row that has finished on every profile.
        """
        found = []
        for other in self.common:
            gains = [gain(side, label, other) for side in self.sides]
            mean = mean_gain([each for each in gains if each])
            if other != label and not (mean and mean.n == len(self.sides) and mean.above_zero):
                found.append(other)
        return found

    @property
    def scale(self) -> str:
        """The profiles, for titles."""
        return f"On {joined(side.profile for side in self.sides)}"

"""How every two rows of a table differ in a column, and the marks that follow from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean

from reports.model import Column, TableRow
from reports.statistics.scores import Scores
from reports.statistics.stats import Paired


@dataclass(frozen=True)
class Pairs:
    """The rows of a table that have a number in a column, and every paired difference."""

    means: dict[str, float]
    """Mean over seeds by row, highest first."""
    differences: dict[tuple[str, str], Paired | None]
    """Of every two rows, in the order of ``means``; None where they share no seed."""

    def difference(self, ours: str, theirs: str) -> Paired | None:
        """Return ours - theirs; None where the two share no seed."""
        if (ours, theirs) in self.differences:
            return self.differences[ours, theirs]
        found = self.differences[theirs, ours]
        return found and found.other_way

    def above(self, ours: str, theirs: str) -> bool | None:
        """Return whether the interval of ours - theirs lies above (True) or below zero; or None."""
        found = self.difference(ours, theirs)
        return found.gain.above_zero if found else None

    def below(self, label: str) -> list[str]:
        """Return the rows that a row lies above."""
        return [other for other in self.others(label) if self.above(label, other)]

    def over(self, label: str) -> list[str]:
        """Return the rows that lie above a row."""
        return [other for other in self.others(label) if self.above(label, other) is False]

    def open(self, label: str) -> list[str]:
        """Return the rows from which the data do not separate a row."""
        return [other for other in self.others(label) if self.above(label, other) is None]

    def others(self, label: str) -> list[str]:
        """Return every other row, highest mean first."""
        return [other for other in self.means if other != label]

    def separated(self, labels: Iterable[str]) -> list[tuple[str, str]]:
        """Return the pairs among some rows of which the first lies above the second."""
        found = []
        for a, b in combinations([label for label in self.means if label in set(labels)], 2):
            if (above := self.above(a, b)) is not None:
                found.append((a, b) if above else (b, a))
        return found

    @property
    def told(self) -> bool:
        """Whether any two rows share two seeds, so that an interval exists."""
        return any(found and found.gain.n > 1 for found in self.differences.values())


def pairs(scores: Scores, labels: Iterable[str], key: str) -> Pairs:
    """Return how every two rows of a study differ in a column.

    Args:
        scores: The study.
        labels: The rows; those without a number are left out.
        key: The column, as in ``Scores.of``.
    """
    found = {label: scores.of(label, key).values() for label in dict.fromkeys(labels)}
    means = {label: fmean(numbers) for label, numbers in found.items() if numbers}
    order = sorted(means, key=lambda label: -means[label])
    return Pairs(
        means={label: means[label] for label in order},
        differences={(a, b): scores.paired(a, b, key) for a, b in combinations(order, 2)},
    )


def marked(scores: Scores, rows: Sequence[TableRow], columns: Sequence[Column]) -> list[TableRow]:
    """Return a table's rows with the marks of every column of scores."""
    found = list(rows)
    for i, column in score_columns(columns):
        found = mark_best(found, i, pairs(scores, [row.label for row in rows], column.key))
    return found


def mark_best(rows: Sequence[TableRow], index: int, found: Pairs) -> list[TableRow]:
    """Return the rows with the best one marked, or with those that the data do not separate.

    The best row has the highest mean and lies above every other row by its paired interval. Where
    no two rows share two seeds, nothing is marked. With missing seeds a row may lie above the
    highest mean at the seeds that both have: that row neither ties nor lets another be the best.

    Args:
        rows: The table's rows.
        index: The column's place.
        found: How the rows differ in this column.
    """
    if len(found.means) < 2 or not found.told:
        return list(rows)
    top = next(iter(found.means))
    tied = found.open(top)
    if not tied and found.over(top):
        return list(rows)
    changes = {"tied": True} if tied else {"best": True}
    return [_with(row, index, changes) if row.label in (top, *tied) else row for row in rows]


def score_columns(columns: Sequence[Column]) -> list[tuple[int, Column]]:
    """Return the columns of scores with their places."""
    return [(i, column) for i, column in enumerate(columns) if column.kind == "score"]


def _with(row: TableRow, index: int, changes: dict[str, bool]) -> TableRow:
    cells = list(row.cells)
    cells[index] = replace(cells[index], **changes)
    return replace(row, cells=tuple(cells))

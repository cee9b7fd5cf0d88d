"""What is known of cells only beside each other: the best, ties, Holm's p; and beside the paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reports.model import Column, TableRow, Verdict
from reports.statistics.scores import Scores
from reports.statistics.stats import Comparison, adjusted


def direction(found: Comparison, printed: float | None) -> Verdict | None:
    """Whether our gain has the sign of the printed one: scales differ, signs compare."""
    if printed is None:
        return None
    above = found.gain.above_zero
    if above is None or printed == 0:
        return "cannot tell"
    return "agrees" if above == (printed > 0) else "differs"


def with_holm(rows: Sequence[TableRow]) -> list[TableRow]:
    """The rows with the p of all their comparisons adjusted as one family; a repeated row once."""
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


def mark_best(rows: list[TableRow], columns: Sequence[Column], scores: Scores) -> list[TableRow]:
    """Mark the highest mean of each score where it lies above all others, else the tied rows."""
    for i, column in enumerate(columns):
        found = {r.label: r.cells[i].value for r in rows if column.kind == "score"}
        means = {label: value.mean for label, value in found.items() if value}
        if len(means) < 2:
            continue
        top = max(means, key=lambda label: means[label])
        gaps = {o: scores.compare(top, o, column.key) for o in means if o != top}
        tied = {label for label, gap in gaps.items() if not (gap and gap.gain.above_zero)}
        changes = {"tied": True} if tied else {"best": True}
        rows = [
            _with(row, i, changes) if row.label == top or row.label in tied else row for row in rows
        ]
    return rows


def _with(row: TableRow, index: int, changes: dict[str, bool]) -> TableRow:
    cells = list(row.cells)
    cells[index] = replace(cells[index], **changes)
    return replace(row, cells=tuple(cells))

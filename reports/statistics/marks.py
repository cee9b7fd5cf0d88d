"""Marks that need the whole table: best row, ties, Holm-adjusted p, verdict against the paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reports.model import Column, TableRow, Verdict
from reports.statistics.scores import Scores
from reports.statistics.stats import Comparison, Estimate, adjusted


def score_verdict(value: Estimate, printed: float, *, same_experiment: bool) -> Verdict:
    """Return whether the interval of our score contains the printed one.

    Args:
        value: Our score in percent.
        printed: The paper's score in percent.
        same_experiment: Whether data, model and metric are the paper's; if not, nothing follows.
    """
    if not same_experiment or value.low is None or value.high is None:
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


def mark_best(rows: list[TableRow], columns: Sequence[Column], scores: Scores) -> list[TableRow]:
    """Return the rows with each score's best row marked, or with the rows that tie for it.

    The best row has the highest mean and lies above every other row by its paired interval.

    Args:
        rows: The table's rows.
        columns: The table's columns, as many as a row has cells.
        scores: The study, which compares the rows.
    """
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

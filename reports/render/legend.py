"""The short line under a table: what each mark in it means, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

from reports.model import Table
from reports.render.text import VERDICTS, mean_and_interval
from reports.sentences import legend
from reports.sentences import notes as words
from reports.wording import DASH, PLUS_MINUS


def legend_of(table: Table, of_open: str = words.OPEN_GREY) -> str:
    """Return the meaning of the marks that stand in the table, in one paragraph.

    Args:
        table: The table.
        of_open: What marks a gain whose interval includes zero.
    """
    return " ".join(_sentences(table, of_open))


def _sentences(table: Table, of_open: str) -> Iterator[str]:
    cells = [
        (cell, column)
        for row in table.rows
        for cell, column in zip(row.cells, table.columns, strict=True)
    ]
    if any(PLUS_MINUS in mean_and_interval(cell, column)[1] for cell, column in cells):
        yield legend.INTERVAL
    if any(DASH in mean_and_interval(cell, column)[1] for cell, column in cells):
        yield legend.RANGE
    if any(column.kind == "gain" for column in table.columns):
        yield legend.GAINS
    if any(cell.apart is False for cell, _ in cells):
        yield of_open
    if any(cell.best for cell, _ in cells):
        yield legend.BEST
    if any(cell.missing for cell, _ in cells):
        yield legend.MISSING
    if any(cell.doubtful for cell, _ in cells):
        yield legend.DOUBTFUL
    if any(VERDICTS[cell.verdict] for cell, _ in cells if cell.verdict):
        yield legend.VERDICTS
    if any(row.reference for row in table.rows):
        yield legend.QUOTED

"""The text of one cell and of a table's notes, as every format prints them."""

from __future__ import annotations

from reports.model import Cell, Column, Table, TableRow
from reports.statistics.stats import LEVEL
from reports.wording import DAGGER, DASH, mean_and_spread

VERDICTS = {"agrees": "=", "differs": "\N{NOT EQUAL TO}", "cannot tell": ""}
"""Mark of each verdict on the published number; the commonest has none."""

VERDICTS_NOTE = (
    f"Compared with the paper: {VERDICTS['agrees']} agrees, {VERDICTS['differs']} differs, no "
    "mark: cannot tell. A score is judged by its interval, and only in the same experiment; a gain "
    "by its sign, if its interval excludes zero."
)


def mean_and_interval(cell: Cell, column: Column) -> tuple[str, str]:
    """Return a cell's main text and its interval, or "": ("52.14", "± 0.80")."""
    if cell.missing:
        return DASH, ""
    if cell.value is None:
        return cell.text or "", ""
    decimals = 1 if column.kind == "cost" else 2
    return mean_and_spread(cell.value, decimals=decimals, signed=column.kind == "gain")


def cell_text(cell: Cell, column: Column) -> str:
    """Return a cell in one line: number, interval, dagger, verdict and p value."""
    number = " ".join(filter(None, mean_and_interval(cell, column))) + dagger(cell)
    verdict = VERDICTS[cell.verdict] if cell.verdict else ""
    return " ".join(filter(None, [number, verdict, p_value(cell)]))


def dagger(cell: Cell) -> str:
    """Return the mark of a cell whose runs were made under other conditions, or ""."""
    return DAGGER if cell.doubtful else ""


def p_value(cell: Cell) -> str:
    """Return a gain's p value, "p 0.031", adjusted by Holm where the table has several.

    It is "" where the number of seeds cannot give a significant one; a note of the table says that.
    """
    test = cell.comparison
    if test is None or test.floor is None or test.floor > LEVEL:
        return ""
    p = test.p if test.p_adjusted is None else test.p_adjusted
    return "" if p is None else f"p {p:.2g}"


def notes_of(table: Table) -> list[str]:
    """Return the table's notes, with the meaning of the verdicts if it has any."""
    judged = any(cell.verdict for row in table.rows for cell in row.cells)
    return [*table.notes, VERDICTS_NOTE] if judged else list(table.notes)


def name_of(row: TableRow) -> str:
    """Return the first column, which marks the rows that are quoted from the paper."""
    return f"{row.name} (paper)" if row.reference else row.name

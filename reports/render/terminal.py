"""Tables for a terminal, and what a cell says in one line."""

from __future__ import annotations

from reports.model import Cell, Column, Table, TableRow
from reports.wording import DAGGER, DASH, LEVEL, number

BEST = "*"
VERDICTS = {"agrees": "=", "differs": "\N{NOT EQUAL TO}", "cannot tell": ""}
"""How a verdict on the published number is marked; most cannot tell, so that has no mark."""

VERDICTS_NOTE = (
    f"Against the paper: {VERDICTS['agrees']} agrees, {VERDICTS['differs']} differs, no mark: "
    "cannot tell. A score is judged by its interval, where the experiment is the same; a gain by "
    "its sign, where its interval leaves one."
)


def parts(cell: Cell, column: Column) -> tuple[str, str]:
    """A cell's main text and its interval (or ""), unescaped: ("52.14", "± 0.80")."""
    if cell.missing:
        return DASH, ""
    if cell.value is None:
        return cell.text or "", ""
    decimals = 1 if column.kind == "cost" else 2
    return number(cell.value, decimals=decimals, signed=column.kind == "gain")


def plain(cell: Cell, column: Column) -> str:
    """A cell in one line: a dagger where its runs do not match their neighbours, a verdict."""
    text = " ".join(filter(None, parts(cell, column))) + (DAGGER if cell.doubtful else "")
    mark = VERDICTS[cell.verdict] if cell.verdict else ""
    return " ".join(filter(None, [text, mark, chance(cell)]))


def chance(cell: Cell) -> str:
    """How often chance alone gives such a gain, "p 0.031", by Holm over the table where known.

    Nothing where so few seeds can prove nothing; a note of the table says that.
    """
    told = cell.comparison
    if told is None or told.floor is None or told.floor > LEVEL:
        return ""
    p = told.p if told.p_adjusted is None else told.p_adjusted
    return "" if p is None else f"p {p:.2g}"


def notes_of(table: Table) -> list[str]:
    """The table's notes, and what the marks in its cells mean."""
    judged = any(cell.verdict for row in table.rows for cell in row.cells)
    return [*table.notes, VERDICTS_NOTE] if judged else list(table.notes)


def name_of(row: TableRow) -> str:
    """The first column, which says whose number this is."""
    return f"{row.name} (paper)" if row.reference else row.name


def text(table: Table) -> str:
    """The table aligned for a terminal, with its notes; control characters are dropped."""
    lines = [["", *(column.header for column in table.columns)]]
    for row in table.rows:
        cells = zip(row.cells, table.columns, strict=True)
        lines.append([name_of(row), *(BEST * c.best + plain(c, column) for c, column in cells)])
    lines = [[one_line(field) for field in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    printed = []
    for line in lines:
        fields = [field.rjust(width) for field, width in zip(line[1:], widths[1:], strict=True)]
        printed.append("  ".join([line[0].ljust(widths[0]), *fields]).rstrip())
    printed.insert(1, "-" * max(map(len, printed)))
    notes = [one_line(note) for note in notes_of(table)]
    if any(cell.best for row in table.rows for cell in row.cells):
        notes.append(f"{BEST} printed bold elsewhere.")
    return "\n".join([one_line(table.caption), "", *printed, "", *notes]) + "\n"


def one_line(value: str) -> str:
    """The text without line breaks and control characters: safe to print to a terminal."""
    return "".join(filter(str.isprintable, " ".join(value.split())))

"""Tables for a terminal."""

from __future__ import annotations

from reports.model import Table
from reports.render.cells import cell_text, name_of, notes_of

BEST = "*"


def text(table: Table) -> str:
    """Return the table aligned for a terminal, with its notes, without control characters."""
    lines = [["", *(column.header for column in table.columns)]]
    for row in table.rows:
        cells = zip(row.cells, table.columns, strict=True)
        texts = ((BEST if cell.best else "") + cell_text(cell, column) for cell, column in cells)
        lines.append([name_of(row), *texts])
    lines = [[one_line(field) for field in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    printed = []
    for line in lines:
        fields = [field.rjust(width) for field, width in zip(line[1:], widths[1:], strict=True)]
        printed.append("  ".join([line[0].ljust(widths[0]), *fields]).rstrip())
    printed.insert(1, "-" * max(map(len, printed)))
    notes = [one_line(note) for note in notes_of(table)]
    if any(cell.best for row in table.rows for cell in row.cells):
        notes.append(f"{BEST} marks what other formats print in bold.")
    return "\n".join([one_line(table.caption), "", *printed, "", *notes]) + "\n"


def one_line(value: str) -> str:
    """Return the text without line breaks and control characters, which is safe to print."""
    return "".join(filter(str.isprintable, " ".join(value.split())))

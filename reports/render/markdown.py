"""Tables in GitHub's Markdown, which MLflow's notes also show."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reports.model import Table
from reports.render.cells import cell_text, name_of, notes_of


def markdown(table: Table) -> str:
    """Return the table with its best cells bold and its notes as a list."""
    lines = [
        _pipes(["", *(escape(column.header) for column in table.columns)]),
        _pipes([":--", *("--:" for _ in table.columns)]),
    ]
    for row in table.rows:
        cells = [
            f"**{escaped}**" if cell.best else escaped
            for cell, column in zip(row.cells, table.columns, strict=True)
            for escaped in [escape(cell_text(cell, column))]
        ]
        lines.append(_pipes([escape(name_of(row)), *cells]))
    notes = [f"- {escape(note)}" for note in notes_of(table)]
    head = f"**{escape(table.title)}.** {escape(table.scale)}"
    return "\n".join([head, "", *lines, "", *notes]) + "\n"


def document(tables: Sequence[Table]) -> str:
    """Return all tables, one after the other."""
    return "\n".join(map(markdown, tables))


def escape(value: str) -> str:
    """Return Markdown that prints the text as it is: no markup, no HTML, no new cell."""
    value = " ".join(value.split())
    value = value.replace("&", "&amp;").replace("<", "&lt;")
    value = re.sub(r"([\\`*\[\]|~$>])", r"\\\1", value)
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", value)


def _pipes(fields: Sequence[str]) -> str:
    return "| " + " | ".join(fields) + " |"

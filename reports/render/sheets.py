"""A table as the page lays it out: wide tables of few rows are turned."""

from __future__ import annotations

from dataclasses import dataclass

from reports.model import Cell, Column, Table, TableRow

WIDE = 6
"""Largest number of columns that fit beside a name on the page without scrolling."""


@dataclass(frozen=True)
class Square:
    """One cell with the row and the column that it belongs to."""

    cell: Cell
    column: Column
    row: TableRow


@dataclass(frozen=True)
class Line:
    """One line of the page's table."""

    name: str
    squares: tuple[Square, ...]
    row: TableRow | None
    """The row that it shows; None in a turned table, where it shows a column."""

    @property
    def quoted(self) -> bool:
        """Whether it is a row of a paper."""
        return self.row is not None and self.row.reference


@dataclass(frozen=True)
class Sheet:
    """A table as the page prints it."""

    heads: tuple[str, ...]
    lines: tuple[Line, ...]

    @property
    def dense(self) -> bool:
        """Whether intervals stand under their numbers, to save width."""
        found = (square.column.kind for line in self.lines for square in line.squares)
        return len(self.heads) > WIDE or "times" in found


def sheet(table: Table) -> Sheet:
    """Return a table's lines; a line per class or measure if these are many and rows are few."""
    lines = [
        [Square(cell, column, row) for cell, column in zip(row.cells, table.columns, strict=True)]
        for row in table.rows
    ]
    if not _is_turned(table):
        pairs = zip(table.rows, lines, strict=True)
        shown = tuple(Line(row.name, tuple(squares), row) for row, squares in pairs)
        return Sheet(tuple(column.header for column in table.columns), shown)
    heads = tuple(f"{row.name} (paper)" if row.reference else row.name for row in table.rows)
    turned = zip(table.columns, zip(*lines, strict=True), strict=True)
    return Sheet(heads, tuple(Line(column.header, squares, None) for column, squares in turned))


def _is_turned(table: Table) -> bool:
    alike = not any(column.kind in ("score", "cost") for column in table.columns)
    return alike and len(table.columns) > max(WIDE, len(table.rows))

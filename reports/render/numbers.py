r"""Numbers as siunitx reads them, and each number of a report under a name of its own.

``\seg{1/rmi/miou/mean}`` prints one; docs/report-files.md explains the names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from reports.model import Cell, Column, Table
from reports.render.text import is_gain, mean_and_interval, p_value
from reports.wording import MINUS, PLUS_MINUS

PREAMBLE = r"""% Numbers of the report by name, TABLE/ROW/COLUMN/PART, for \usepackage{siunitx}.
% \seg{NAME} prints one; \segvalue{NAME} is its characters, for \num, an S column or a calculation.
% For two reports in one paper: \renewcommand{\segprefix}{camvid/} before the \input of the second.
\providecommand{\segprefix}{}
\providecommand{\segvalue}[1]{\ifcsname seg@#1\endcsname\csname seg@#1\endcsname\else\segunknown\fi}
\providecommand{\seg}[1]{\ifcsname seg@#1\endcsname
  \num[separate-uncertainty, retain-explicit-plus]{\csname seg@#1\endcsname}\else
  \PackageError{segloss}{No number is called #1}{The names are in macros.tex.}\fi}
\providecommand{\segset}[2]{\ifcsname seg@\segprefix#1\endcsname
  \PackageError{segloss}{Two reports have a number #1}{Give one of them a \string\segprefix.}\fi
  \expandafter\gdef\csname seg@\segprefix#1\endcsname{#2}}
"""


def plain_number(text: str) -> str | None:
    """Return a number in the characters that TeX takes: "-0.50"; None for another text."""
    ascii_text = text.replace(MINUS, "-")
    return ascii_text if re.fullmatch(r"[+-]?\d+(\.\d+)?", ascii_text) else None


def number(mean: str, spread: str) -> str | None:
    """Return a mean and its interval for siunitx: "62.15 +- 7.12"; None for another text."""
    found = plain_number(mean)
    if found is None or not spread:
        return found
    sign, _, width = spread.partition(" ")
    return f"{found} +- {width}" if sign == PLUS_MINUS and plain_number(width) else None


def table_format(numbers: Iterable[str]) -> str:
    """Return siunitx's ``table-format`` with room for all numbers: "+2.2 +- 2.2"."""
    parts = [found.partition(" +- ")[::2] for found in numbers]
    means, widths = [mean for mean, _ in parts], [width for _, width in parts if width]
    sign = "+" if any(mean[0] in "+-" for mean in means) else ""
    shape = sign + _digits(means)
    return f"{shape} +- {_digits(widths)}" if widths else shape


def _digits(numbers: Sequence[str]) -> str:
    whole = max(len(found.lstrip("+-").partition(".")[0]) for found in numbers)
    decimals = max(len(found.partition(".")[2]) for found in numbers)
    return f"{whole}.{decimals}" if decimals else f"{whole}"


def macros(tables: Sequence[Table]) -> str:
    """Return a file of LaTeX that gives every number of the tables a name."""
    return PREAMBLE + "".join(
        rf"\segset{{{name}}}{{{value}}}" + "\n" for name, value in named_numbers(tables).items()
    )


def named_numbers(tables: Sequence[Table]) -> dict[str, str]:
    """Return every number of the tables by its name, "TABLE/ROW/COLUMN/PART".

    Names are those of tables.csv in lower-case letters, digits and hyphens. A table that repeats a
    row has its numbers once; names that are the same otherwise get "-2", "-3" and so on.
    """
    found: dict[str, str] = {}
    for table, table_name in zip(tables, _names(table.key for table in tables), strict=True):
        rows = list({row.label: row for row in table.rows}.values())
        columns = _names(_column_key(column) for column in table.columns)
        for row, row_name in zip(rows, _names(row.label for row in rows), strict=True):
            for cell, column, key in zip(row.cells, table.columns, columns, strict=True):
                place = f"{table_name}/{row_name}/{key}"
                found |= {f"{place}/{part}": text for part, text in _parts(cell, column)}
    return found


def _parts(cell: Cell, column: Column) -> Iterator[tuple[str, str]]:
    """Yield the parts of a number with the digits that the table prints."""
    value, (mean, spread) = cell.value, mean_and_interval(cell, column)
    plain = plain_number(mean)
    if value is None or plain is None:
        return
    decimals, sign = len(plain.partition(".")[2]), "+" if is_gain(column) else ""
    if both := number(mean, spread):
        yield "text", both
    yield "mean", plain
    for name, end in (("low", value.low), ("high", value.high)):
        if end is not None:
            yield name, f"{end:{sign}.{decimals}f}"
    if value.n:
        yield "n", str(value.n)
    if p := p_value(cell).removeprefix("p "):
        yield "p", p


def _column_key(column: Column) -> str:
    return f"paper {column.key}" if column.kind == "paper" else column.key


def _names(keys: Iterable[str]) -> list[str]:
    """Return a name of lower-case letters, digits and hyphens for each key; all differ."""
    found: dict[str, None] = {}
    counts: Counter[str] = Counter()
    for key in keys:
        name = plain = re.sub(r"[^a-z0-9]+", "-", key.lower()).strip("-") or "x"
        while name in found:
            counts[plain] += 1
            name = f"{plain}-{counts[plain] + 1}"
        found[name] = None
    return list(found)

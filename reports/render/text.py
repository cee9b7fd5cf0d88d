"""A table as text: for a terminal, in Markdown, as CSV and as JSON.

docs/report-files.md explains each field of the CSV and of the JSON.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from reports.model import Cell, Column, Lead, Table, TableRow
from reports.sentences import notes as words
from reports.statistics.stats import LEVEL, Estimate
from reports.wording import DAGGER, DASH, PLUS_MINUS, mean_and_spread

VERDICTS = {"agrees": "=", "differs": "\N{NOT EQUAL TO}", "cannot tell": ""}
"""Mark of each verdict on the published number; the commonest has none."""

NO_BREAK = "\N{NO-BREAK SPACE}"
BEST = "*"
"""Mark of a best cell in a terminal; other formats print it in bold."""
SCHEMA = 2
"""Version of the JSON: raised when a field changes its meaning or is removed."""
FIELDS = (
    *("table", "row", "column", "source", "text", "mean", "low", "high", "n", "best", "verdict"),
    *("p", "p_adjusted", "same_conditions", "missing", "runs"),
)
DIGITS = 4
"""Digits after the point in the CSV: a hundred times what any interval resolves."""


def mean_and_interval(cell: Cell, column: Column) -> tuple[str, str]:
    """Return a cell's main text and its interval, or "": ("52.14", "± 0.80")."""
    if cell.missing:
        return DASH, ""
    if cell.value is None:
        return cell.text or "", ""
    if column.kind in ("score", "class") and cell.value.n and cell.value.mean == 0:
        return "0", ""
    decimals = cost_decimals(cell.value.mean) if column.kind == "cost" else None
    return mean_and_spread(cell.value, decimals=decimals, signed=is_gain(column))


def is_gain(column: Column) -> bool:
    """Return whether a column shows gains, ours or a paper's."""
    return column.kind == "gain" or column.key.startswith("gain:")


def cost_decimals(value: float) -> int:
    """Return the digits after the point of a cost: about three digits in all."""
    return 0 if value >= 100 else 1 if value >= 10 else 2


def plain_text(cell: Cell, column: Column) -> str:
    """Return a cell for formats without grey: gains whose interval includes zero in parentheses."""
    found = cell_text(cell, column)
    return f"({found})" if cell.apart is False and not cell.missing else found


def cell_text(cell: Cell, column: Column) -> str:
    """Return a cell in one line: number, interval, dagger, verdict and p value."""
    number = " ".join(filter(None, mean_and_interval(cell, column))) + dagger(cell)
    verdict = VERDICTS[cell.verdict] if cell.verdict else ""
    return " ".join(filter(None, [number, verdict, p_value(cell)]))


def dagger(cell: Cell) -> str:
    """Return the mark of a cell whose runs were made under different conditions, or ""."""
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


def notes_of(table: Table, of_open: str = words.OPEN_GREY) -> list[str]:
    """Return the table's notes, with the meaning of marks that it has.

    Args:
        table: The table.
        of_open: What marks a gain whose interval includes zero.
    """
    cells = [cell for row in table.rows for cell in row.cells]
    judged = any(VERDICTS[cell.verdict] for cell in cells if cell.verdict)
    found = [of_open] if any(cell.apart is False for cell in cells) else []
    return [*found, *table.notes, *([words.VERDICTS] if judged else [])]


def name_of(row: TableRow) -> str:
    """Return the first column, which marks the rows that are quoted from the paper."""
    return f"{row.name} (paper)" if row.reference else row.name


def text(table: Table) -> str:
    """Return the table aligned for a terminal, with its notes, without control characters."""
    lines = [["", *(column.header for column in table.columns)]]
    for row in table.rows:
        cells = zip(row.cells, table.columns, strict=True)
        texts = ((BEST if cell.best else "") + plain_text(cell, column) for cell, column in cells)
        lines.append([name_of(row), *texts])
    lines = [[one_line(field) for field in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    printed = []
    for line in lines:
        fields = [field.rjust(width) for field, width in zip(line[1:], widths[1:], strict=True)]
        printed.append("  ".join([line[0].ljust(widths[0]), *fields]).rstrip())
    printed.insert(1, "-" * max(map(len, printed)))
    notes = [one_line(note) for note in notes_of(table, words.OPEN_PARENTHESES)]
    if any(cell.best for row in table.rows for cell in row.cells):
        notes.append(words.TERMINAL_BEST)
    return "\n".join([one_line(f"{table.title}. {table.scale}"), "", *printed, "", *notes]) + "\n"


def one_line(value: str) -> str:
    """Return the text without line breaks and control characters, which is safe to print."""
    return "".join(filter(str.isprintable, " ".join(value.split())))


def lead_text(found: Lead) -> str:
    """Return a report's answer for a terminal: the verdict, its sentences, and the command."""
    lines = [one_line(" ".join(filter(None, [found.headline, *found.sentences])))]
    return "\n".join([*lines, f"  {one_line(found.command)}"] if found.command else lines)


def lead_markdown(found: Lead) -> str:
    """Return a report's answer in Markdown: the verdict bold, the command as code."""
    headline = f"**{escape_markdown(found.headline)}**" if found.headline else ""
    said = " ".join(filter(None, [headline, *map(escape_markdown, found.sentences)]))
    command = f"\n    {one_line(found.command)}\n" if found.command else ""
    return f"{said}\n{command}"


def markdown(table: Table) -> str:
    """Return the table with its best cells bold and its notes as a list."""
    said = notes_of(table, words.OPEN_PARENTHESES)
    notes = [f"- {escape_markdown(note)}" for note in said]
    head = f"**{escape_markdown(table.title)}.** {escape_markdown(table.scale)}"
    return "\n".join([head, "", markdown_rows(table), "", *notes]) + "\n"


def markdown_rows(table: Table) -> str:
    """Return the rows of the table; no line breaks at a plus-minus sign."""
    lines = [
        _pipes(["", *(escape_markdown(column.header) for column in table.columns)]),
        _pipes([":--", *("--:" for _ in table.columns)]),
    ]
    for row in table.rows:
        cells = [
            f"**{escaped}**" if cell.best else escaped
            for cell, column in zip(row.cells, table.columns, strict=True)
            for escaped in [escape_markdown(plain_text(cell, column))]
        ]
        line = _pipes([escape_markdown(name_of(row)), *cells])
        lines.append(line.replace(f" {PLUS_MINUS} ", f"{NO_BREAK}{PLUS_MINUS}{NO_BREAK}"))
    return "\n".join(lines)


def markdown_document(tables: Sequence[Table]) -> str:
    """Return all tables, one after the other."""
    return "\n".join(map(markdown, tables))


def escape_markdown(value: str) -> str:
    """Return Markdown that prints the text as it is: no markup, no HTML, no new cell."""
    value = " ".join(value.split())
    # Markdown takes an ampersand as it is, unless an entity begins there.
    value = re.sub(r"&(?=#?\w+;)", "&amp;", value).replace("<", "&lt;")
    value = re.sub(r"([\\`*\[\]|~$>])", r"\\\1", value)
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", value)


def _pipes(fields: Sequence[str]) -> str:
    return "| " + " | ".join(fields) + " |"


def rows_csv(tables: Sequence[Table]) -> str:
    """Return all cells of all tables as CSV, one line each; the JSON has unrounded numbers."""
    out = io.StringIO()
    writer = csv.DictWriter(out, FIELDS, lineterminator="\n", restval="")
    writer.writeheader()
    for table in tables:
        writer.writerows(_csv_lines(table))
    return out.getvalue()


def tables_json(tables: Sequence[Table]) -> str:
    """Return all tables as JSON, with unrounded numbers."""
    content = {"schema": SCHEMA, "tables": [_table_json(table) for table in tables]}
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _csv_lines(table: Table) -> Iterator[dict[str, Any]]:
    for row in table.rows:
        for cell, column in zip(row.cells, table.columns, strict=True):
            if cell.value is None and not cell.text and not cell.missing:
                continue
            source = _source(row, column)
            measured = source == "ours" and cell.value is not None
            line = {
                "table": table.key,
                "row": row.label,
                "column": column.key,
                "source": source,
                "text": cell.text,
                **_rounded(cell.value),
                "best": cell.best if measured and column.kind == "score" else None,
                "verdict": cell.verdict,
                "p": _significant(cell.comparison and cell.comparison.p),
                "p_adjusted": _significant(cell.comparison and cell.comparison.p_adjusted),
                "same_conditions": not cell.doubtful if measured and cell.links else None,
                "missing": (cell.reason or "no run") if cell.missing else None,
                "runs": " ".join(cell.links),
            }
            yield {key: "" if field is None else field for key, field in line.items()}


def _rounded(value: Estimate | None) -> dict[str, float | None]:
    if value is None:
        return {}
    ends = {"mean": value.mean, "low": value.low, "high": value.high}
    found = {k: None if v is None else round(v, DIGITS) + 0.0 for k, v in ends.items()}
    return {**found, "n": value.n or None}  # a quoted number has none


def _significant(p: float | None) -> float | None:
    return None if p is None else float(f"{p:.{DIGITS}g}")


def _table_json(table: Table) -> dict[str, Any]:
    return {
        "key": table.key,
        "title": table.title,
        "scale": table.scale,
        "seeds": table.seeds,
        "complete": table.complete,
        "columns": [{"key": c.key, "header": c.header, "kind": c.kind} for c in table.columns],
        "rows": [_row_json(table, row) for row in table.rows],
        "notes": list(table.notes),
    }


def _row_json(table: Table, row: TableRow) -> dict[str, Any]:
    pairs = zip(table.columns, row.cells, strict=True)
    return {
        "label": row.label,
        "name": row.name,
        "reference": row.reference,
        "seeds": row.seeds,
        "reasons": list(row.reasons),
        "cells": [{"source": _source(row, column), **_cell_json(cell)} for column, cell in pairs],
    }


def _cell_json(cell: Cell) -> dict[str, Any]:
    test = cell.comparison
    return {
        "text": cell.text,
        "value": _estimate_json(cell.value),
        "missing": cell.missing,
        "reason": cell.reason,
        "best": cell.best,
        "apart": cell.apart,
        "same_conditions": not cell.doubtful,
        "verdict": cell.verdict,
        "comparison": test
        and {
            "gain": _estimate_json(test.gain),
            "by_seed": {str(seed): value for seed, value in test.by_seed.items()},
            "of_seeds": test.of_seeds,
            "of_images": test.of_images,
            "p": test.p,
            "p_floor": test.floor,
            "p_adjusted": test.p_adjusted,
        },
        "runs": list(cell.links),
    }


def _estimate_json(value: Estimate | None) -> dict[str, Any] | None:
    if value is None:
        return None
    found = {"mean": value.mean, "low": value.low, "high": value.high, "n": value.n}
    return {**found, "spread": value.spread}


def _source(row: TableRow, column: Column) -> str:
    return "paper" if row.reference or column.kind == "paper" else "ours"

"""Tables for programs: CSV by cell, and JSON; docs/report-files.md explains each field."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

from reports.model import Cell, Column, Table, TableRow
from reports.statistics.stats import Estimate

SCHEMA = 1
"""Version of the JSON: raised when a field changes its meaning or is removed."""
FIELDS = (
    *("table", "row", "column", "source", "text", "mean", "low", "high", "n", "best", "verdict"),
    *("gain", "gain_low", "gain_high", "p", "p_adjusted", "same_conditions", "missing", "runs"),
)


def rows_csv(tables: Sequence[Table]) -> str:
    """Return all cells of all tables as CSV, one line each, with unrounded numbers."""
    out = io.StringIO()
    writer = csv.DictWriter(out, FIELDS, lineterminator="\n", restval="")
    writer.writeheader()
    for table in tables:
        writer.writerows(_lines(table))
    return out.getvalue()


def tables_json(tables: Sequence[Table]) -> str:
    """Return all tables as JSON, with unrounded numbers."""
    content = {"schema": SCHEMA, "tables": [_table(table) for table in tables]}
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _lines(table: Table) -> Iterator[dict[str, Any]]:
    for row in table.rows:
        for cell, column in zip(row.cells, table.columns, strict=True):
            if cell.value is None and not cell.text and not cell.missing:
                continue
            found = _cell(cell)
            value, comparison = found["value"] or {}, found["comparison"] or {}
            gain = comparison.get("gain") or {}
            line = {
                "table": table.key,
                "row": row.label,
                "column": column.key,
                "source": _source(row, column),
                "text": cell.text,
                **{key: value.get(key) for key in ("mean", "low", "high")},
                "n": value.get("n") or None,  # a quoted number has none
                "best": cell.best,
                "verdict": cell.verdict,
                "gain": gain.get("mean"),
                "gain_low": gain.get("low"),
                "gain_high": gain.get("high"),
                "p": comparison.get("p"),
                "p_adjusted": comparison.get("p_adjusted"),
                "same_conditions": not cell.doubtful,
                "missing": (cell.reason or "no run") if cell.missing else None,
                "runs": " ".join(cell.links),
            }
            yield {key: "" if field is None else field for key, field in line.items()}


def _table(table: Table) -> dict[str, Any]:
    return {
        "key": table.key,
        "title": table.title,
        "scale": table.scale,
        "seeds": table.seeds,
        "complete": table.complete,
        "columns": [{"key": c.key, "header": c.header, "kind": c.kind} for c in table.columns],
        "rows": [_row(table, row) for row in table.rows],
        "notes": list(table.notes),
    }


def _row(table: Table, row: TableRow) -> dict[str, Any]:
    pairs = zip(table.columns, row.cells, strict=True)
    return {
        "label": row.label,
        "name": row.name,
        "reference": row.reference,
        "seeds": row.seeds,
        "reasons": list(row.reasons),
        "cells": [{"source": _source(row, column), **_cell(cell)} for column, cell in pairs],
    }


def _cell(cell: Cell) -> dict[str, Any]:
    test = cell.comparison
    return {
        "text": cell.text,
        "value": _estimate(cell.value),
        "missing": cell.missing,
        "reason": cell.reason,
        "best": cell.best,
        "same_conditions": not cell.doubtful,
        "verdict": cell.verdict,
        "comparison": test
        and {
            "gain": _estimate(test.gain),
            "p": test.p,
            "p_floor": test.floor,
            "p_adjusted": test.p_adjusted,
        },
        "runs": list(cell.links),
    }


def _estimate(value: Estimate | None) -> dict[str, Any] | None:
    return value and {"mean": value.mean, "low": value.low, "high": value.high, "n": value.n}


def _source(row: TableRow, column: Column) -> str:
    return "paper" if row.reference or column.kind == "paper" else "ours"

"""What each row costs, as a multiple of the base row."""

from __future__ import annotations

import statistics

from bench.manifest import Row, base_row, distinct_rows
from reports.model import Cell, Column, Table, TableRow
from reports.sentences import captions
from reports.sentences.notes import TIMES
from reports.statistics.scores import Scores
from reports.statistics.stats import Estimate
from reports.wording import UNITS, seeds

COSTS = {"train_s": "training time", "peak_mem_mb": "memory in training", "infer_ms": "inference"}
OF_TRAINING = ("train_s", "peak_mem_mb")


def cost_table(scores: Scores) -> Table | None:
    """Return the costs of the first table's rows; None where fewer than two rows have any.

    A cell is the median of a row's seeds over the median of the base row's, with the range of its
    seeds.
    """
    manifest = scores.manifest
    rows = distinct_rows(manifest.tables[0])
    base = base_row(rows)
    known = {cost: _values(scores, base, cost) for cost in COSTS}
    units = {cost: statistics.median(values) for cost, values in known.items() if values}
    lines = []
    for row in rows:
        cells = tuple(_cell(scores, row, cost, unit) for cost, unit in units.items())
        if any(cell.value for cell in cells):
            lines.append(TableRow(row.label, row.label, cells, len(scores.runs(row.label))))
    if len(lines) < 2:
        return None
    columns = tuple(
        Column(f"times:{cost}", f"{COSTS[cost]} ({base.label}: {_amount(cost, unit)})", "times")
        for cost, unit in units.items()
    )
    return Table(
        key="costs",
        title=f"Cost, as a multiple of {base.label}",
        scale=f"{manifest.scale.rstrip('.')}; {seeds(len(manifest.seeds))}.",
        columns=columns,
        rows=tuple(lines),
        seeds=len(manifest.seeds),
        notes=(captions.COSTS.format(base=base.label), TIMES),
    )


def _values(scores: Scores, row: Row, cost: str) -> list[float]:
    """Return a cost of a row by seed; a CRF takes that of training from the row it refines."""
    if cost in OF_TRAINING and "crf.steps" in row.settings:
        return []
    return [value for value in scores.of(row.label, cost).values() if value > 0]


def _cell(scores: Scores, row: Row, cost: str, unit: float) -> Cell:
    values = [value / unit for value in _values(scores, row, cost)]
    if not values:
        return Cell(text="")
    ends = min(values), max(values)
    found = Estimate(statistics.median(values), *ends, len(values), spread="range")
    return Cell(value=found, links=scores.links(row.label))


def _amount(cost: str, value: float) -> str:
    return f"{value:,.0f} {UNITS[cost.rpartition('_')[2]]}"

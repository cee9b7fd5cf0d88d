"""The published numbers beside ours: their columns, cells and rows, and our verdict on them.

Where a study is the paper's experiment, or differs in its recipe alone, the paper's scores stand
beside ours. Elsewhere its gains do, because a score on other data says nothing about ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.iou import HEADLINE
from bench.manifest import Manifest, Row
from bench.published.tables import PublishedRow, PublishedTable
from reports.model import Cell, Column, Table, TableRow, Verdict
from reports.published import other_than, quotes_levels, row_notes, source
from reports.statistics.scores import gain_verdict, score_verdict
from reports.statistics.stats import Comparison, Estimate
from reports.wording import header, unit

GAIN = "gain:"


@dataclass(frozen=True)
class Quoted:
    """The published table that one of ours repeats, with the study that it stands in."""

    paper: PublishedTable
    manifest: Manifest
    base: Row
    """Our row that gains are measured against."""

    @property
    def levels(self) -> bool:
        """Whether the paper's scores are quoted, and not its gains alone."""
        return quotes_levels(self.paper, self.manifest.settings)

    def name(self, key: str) -> str | None:
        """Return the name of the paper's value for column ``key``; None where it prints none."""
        printed = list(dict.fromkeys(name for row in self.paper.rows for name in row.values))
        if key == "infer_ms":
            wanted = ["infer_s"]
        elif key == HEADLINE:
            wanted = [self.manifest.metric, *(n for n in printed if n.startswith(HEADLINE))]
        else:
            wanted = [key]
        return next((name for name in wanted if name in printed), None)

    def columns(self, key: str, metric: str) -> list[Column]:
        """Return the paper's column beside ours: its value, or its gain on other data.

        Args:
            key: Our column.
            metric: Name of the metric that it shows.
        """
        name = self.name(key)
        if name is None:
            return []
        if not self.levels:
            known = key in (HEADLINE, self.manifest.metric) and self._base_value(name) is not None
            return [Column(GAIN + name, "paper's gain", "paper")] if known else []
        # The paper's mean over 12 classes must not be taken for our mean over 11 beside it.
        if name in ("infer_s", metric):
            return [Column(name, f"paper{unit(name)}", "paper")]
        return [Column(name, f"paper, {header(name)}", "paper")]

    def cell(self, row: Row, key: str) -> Cell:
        """Return the paper's number for a row of ours; empty where it prints none."""
        return self._cell(self.paper.row(row.settings), key)

    def rows(self, ours: Sequence[Row], columns: Sequence[Column]) -> list[TableRow]:
        """Return the paper's rows that no row of ours repeats, with the paper's numbers alone."""
        if not any(column.kind == "paper" for column in columns):
            return []
        settings = [row.settings for row in ours]
        rows = [row for row in self.paper.rows if not any(map(row.repeated_by, settings))]
        found = [self._row(row, columns) for row in rows]
        return [row for row in found if any(cell.value for cell in row.cells)]

    def score_verdict(
        self, row: Row, key: str, metric: str, value: Estimate | None
    ) -> Verdict | None:
        """Return how a score of ours relates to the printed one; None where none is printed."""
        printed, name = self.paper.row(row.settings), self.name(key)
        if value is None or printed is None or name not in printed.values:
            return None
        same = other_than(self.paper, self.manifest.settings) is None and metric == name
        return score_verdict(value, printed.values[name], same_experiment=same)

    def gain_verdict(self, row: Row, key: str, found: Comparison) -> Verdict | None:
        """Return whether a gain of ours has the sign of the printed one."""
        name, printed = self.name(key), self.paper.row(row.settings)
        return gain_verdict(found, self._gain(printed, name) if name else None)

    def _row(self, row: PublishedRow, columns: Sequence[Column]) -> TableRow:
        cells = [
            self._cell(row, column.key) if column.kind == "paper" else _setting(row, column)
            for column in columns
        ]
        label = f"{row.method} (paper)"
        return TableRow(label=label, name=row.method, cells=tuple(cells), reference=True)

    def _cell(self, row: PublishedRow | None, key: str) -> Cell:
        value = (
            self._gain(row, key.removeprefix(GAIN))
            if key.startswith(GAIN)
            else row and row.values.get(key)
        )
        return Cell(text="") if value is None else Cell(value=Estimate(value, None, None, 0))

    def _gain(self, row: PublishedRow | None, name: str) -> float | None:
        """Return the gain of a printed row over the printed base row; None without both."""
        base = self._base_value(name)
        if row is None or base is None or name not in row.values:
            return None
        gain = round(row.values[name] - base, 6)  # without the noise of the subtraction
        return None if row == self.paper.row(self.base.settings) else gain

    def _base_value(self, name: str) -> float | None:
        base = self.paper.row(self.base.settings)
        return base.values.get(name) if base else None


def _setting(row: PublishedRow, column: Column) -> Cell:
    value = (row.settings or {}).get(column.key)
    return Cell(text="" if value is None else str(value))


def printed_table(paper: PublishedTable) -> Table:
    """Return a published per-class table as printed."""
    names = sorted({name for row in paper.rows for name in row.values})
    columns = [Column(f"iou/{name}", name, "class") for name in paper.classes]
    columns += [Column(name, header(name), "paper") for name in names]
    rows = tuple(
        TableRow(
            label=row.method,
            name=row.method,
            cells=tuple(
                Cell(text="") if value is None else Cell(value=Estimate(value, None, None, 0))
                for value in (
                    *(row.iou or [None] * len(paper.classes)),
                    *(row.values.get(name) for name in names),
                )
            ),
            reference=True,
        )
        for row in paper.rows
    )
    return Table(
        key=f"{paper.key}-printed",
        title="As the paper prints it",
        scale=f"{paper.model} on {paper.data}.",
        columns=tuple(columns),
        rows=rows,
        seeds=0,
        notes=(source(paper), *row_notes(paper, [row.method for row in paper.rows])),
        number=paper.key,
    )

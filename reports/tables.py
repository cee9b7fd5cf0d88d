"""Tables as data: what stands in each cell, before any renderer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bench.manifest import Manifest, Row
from bench.manifest import Table as Wanted
from bench.mlflow_view import ABSENT
from reports.frame import checks, classes, values
from reports.model import Cell, Column, Table, TableRow
from reports.published import PublishedRow, PublishedTable, find_published
from reports.stats import Estimate, difference, estimate
from reports.wording import UNITS, about, header, notes, reason, seeds, unit

if TYPE_CHECKING:
    import pandas as pd

# Where the paper prints a data set's IoU by class.
CLASS_TABLES = {"camvid": "4"}
# What the paper prints for a column of ours.
PRINTED = {"miou": ("miou", "miou_12"), "infer_ms": ("infer_s",)}


def build_tables(manifest: Manifest, frame: pd.DataFrame) -> list[Table]:
    """The study's tables in the manifest's order; a quoted per-class table follows its own."""
    return [table for wanted in manifest.tables for table in _built(manifest, frame, wanted)]


def class_tables(manifest: Manifest, frame: pd.DataFrame) -> list[Table]:
    """The first table's rows by class; none where the study has class columns of its own."""
    columns = [column for table in manifest.tables for column in table.columns]
    if not classes(frame) or any(c == "class_iou" or c.startswith("iou/") for c in columns):
        return []
    changes = {
        "key": "classes",
        "title": "IoU by class",
        "columns": ("class_iou",),
        "paper": CLASS_TABLES.get(str(manifest.settings.get("data.name"))),
        "x": None,
    }
    return _built(manifest, frame, manifest.tables[0].model_copy(update=changes))


def _built(manifest: Manifest, frame: pd.DataFrame, wanted: Wanted) -> list[Table]:
    head = str(manifest.settings.get("model.head"))
    paper = find_published(wanted.paper, head) if wanted.paper else None
    table = _Builder(manifest, frame, wanted, paper).table()
    by_class = any(column.kind == "class" for column in table.columns)
    return [table, quoted(paper)] if paper and paper.classes and by_class else [table]


def quoted(paper: PublishedTable) -> Table:
    """A published per-class table as printed."""
    names = sorted({name for row in paper.rows for name in row.values})
    columns = [Column(f"iou/{name}", name, "class") for name in paper.classes]
    columns += [Column(name, header(name), "paper") for name in names]
    rows = tuple(
        TableRow(
            label=row.method,
            name=row.method,
            cells=tuple(
                Cell(value=Estimate(v, None, None, 0))
                for v in (*row.iou, *(row.values[n] for n in names))
            ),
            reference=True,
        )
        for row in paper.rows
    )
    scale = f"{paper.model} on {paper.data}."
    key = f"{paper.key}-printed"
    title = "As the paper prints it"
    return Table(key, title, scale, tuple(columns), rows, seeds=0, notes=(about(paper),))


def base_row(rows: Sequence[Row]) -> Row:
    """The row that gains are measured against: plain cross entropy, else the first row."""
    plain = (r for r in rows if r.settings["loss.name"] == "ce" and "crf.steps" not in r.settings)
    return next(plain, rows[0])


@dataclass(frozen=True)
class _Builder:
    manifest: Manifest
    frame: pd.DataFrame
    wanted: Wanted
    paper: PublishedTable | None

    def table(self) -> Table:
        columns = self._columns()
        rows = [self._row(row, columns) for row in self.wanted.rows]
        rows = _mark_best(rows, columns, self._scores)
        table = Table(
            key=self.wanted.key,
            title=self.wanted.title.rstrip("."),
            scale=f"{self.manifest.scale.rstrip('.')}; {seeds(len(self.manifest.seeds))}.",
            columns=tuple(columns),
            rows=(*rows, *self._references(columns)),
            seeds=len(self.manifest.seeds),
            complete=self._complete(),
        )
        return replace(table, notes=notes(table, self.manifest, self.base.label, self.paper))

    def _complete(self) -> int:
        labels = [row.label for row in self.wanted.rows]
        mine = self.frame.loc[self.frame["label"].isin(labels), :]
        missing = mine.loc[mine["status"] != "finished", "seed"]
        return len(set(self.manifest.seeds) - set(missing))

    @property
    def base(self) -> Row:
        return base_row(self.wanted.rows)

    def _columns(self) -> list[Column]:
        columns = []
        for key in self.wanted.columns:
            columns += self._column(key)
        first_class = next((i for i, c in enumerate(columns) if c.kind == "class"), len(columns))
        columns.insert(first_class, Column("seeds", "n", "seeds"))
        return columns

    def _column(self, key: str) -> list[Column]:
        if key == "loss.name":
            return [Column(key, "loss", "setting")]
        if key.startswith(("loss.", "crf.")):
            return [Column(key, key.removeprefix("loss."), "setting")]
        if key == "class_iou":
            return [Column(f"iou/{name}", name, "class") for name in classes(self.frame)]
        if key.startswith("iou/"):
            return [Column(key, key.removeprefix("iou/"), "class")]
        cost = f"cost/{key}" in self.frame or key.rpartition("_")[2] in UNITS
        column = Column(key, header(key), "cost" if cost else "score")
        found = [column]
        if printed := self._printed(key):
            found.append(Column(printed, f"paper{unit(printed)}", "paper"))
        if key in ("miou", self.manifest.metric) and len(self.wanted.rows) > 1:
            found.insert(1, Column(f"gain:{key}", f"gain over {self._base_name}", "gain"))
        return found

    @property
    def _base_name(self) -> str:
        same = [row for row in self.wanted.rows if row.method == self.base.method]
        return self.base.method if len(same) == 1 else "first row"

    def _printed(self, key: str) -> str | None:
        """The name of the paper's value for column ``key``, or None."""
        rows = self.paper.rows if self.paper else ()
        names = PRINTED.get(key, (key,))
        return next((name for name in names if any(name in row.values for row in rows)), None)

    def _row(self, row: Row, columns: Sequence[Column]) -> TableRow:
        mine = self.frame.loc[self.frame["label"] == row.label, :]
        odd = {label for check in checks(self.frame) for label, _ in check.odd}
        finished = int((mine["status"] == "finished").sum())
        cells = []
        for column in columns:
            cell = self._cell(row, column, finished)
            doubtful = row.label in odd and cell.value is not None and column.kind != "paper"
            cells.append(replace(cell, doubtful=doubtful and column.kind != "seeds"))
        reasons = tuple(
            reason(run) for run in mine.to_dict("records") if run["status"] != "finished"
        )
        return TableRow(row.label, self._name(row), tuple(cells), finished, reasons)

    def _name(self, row: Row) -> str:
        methods = [other.method for other in self.wanted.rows]
        told_apart = len(set(methods)) == len(methods) or any(
            key.startswith(("loss.", "crf.")) for key in self.wanted.columns
        )
        return row.method if told_apart else row.label

    def _cell(self, row: Row, column: Column, finished: int) -> Cell:
        match column.kind:
            case "setting":
                value = row.settings.get(column.key)
                return Cell(text="" if value in (None, ABSENT) else str(value))
            case "seeds":
                wanted = len(self.manifest.seeds)
                return Cell(text=f"{finished}" if finished == wanted else f"{finished} of {wanted}")
            case "paper":
                printed = self.paper.row(row.settings) if self.paper else None
                return _printed_cell(printed, column.key)
            case "gain":
                if row.label == self.base.label:
                    return Cell(text="")
                key = column.key.removeprefix("gain:")
                ours, base = self._scores(row.label, key), self._scores(self.base.label, key)
                value = difference(ours, base)
                return Cell(value=value, missing=value is None)
            case _:
                value = estimate(self._scores(row.label, column.key).values())
                return Cell(value=value, missing=value is None)

    def _scores(self, label: str, key: str) -> dict[int, float]:
        """Finished values of a row by seed: scores in percent, costs in their own unit."""
        if f"cost/{key}" in self.frame:
            return values(self.frame, label, f"cost/{key}")
        name = self.manifest.metric if key == "miou" else key
        column = name if name.startswith("iou/") else f"final/{name}"
        return {seed: 100 * v for seed, v in values(self.frame, label, column).items()}

    def _references(self, columns: Sequence[Column]) -> list[TableRow]:
        """The printed rows that no row of ours repeats: quoted, with the paper's value only."""
        if self.paper is None or not any(column.kind == "paper" for column in columns):
            return []
        settings = [row.settings for row in self.wanted.rows]
        rows = [row for row in self.paper.rows if not any(map(row.repeated_by, settings))]
        return [
            TableRow(
                label=f"{row.method} (paper)",
                name=row.method,
                cells=tuple(
                    _printed_cell(row, c.key) if c.kind == "paper" else self._quoted_setting(row, c)
                    for c in columns
                ),
                reference=True,
            )
            for row in rows
        ]

    def _quoted_setting(self, row: PublishedRow, column: Column) -> Cell:
        value = (row.settings or {}).get(column.key)
        return Cell(text="" if value is None else str(value))


def _printed_cell(row: PublishedRow | None, name: str) -> Cell:
    if row is None or name not in row.values:
        return Cell(text="")
    return Cell(value=Estimate(row.values[name], None, None, 0))


def _mark_best(rows: list[TableRow], columns: Sequence[Column], scores: Any) -> list[TableRow]:
    """Mark each score's highest mean and the rows whose paired interval against it holds zero."""
    for i, column in enumerate(columns):
        found = {r.label: r.cells[i].value for r in rows if column.kind == "score"}
        means = {label: value.mean for label, value in found.items() if value}
        if len(means) < 2:
            continue
        top = max(means, key=lambda label: means[label])
        leader = scores(top, column.key)
        best = {top}
        for label in means:
            gap = difference(scores(label, column.key), leader)
            if gap and gap.half_width is not None and gap.above_zero is None:
                best.add(label)
        rows = [_with_best(row, i) if row.label in best else row for row in rows]
    return rows


def _with_best(row: TableRow, index: int) -> TableRow:
    cells = list(row.cells)
    cells[index] = replace(cells[index], best=True)
    return replace(row, cells=tuple(cells))

"""Tables as data: what stands in each cell, before any renderer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from bench.manifest import Manifest, Row, TableSpec
from bench.naming import ABSENT
from reports.frame import Check, checks, classes
from reports.model import Cell, Column, Table, TableRow, Verdict
from reports.published import PublishedRow, PublishedTable, find_published
from reports.statistics.image_counts import Images
from reports.statistics.marks import direction, mark_best, with_holm
from reports.statistics.scores import Scores
from reports.statistics.stats import Estimate, estimate
from reports.wording import UNITS, about, header, notes, reason, seeds, unit

if TYPE_CHECKING:
    import pandas as pd

# Where the paper prints a data set's IoU by class.
CLASS_TABLES = {"camvid": "4", "voc": "2"}
# What the paper prints for a column of ours.
PRINTED = {"miou": ("miou", "miou_12"), "infer_ms": ("infer_s",)}


def build_tables(
    manifest: Manifest, frame: pd.DataFrame, images: Images | None = None
) -> list[Table]:
    """The study's tables in the manifest's order; a quoted per-class table follows its own.

    With ``images`` the intervals of gains speak of other images too.
    """
    scores = Scores(manifest, frame, images or Images())
    return [table for wanted in manifest.tables for table in _built(scores, wanted)]


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
    wanted = manifest.tables[0].model_copy(update=changes)
    return _built(Scores(manifest, frame), wanted)


def _built(scores: Scores, wanted: TableSpec) -> list[Table]:
    head = str(scores.manifest.settings.get("model.head"))
    paper = find_published(wanted.paper, head) if wanted.paper else None
    table = _Builder(scores, wanted, paper).table()
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


def titled(title: str, manifest: Manifest) -> str:
    """The title with what sets the study apart from the paper whose tables it repeats."""
    head = str(manifest.settings.get("model.head"))
    papers = [find_published(table.paper, head) for table in manifest.tables if table.paper]
    found = (paper.other_than(manifest.settings) for paper in papers if paper)
    return ", ".join(filter(None, [title.rstrip("."), next(found, None)]))


def base_row(rows: Sequence[Row]) -> Row:
    """The row that gains are measured against: plain cross entropy, else the first row."""
    plain = (r for r in rows if r.settings["loss.name"] == "ce" and "crf.steps" not in r.settings)
    return next(plain, rows[0])


@dataclass(frozen=True)
class _Builder:
    scores: Scores
    wanted: TableSpec
    paper: PublishedTable | None

    def table(self) -> Table:
        columns = self._columns()
        rows = [self._row(row, columns) for row in self.wanted.rows]
        if not self.manifest.search:  # the answer of a tuning is its curve, not its best trial
            rows = with_holm(mark_best(rows, columns, self.scores))
        table = Table(
            key=self.wanted.key,
            title=titled(self.wanted.title, self.manifest),
            scale=f"{self.manifest.scale.rstrip('.')}; {seeds(len(self.manifest.seeds))}.",
            columns=tuple(columns),
            rows=(*rows, *self._references(columns)),
            seeds=len(self.manifest.seeds),
            complete=self._complete(),
        )
        found = notes(table, self.scores, self.base.label, self.paper, self._odd)
        return replace(table, notes=found)

    @property
    def manifest(self) -> Manifest:
        return self.scores.manifest

    @cached_property
    def _odd(self) -> tuple[Check, ...]:
        labels = {row.label for row in self.wanted.rows}
        found = [check for check in checks(self.scores.frame) if check.odd]
        return tuple(c for c in found if any(label in labels for label, _ in c.odd))

    def _complete(self) -> int:
        frame = self.scores.frame
        labels = [row.label for row in self.wanted.rows]
        mine = frame.loc[frame["label"].isin(labels), :]
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
            return [Column(f"iou/{name}", name, "class") for name in classes(self.scores.frame)]
        if key.startswith("iou/"):
            return [Column(key, key.removeprefix("iou/"), "class")]
        cost = f"cost/{key}" in self.scores.frame or key.rpartition("_")[2] in UNITS
        column = Column(key, header(self.scores.metric(key)), "cost" if cost else "score")
        found = [column]
        if printed := self._printed(key):
            # Their mean over 12 classes must not be taken for the mean that stands beside it.
            same = printed in ("infer_s", self.scores.metric(key))
            name = "paper" if same or printed == "miou" else f"paper, {header(printed)}"
            found.append(
                Column(printed, f"paper{unit(printed)}" if name == "paper" else name, "paper")
            )
        compared = len(self.wanted.rows) > 1 and not self.manifest.search
        if key in ("miou", self.manifest.metric) and compared:
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
        frame = self.scores.frame
        mine = frame.loc[frame["label"] == row.label, :]
        odd = any(label == row.label for check in self._odd for label, _ in check.odd)
        finished = int((mine["status"] == "finished").sum())
        reasons = tuple(
            reason(run) for run in mine.to_dict("records") if run["status"] != "finished"
        )
        links = self.scores.links(row.label)
        cells = []
        for column in columns:
            cell = self._cell(row, column, finished)
            ours = column.kind not in ("paper", "seeds", "setting")
            if ours and cell.missing:
                why = "; ".join(reasons) or f"its runs have no {column.key.removeprefix('gain:')}"
                cell = replace(cell, reason=why)
            elif ours and cell.value is not None:
                cell = replace(cell, doubtful=odd, links=links)
            cells.append(cell)
        return TableRow(row.label, self._name(row), tuple(cells), finished, reasons)

    def _name(self, row: Row) -> str:
        if self.manifest.search:
            return f"trial {self.wanted.rows.index(row) + 1}"
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
                found = self.scores.compare(row.label, self.base.label, key)
                if found is None:
                    return Cell(missing=True)
                printed = self._printed_gain(row, key)
                return Cell(value=found.gain, comparison=found, verdict=direction(found, printed))
            case _:
                value = estimate(self.scores.of(row.label, column.key).values())
                return Cell(
                    value=value, missing=value is None, verdict=self._verdict(row, column, value)
                )

    def _verdict(self, row: Row, column: Column, value: Estimate | None) -> Verdict | None:
        """Whether our interval holds the printed score; only where it is the same experiment."""
        printed = self.paper.row(row.settings) if self.paper else None
        name = self._printed(column.key)
        if column.kind != "score" or value is None or printed is None or name is None:
            return None
        if name not in printed.values:
            return None
        another = self.paper is None or self.paper.other_than(self.manifest.settings)
        another = another or self.scores.metric(column.key) != name
        if another or value.low is None or value.high is None:
            return "cannot tell"
        return "agrees" if value.low <= printed.values[name] <= value.high else "differs"

    def _printed_gain(self, row: Row, key: str) -> float | None:
        """The gain of a row over the base that the paper's numbers give, or None."""
        name = self._printed(key)
        if self.paper is None or name is None:
            return None
        ours, base = self.paper.row(row.settings), self.paper.row(self.base.settings)
        if ours is None or base is None or not (name in ours.values and name in base.values):
            return None
        return ours.values[name] - base.values[name]

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

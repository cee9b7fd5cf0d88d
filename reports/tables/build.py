"""The tables of a study: columns, rows and cells, with the paper's rows beside ours."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from bench.iou import HEADLINE
from bench.manifest import ABSENT, Manifest, Row, TableSpec, base_row
from bench.published.tables import PublishedTable
from reports.checks import Check
from reports.model import Cell, Column, Table, TableRow
from reports.published import table_of
from reports.runs import class_names
from reports.statistics.pairs import marked
from reports.statistics.scores import (
    Scores,
    with_holm,
)
from reports.statistics.shown import cost_estimate, score_estimate
from reports.tables.notes import Subject, notes, titled
from reports.tables.quoted import Quoted, printed_table
from reports.wording import UNITS, header, seeds


@dataclass(frozen=True)
class Draft:
    """A table before its rows: what the study asks for, its numbers, and the paper's table."""

    scores: Scores
    spec: TableSpec
    paper: PublishedTable | None

    @cached_property
    def quoted(self) -> Quoted | None:
        """The paper's numbers beside this table's."""
        return self.paper and Quoted(self.paper, self.manifest, self.base)

    @property
    def manifest(self) -> Manifest:
        """The study as it was planned."""
        return self.scores.manifest

    @property
    def base(self) -> Row:
        """The row that gains are measured against."""
        return base_row(self.spec.rows)

    @cached_property
    def odd(self) -> tuple[Check, ...]:
        """The digest checks in which a run of this table differs."""
        labels = {row.label for row in self.spec.rows}
        found = self.scores.odd_checks
        return tuple(c for c in found if any(label in labels for label, _ in c.odd))


def columns_of(draft: Draft) -> list[Column]:
    """Return the table's columns: settings and scores, number of seeds, costs, classes."""
    groups = [_columns(draft, key) for key in draft.spec.columns]
    found: list[Column] = []
    for wanted in (("setting", "score"), ("cost",), ("class",)):
        found += [c for group in groups for c in group if group[0].kind in wanted]
        if "score" in wanted:
            found.append(Column("seeds", "n", "seeds"))
    return found


def _columns(draft: Draft, key: str) -> list[Column]:
    """Return the columns for one key: a metric has its gain and the paper's value beside it."""
    frame = draft.scores.frame
    if key == "loss.name":
        return [Column(key, "loss", "setting")]
    if key.startswith(("loss.", "crf.", "recipe.")):
        return [Column(key, key.removeprefix("loss."), "setting")]
    if key == "class_iou":
        return [Column(f"iou/{name}", name, "class") for name in class_names(frame)]
    if key.startswith("iou/"):
        return [Column(key, key.removeprefix("iou/"), "class")]
    is_cost = f"cost/{key}" in frame or key.rpartition("_")[2] in UNITS
    metric = draft.scores.metric(key)
    column = Column(key, header(metric), "cost" if is_cost else "score")
    quoted = draft.quoted.columns(key, metric) if draft.quoted else []
    return [column, *_gain(draft, key), *quoted]


def _gain(draft: Draft, key: str) -> list[Column]:
    """Return the gain over the base row: of the headline metric, where rows are compared."""
    compared = len(draft.spec.rows) > 1 and not draft.manifest.search
    if key not in (HEADLINE, draft.manifest.metric) or not compared:
        return []
    same = [row for row in draft.spec.rows if row.method == draft.base.method]
    base = draft.base.method if len(same) == 1 else "first row"
    return [Column(f"gain:{key}", f"gain over {base}", "gain")]


def build_tables(scores: Scores) -> list[Table]:
    """Return the study's tables in its order; a quoted per-class table follows its own."""
    return [table for spec in scores.manifest.tables for table in tables_of(scores, spec)]


def tables_of(scores: Scores, spec: TableSpec) -> list[Table]:
    """Return one table as built, then the paper's own where it is by class."""
    paper = table_of(spec, str(scores.manifest.settings.get("model.head")))
    table = _table(Draft(scores, spec, paper))
    by_class = any(column.kind == "class" for column in table.columns)
    return [table, printed_table(paper)] if paper and paper.classes and by_class else [table]


def _table(draft: Draft) -> Table:
    manifest, columns = draft.manifest, columns_of(draft)
    rows = [_row(draft, row, columns) for row in draft.spec.rows]
    if not manifest.search:  # a tuning is answered by its curve, not by its best trial
        rows = with_holm(marked(draft.scores, rows, columns))
    # A table that no study asks for leaves it to the first to say how the experiments differ.
    asked = draft.paper is not None and draft.spec in manifest.tables
    table = Table(
        key=draft.spec.key,
        title=titled(draft.spec.title, manifest) if asked else draft.spec.title.rstrip("."),
        scale=f"{manifest.scale.rstrip('.')}; {seeds(len(manifest.seeds))}.",
        columns=tuple(columns),
        rows=(*rows, *(draft.quoted.rows(draft.spec.rows, columns) if draft.quoted else ())),
        seeds=len(manifest.seeds),
        complete=_complete(draft),
        number=draft.paper.key if draft.paper else "",
    )
    subject = Subject(table, draft.scores, draft.base.label, draft.paper, draft.odd)
    return replace(table, notes=notes(subject))


def _complete(draft: Draft) -> int:
    """Return the number of seeds at which every row of the table has finished."""
    frame = draft.scores.frame
    labels = [row.label for row in draft.spec.rows]
    mine = frame.loc[frame["label"].isin(labels), :]
    missing = mine.loc[mine["status"] != "finished", "seed"]
    return len(set(draft.manifest.seeds) - set(missing))


def _row(draft: Draft, row: Row, columns: Sequence[Column]) -> TableRow:
    frame = draft.scores.frame
    runs = frame.loc[frame["label"] == row.label, :].to_dict("records")
    finished = sum(run["status"] == "finished" for run in runs)
    reasons = tuple(_reason(run) for run in runs if run["status"] != "finished")
    odd = any(label == row.label for check in draft.odd for label, _ in check.odd)
    links = draft.scores.links(row.label)
    cells = []
    for column in columns:
        cell = _cell(draft, row, column, finished)
        ours = column.kind not in ("setting", "seeds", "paper")
        if ours and cell.missing:
            why = "; ".join(reasons) or f"its runs have no {column.key.removeprefix('gain:')}"
            cell = replace(cell, reason=why)
        elif ours and cell.value is not None:
            against = draft.scores.links(draft.base.label) if column.kind == "gain" else ()
            cell = replace(cell, doubtful=odd, links=(*links, *against))
        cells.append(cell)
    return TableRow(row.label, _name(draft, row), tuple(cells), finished, reasons)


def _name(draft: Draft, row: Row) -> str:
    """Return the first column: a trial's number, the method, or the label where methods repeat."""
    if draft.manifest.search:
        return f"trial {draft.spec.rows.index(row) + 1}"
    methods = [other.method for other in draft.spec.rows]
    has_settings = any(key.startswith(("loss.", "crf.")) for key in draft.spec.columns)
    return row.method if has_settings or len(set(methods)) == len(methods) else row.label


def _reason(run: dict[Hashable, Any]) -> str:
    """Return why a run gives no number: "seed 2: diverged: loss is nan at step 40"."""
    text = f"seed {run['seed']}: {run['status']}"
    why = run["reason"]
    return f"{text}: {why}" if isinstance(why, str) and why else text


def _cell(draft: Draft, row: Row, column: Column, finished: int) -> Cell:
    match column.kind:
        case "setting":
            value = row.settings.get(column.key)
            return Cell(text="" if value in (None, ABSENT) else str(value))
        case "seeds":
            wanted = len(draft.manifest.seeds)
            return Cell(text=f"{finished}" if finished == wanted else f"{finished} of {wanted}")
        case "paper":
            assert draft.quoted is not None
            return draft.quoted.cell(row, column.key)
        case "gain":
            return _gain_cell(draft, row, column.key.removeprefix("gain:"))
        case _:
            shown = cost_estimate if column.kind == "cost" else score_estimate
            value = shown(draft.scores.of(row.label, column.key).values())
            verdict = None
            if draft.quoted and column.kind == "score":
                metric = draft.scores.metric(column.key)
                verdict = draft.quoted.score_verdict(row, column.key, metric, value)
            return Cell(value=value, missing=value is None, verdict=verdict)


def _gain_cell(draft: Draft, row: Row, key: str) -> Cell:
    if row.label == draft.base.label:
        return Cell(text="")
    found = draft.scores.compare(row.label, draft.base.label, key)
    if found is None:
        return Cell(missing=True)
    verdict = draft.quoted.gain_verdict(row, key, found) if draft.quoted else None
    return Cell.of_gain(found.gain, found, verdict=verdict)

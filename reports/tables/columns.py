"""The columns of a table, from the columns that the study asks for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from bench.iou import HEADLINE
from bench.manifest import Manifest, Row, TableSpec
from reports.model import Column
from reports.published import PublishedRow, PublishedTable, find_published
from reports.runs import Check, class_names
from reports.statistics.scores import Scores, base_row
from reports.wording import UNITS, header, unit

# Names under which the paper prints a column of ours.
PRINTED = {HEADLINE: ("miou", "miou_12"), "infer_ms": ("infer_s",)}


@dataclass(frozen=True)
class Draft:
    """A table before its rows: what the study asks for, its numbers, and the paper's table."""

    scores: Scores
    spec: TableSpec
    paper: PublishedTable | None

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

    def printed_name(self, key: str) -> str | None:
        """Return the name of the paper's value for column ``key``; None where it prints none."""
        rows = self.paper.rows if self.paper else ()
        names = PRINTED.get(key, (key,))
        return next((name for name in names if any(name in row.values for row in rows)), None)

    def printed_row(self, row: Row) -> PublishedRow | None:
        """Return the paper's row that a row of ours repeats; None where it prints none."""
        return self.paper.row(row.settings) if self.paper else None


def titled(title: str, manifest: Manifest) -> str:
    """Return the title with the way in which the study differs from the paper that it repeats."""
    head = str(manifest.settings.get("model.head"))
    papers = [find_published(table.paper, head) for table in manifest.tables if table.paper]
    found = (paper.other_than(manifest.settings) for paper in papers if paper)
    return ", ".join(filter(None, [title.rstrip("."), next(found, None)]))


def columns_of(draft: Draft) -> list[Column]:
    """Return the table's columns, left to right; the number of seeds precedes the classes."""
    columns = [column for key in draft.spec.columns for column in _columns(draft, key)]
    first_class = next((i for i, c in enumerate(columns) if c.kind == "class"), len(columns))
    columns.insert(first_class, Column("seeds", "n", "seeds"))
    return columns


def _columns(draft: Draft, key: str) -> list[Column]:
    """Return the columns for one key: a metric has its gain and the paper's value beside it."""
    frame = draft.scores.frame
    if key == "loss.name":
        return [Column(key, "loss", "setting")]
    if key.startswith(("loss.", "crf.")):
        return [Column(key, key.removeprefix("loss."), "setting")]
    if key == "class_iou":
        return [Column(f"iou/{name}", name, "class") for name in class_names(frame)]
    if key.startswith("iou/"):
        return [Column(key, key.removeprefix("iou/"), "class")]
    is_cost = f"cost/{key}" in frame or key.rpartition("_")[2] in UNITS
    metric = draft.scores.metric(key)
    column = Column(key, header(metric), "cost" if is_cost else "score")
    return [column, *_gain(draft, key), *_printed(draft, key, metric)]


def _gain(draft: Draft, key: str) -> list[Column]:
    """Return the gain over the base row: of the headline metric, where rows are compared."""
    compared = len(draft.spec.rows) > 1 and not draft.manifest.search
    if key not in (HEADLINE, draft.manifest.metric) or not compared:
        return []
    same = [row for row in draft.spec.rows if row.method == draft.base.method]
    base = draft.base.method if len(same) == 1 else "first row"
    return [Column(f"gain:{key}", f"gain over {base}", "gain")]


def _printed(draft: Draft, key: str, metric: str) -> list[Column]:
    printed = draft.printed_name(key)
    if printed is None:
        return []
    # The paper's mean over 12 classes must not be taken for our mean over 11 beside it.
    if printed in ("infer_s", "miou", metric):
        return [Column(printed, f"paper{unit(printed)}", "paper")]
    return [Column(printed, f"paper, {header(printed)}", "paper")]

"""What others found for RMI: published comparisons with cross entropy, quoted as printed."""

from __future__ import annotations

import functools
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import Field

from bench.files import Strict, parse
from bench.manifest import Manifest
from reports.model import Cell, Column, Table, TableRow
from reports.sentences import others as words
from reports.wording import MINUS

FILE = Path(__file__).parents[1] / "replications.toml"
COMPARISONS = ("1", "1a", "1b")
"""The paper's tables that compare RMI with other losses."""
COLUMNS = (
    Column("data", "data", "setting"),
    Column("model", "network", "setting"),
    Column("runs", "runs", "setting"),
    Column("baseline", "baseline", "setting"),
    Column("score", "baseline's score (%)", "paper"),
    Column("rmi", "RMI's score (%)", "paper"),
    Column("gain:miou", "gain", "paper"),
    Column("own", "their own loss (%)", "setting"),
)
Printed = Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?$")]


class Comparison(Strict):
    """One comparison: data, network, and the scores as printed."""

    data: str
    model: str
    baseline: str = ""
    score: Printed | None = None
    rmi: tuple[Printed, ...]
    gain: Printed | None = None
    """The gain before rounding, where it differs from that of the printed scores."""
    interval: tuple[Printed, Printed] | None = None
    own: str = ""

    @property
    def gains(self) -> list[Decimal]:
        """Return the gain of each result of RMI over the baseline."""
        if self.gain is not None:
            return [Decimal(self.gain)]
        return [Decimal(rmi) - Decimal(self.score) for rmi in self.rmi] if self.score else []


class Source(Strict):
    """Those who made the comparisons, and what a reader must know about them."""

    name: str
    where: str
    runs: str
    note: str = ""
    rows: tuple[Comparison, ...]


class Replications(Strict):
    """The whole file."""

    source: tuple[Source, ...]


@functools.cache
def replications() -> tuple[Source, ...]:
    """Return every source in the file."""
    return parse(Replications, tomllib.loads(FILE.read_text()), where=FILE.name).source


def others_table(manifest: Manifest) -> Table | None:
    """Return what others found, for a study that repeats the paper's comparison of losses."""
    with_rmi = any(row.settings.get("loss.name") == "rmi" for row in manifest.rows.values())
    compares = any(table.paper in COMPARISONS and not table.published for table in manifest.tables)
    return found_by_others() if with_rmi and compares and not manifest.search else None


def found_by_others() -> Table:
    """Return the table of all comparisons, one row each, by source."""
    sources = replications()
    rows = [_row(source, row) for source in sources for row in source.rows]
    return Table(
        key="others",
        title=words.TITLE,
        scale=words.SCALE,
        columns=COLUMNS,
        rows=tuple(rows),
        seeds=0,
        notes=(_signs(), words.INTERVALS, *map(_note, sources)),
    )


def _row(source: Source, row: Comparison) -> TableRow:
    low_to_high = ""
    if row.interval:
        low, high = (_signed(Decimal(end)) for end in row.interval)
        low_to_high = f" [{low}, {high}]"
    texts = (
        *(row.data, row.model, source.runs, row.baseline, row.score or ""),
        ", ".join(row.rmi),
        ", ".join(map(_signed, row.gains)) + low_to_high,
        row.own,
    )
    label = ", ".join(filter(None, [source.name, row.data, row.model, row.baseline]))
    return TableRow(label, source.name, tuple(Cell(text=text) for text in texts))


def _signed(value: Decimal) -> str:
    return f"{value:+}".replace("-", MINUS)


def _signs() -> str:
    """Return how many comparisons with a baseline favour RMI, and how many intervals show it."""
    compared = [row for source in replications() for row in source.rows if row.gains]
    ahead = sum(min(row.gains) > 0 for row in compared)
    intervals = [row.interval for row in compared if row.interval]
    clear = sum(Decimal(low) > 0 for low, _ in intervals)
    return words.SIGNS.format(
        ahead=ahead, compared=len(compared), clear=clear, known=len(intervals)
    )


def _note(source: Source) -> str:
    fields = {"name": source.name, "where": source.where, "note": source.note}
    return words.SOURCE.format(**fields).strip()

"""The one table model that every renderer reads: columns, rows and cells, no ink."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from reports.statistics.stats import Comparison, Estimate

Verdict = Literal["agrees", "differs", "cannot tell"]
Kind = Literal["setting", "score", "class", "cost", "gain", "paper", "seeds"]


@dataclass(frozen=True)
class Column:
    """One column: ``key`` as in the study, ``header`` as printed with its unit."""

    key: str
    header: str
    kind: Kind


@dataclass(frozen=True)
class Cell:
    """What one cell says: a setting's ``text``, or an estimate in the column's unit, or neither."""

    text: str | None = None
    value: Estimate | None = None
    missing: bool = False
    """A number was due here and no run gave it; the row's ``reasons`` say why."""
    best: bool = False
    """The highest mean, and above every other row by its paired interval."""
    tied: bool = False
    """One of those that cannot be told from the highest mean, itself included."""
    doubtful: bool = False
    """A run behind it was made under other conditions than its neighbours."""
    comparison: Comparison | None = None
    """Of a gain: how sure it is."""
    verdict: Verdict | None = None
    """Of a score that the paper prints: whether its interval holds the printed number."""
    links: tuple[str, ...] = ()
    """MLflow's ids of the runs behind it, by seed."""
    reason: str | None = None
    """Why it is missing."""


@dataclass(frozen=True)
class TableRow:
    """One row; ``reference`` rows are quoted from a paper and have no runs of ours."""

    label: str
    name: str
    """The first column: the method, or the label where methods do not tell rows apart."""
    cells: tuple[Cell, ...]
    seeds: int = 0
    reasons: tuple[str, ...] = ()
    """Why seeds are missing, such as "seed 2: diverged: loss is nan at step 40"."""
    reference: bool = False


@dataclass(frozen=True)
class Table:
    """One table, ready for any renderer."""

    key: str
    title: str
    scale: str
    """Which data, how many images, steps and seeds: read with the title."""
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    seeds: int
    complete: int = 0
    """For how many seeds every row has its run."""
    notes: tuple[str, ...] = field(default=())

    @property
    def caption(self) -> str:
        """Title and scale."""
        return f"{self.title}. {self.scale}"

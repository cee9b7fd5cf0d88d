"""The published numbers that reports print beside ours, from reports/published.toml."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path

from bench.files import Strict, parse
from bench.manifest import OWN
from bench.spec import Scalar

FILE = Path(__file__).with_name("published.toml")

RECIPE = {
    "recipe.optimizer": "sgd",
    "recipe.schedule": "poly",
    "recipe.clip_norm": None,
    "recipe.ema_decay": None,
}
"""The recipe of every paper; manifests of older versions lack these settings."""


class PublishedRow(Strict):
    """One printed row."""

    method: str
    settings: dict[str, Scalar] | None = None
    """Settings of a row of ours that repeats it; None where no row of ours can."""
    values: dict[str, float]
    """Scores in percent and times in seconds, by name."""
    iou: tuple[float, ...] = ()
    """Per-class IoU in percent, in the order of the table's classes."""

    def repeated_by(self, settings: Mapping[str, Scalar]) -> bool:
        """Return whether a row with these settings repeats this one.

        The CRF must be on in both or off in both.
        """
        if self.settings is None or ("crf.steps" in settings) != ("crf.steps" in self.settings):
            return False
        return all(settings.get(key) == value for key, value in self.settings.items())


class PublishedTable(Strict):
    """One printed table, or the half of it that uses one model."""

    key: str
    source: str
    data: str
    model: str
    head: str
    fixed: dict[str, Scalar]
    """Fixed settings of a study of ours that is the same experiment."""
    note: str = ""
    classes: tuple[str, ...] = ()
    rows: tuple[PublishedRow, ...]

    def row(self, settings: Mapping[str, Scalar]) -> PublishedRow | None:
        """Return the printed row that a row with these settings repeats, or None."""
        return next((row for row in self.rows if row.repeated_by(settings)), None)

    def other_than(self, settings: Mapping[str, Scalar | None]) -> str | None:
        """Return how a study differs from the paper's, in words for a title; None if it does not.

        A backbone counts as the paper's with any initial weights ("resnet101.a1_in1k").
        """
        found = {**settings, "model.backbone": str(settings.get("model.backbone")).split(".")[0]}
        if found.get("data.name") != self.fixed["data.name"]:
            return "on other data than the paper's"
        if any(found.get(key) != value for key, value in self.fixed.items()):
            return "at another scale than the paper's"
        own = OWN in found.values()
        if own or any(found.get(key, value) != value for key, value in RECIPE.items()):
            return "with another recipe than the paper's"
        return None


class Published(Strict):
    """The whole file."""

    table: tuple[PublishedTable, ...]


@functools.cache
def published_tables() -> tuple[PublishedTable, ...]:
    """Return every table in the file."""
    return parse(Published, tomllib.loads(FILE.read_text()), where=FILE.name).table


def find_published(key: str, head: str) -> PublishedTable | None:
    """Return the published table called ``key``; None where there is none.

    Args:
        key: Number of the table, such as "1b". "1" means 1a and 1b.
        head: Of several tables, the one of this model head is preferred.
    """
    tables = [table for table in published_tables() if key in (table.key, table.key.rstrip("ab"))]
    return next((table for table in tables if table.head == head), next(iter(tables), None))


def published_keys() -> list[str]:
    """Return the keys that ``find_published`` knows."""
    keys = [key for t in published_tables() for key in (t.key, t.key.rstrip("ab"))]
    return sorted(set(keys) - {"3"})  # 3a and 3b are different tables

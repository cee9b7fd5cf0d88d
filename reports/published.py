"""The published numbers that reports print beside ours, and when the two compare."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.files import parse
from bench.manifest import OWN, TableSpec
from bench.published.tables import PublishedFile, PublishedTable
from bench.spec import Scalar
from reports.sentences import notes as words

FILE = Path(__file__).with_name("published.toml")

RECIPE: Mapping[str, Scalar | None] = {
    "recipe.optimizer": "sgd",
    "recipe.schedule": "poly",
    "recipe.clip_norm": None,
    "recipe.ema_decay": None,
    "evaluation.scales": "1.0",
    "evaluation.flip": False,
}
"""The recipe of a paper that says nothing else; manifests of older versions lack these settings."""
WHOLE = ("data.image_size", "data.train_images", "data.evaluate_images")
"""Settings that take fewer images, or smaller ones, than the data set has."""
OTHER_DATA = "on other data than the paper's"
OTHER_SCALE = "at another scale than the paper's"
OTHER_RECIPE = "with another recipe than the paper's"


def other_than(table: PublishedTable, settings: Mapping[str, Scalar | None]) -> str | None:
    """Return how a study differs from the paper's, in words for a title; None if it does not.

    A backbone counts as the paper's with any initial weights ("resnet101s.gluon_in1k").
    """
    backbone = str(settings.get("model.backbone"))
    stem = backbone.partition(".")[0]
    same = table.fixed["model.backbone"] in (backbone, stem)
    found = {**settings, "model.backbone": table.fixed["model.backbone"] if same else backbone}
    if found.get("data.name") != table.fixed["data.name"]:
        return OTHER_DATA
    recipe = {**RECIPE, **{key: v for key, v in table.fixed.items() if key in RECIPE}}
    scale = {key: value for key, value in table.fixed.items() if key not in RECIPE}
    scale = {**dict.fromkeys(WHOLE), **scale}
    if any(found.get(key) != value for key, value in scale.items()):
        return OTHER_SCALE
    if OWN in found.values() or any(found.get(key, v) != v for key, v in recipe.items()):
        return OTHER_RECIPE
    return None


def quotes_levels(table: PublishedTable, settings: Mapping[str, Scalar | None]) -> bool:
    """Return whether the paper's scores may stand beside a study's, and not its gains alone.

    A score on other data, or of another network, invites a comparison that means nothing.
    """
    return other_than(table, settings) not in (OTHER_DATA, OTHER_SCALE)


@functools.cache
def published_tables() -> tuple[PublishedTable, ...]:
    """Return every shipped table."""
    return parse(PublishedFile, tomllib.loads(FILE.read_text()), where=FILE.name).table


def find_published(key: str, head: str) -> PublishedTable | None:
    """Return the shipped table called ``key``; None where there is none.

    Args:
        key: Number of the table, such as "1b". "1" means 1a and 1b.
        head: Of several tables, the one of this model head is preferred.
    """
    tables = [table for table in published_tables() if key in (table.key, table.key.rstrip("ab"))]
    return next((table for table in tables if table.head == head), next(iter(tables), None))


def table_of(spec: TableSpec, head: str) -> PublishedTable | None:
    """Return the published table that a table repeats: the study's own, else a shipped one."""
    if spec.published is not None:
        return spec.published
    return find_published(spec.paper, head) if spec.paper else None


def published_keys() -> list[str]:
    """Return the keys that ``find_published`` knows."""
    keys = [key for t in published_tables() for key in (t.key, t.key.rstrip("ab"))]
    return sorted(set(keys) - {"3"})  # 3a and 3b are different tables


def source(paper: PublishedTable) -> str:
    """Return where the published numbers stand and what a reader must know about them."""
    return words.PAPER.format(source=paper.source, note=paper.note).strip()


def row_notes(paper: PublishedTable, methods: Sequence[str]) -> list[str]:
    """Return what a reader must know about the printed rows of these methods."""
    return list(dict.fromkeys(row.note for row in paper.rows if row.note and row.method in methods))

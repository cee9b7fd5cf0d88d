"""How each row is drawn: its method's colour, and a mark and dashes that tell it apart in grey."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.manifest import (
    COLOURS,
    INK,
    Manifest,
    TableSpec,
    base_row,
    distinct_rows,
    method_colours,
)
from reports.picture import Form

FORMS: tuple[Form, ...] = ("circle", "square", "diamond", "up", "down", "plus", "cross")
DASHES: tuple[tuple[float, ...], ...] = (
    (),
    (7, 3),
    (2, 2),
    (9, 3, 2, 3),
    (4, 2),
    (14, 3),
    (9, 2, 2, 2, 2, 2),
)
GREY = "#7f7f7f"
"""Colour of marks that tell seeds apart, not methods."""


@dataclass(frozen=True)
class Look:
    """How one row or series is drawn."""

    colour: str
    form: Form
    dashes: tuple[float, ...]


Looks = dict[str, Look]


def looks(names: Iterable[str], base: str | None = None) -> Looks:
    """Return a look for each name: ink for ``base``, the others by their order.

    After six others the colours repeat, with other marks and dashes.
    """
    others = [name for name in dict.fromkeys(names) if name != base]
    found = {base: Look(INK, FORMS[0], DASHES[0])} if base is not None else {}
    return found | {name: _look(i) for i, name in enumerate(others)}


def row_looks(manifest: Manifest, table: TableSpec) -> Looks:
    """Return a look for each row of a table, in its method's colour if no method has two rows."""
    rows = distinct_rows(table)
    found = looks([row.label for row in rows], base_row(rows).label)
    if len({row.method for row in rows}) < len(rows):
        return found
    by_method = looks(method_colours(manifest), base_row(manifest.tables[0].rows).method)
    return {row.label: by_method[row.method] for row in rows}


def seed_forms(seeds: Sequence[int]) -> dict[int, Form]:
    """Return a form for each seed; one form for all where there are more seeds than forms."""
    several = len(seeds) <= len(FORMS)
    return {seed: FORMS[i if several else 0] for i, seed in enumerate(seeds)}


def _look(place: int) -> Look:
    colour, again = place % len(COLOURS), place // len(COLOURS)
    other = (colour + 1 + 2 * again) % len(FORMS)
    return Look(COLOURS[colour], FORMS[other], DASHES[other])

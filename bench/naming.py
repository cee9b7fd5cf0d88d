"""Names, colours and settings of a manifest's rows, the same in every page that shows them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bench.manifest import Manifest, Row
from bench.spec import Scalar, digest

ABSENT = "-"
"""Stands for a setting that a row does not have, such as ``loss.pooling`` of cross entropy."""

# Paul Tol's "vibrant" scheme, distinguishable with every common colour blindness on white and on
# black. Its grey, which looks like missing data, is replaced by the olive of his "muted" scheme.
COLOURS = ("#0077BB", "#EE7733", "#009988", "#CC3311", "#EE3377", "#33BBEE", "#997700")


def method_colours(manifest: Manifest) -> dict[str, str]:
    """Return a hex colour of each method, in order of first appearance; seven, then again."""
    methods = dict.fromkeys(row.method for row in manifest.rows.values())
    return {method: COLOURS[i % len(COLOURS)] for i, method in enumerate(methods)}


def slug(key: str) -> str:
    """Return ``key`` in lower-case letters, digits and hyphens; different keys stay different."""
    plain = re.sub(r"[^a-z0-9]+", "-", key.lower()).strip("-")
    return plain if plain == key else f"{plain[:40]}-{digest(key)[:6]}".lstrip("-")


def varying(rows: Sequence[Row]) -> list[str]:
    """Return the settings with several values in ``rows``, in order of first appearance.

    A row without a setting does not count as another value.
    """
    values: dict[str, set[str]] = {}
    for row in rows:
        for key, value in row.settings.items():
            values.setdefault(key, set()).add(repr(value))
    return [key for key, seen in values.items() if len(seen) > 1]


def grouping_keys(manifest: Manifest) -> list[str]:
    """Return the settings to group and filter by: those that vary, and those that a table shows."""
    rows = list(manifest.rows.values())
    shown = [key for table in manifest.tables for key in (*table.columns, table.x) if key]
    known = {key for row in rows for key in row.settings}
    keys = ("loss.name", "crf.steps", *varying(rows), *shown)
    return list(dict.fromkeys(key for key in keys if key in known))


def run_name(manifest: Manifest, row: Row, seed: int) -> str:
    """Return a short name of a run, such as "RMI-avg-df4-rs3-s0".

    Between method and seed stands every setting that varies among the method's rows.
    """
    same = [other for other in manifest.rows.values() if other.method == row.method]
    factors = [
        _short(key, row.settings[key]) for key in sorted(varying(same)) if key in row.settings
    ]
    return "-".join([row.method, *factors, f"s{seed}"])


def _short(key: str, value: Scalar) -> str:
    if isinstance(value, str):
        return value
    words = key.rpartition(".")[2].split("_")
    return "".join(word[:1] for word in words) + f"{value}"

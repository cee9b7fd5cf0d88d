"""Sentences on the recipes of a table's rows: shared, or each row's own, tuned or given."""

from __future__ import annotations

from collections.abc import Collection

from bench.manifest import Manifest, Row
from reports.wording import listed, setting

RATE = "recipe.lr"


def recipes(manifest: Manifest, labels: Collection[str]) -> list[str]:
    """Return whether rows share one learning rate, and what else of the recipe is a row's own.

    Args:
        manifest: The study.
        labels: Labels of the rows.
    """
    rows = [row for label, row in manifest.rows.items() if label in labels]
    if len(rows) < 2 or manifest.search or RATE not in manifest.settings:
        return []
    own = dict.fromkeys(key for row in rows for key in row.settings if key.startswith("recipe."))
    differing = [key for key in own if len({row.settings[key] for row in rows}) > 1]
    if RATE not in differing:
        rate = setting(rows[0].settings.get(RATE, manifest.settings[RATE] or 0.0))
        found = [
            f"All rows share one learning rate, {rate}: a loss on another scale might rank "
            "differently at a rate of its own."
        ]
    else:
        found = [f"Rows have learning rates of their own ({_values(rows, RATE)}), {_origin(rows)}."]
    others = [key for key in differing if key != RATE]
    more = [f"{key.removeprefix('recipe.')} ({_values(rows, key)})" for key in others]
    return [*found, f"Rows also differ in {'; '.join(more)}."] if more else found


def _values(rows: list[Row], key: str) -> str:
    return listed([f"{row.label} {setting(row.settings[key])}" for row in rows])


def _origin(rows: list[Row]) -> str:
    """Return where the rates come from, and whether every row had the same number of trials."""
    counts = {row.trials for row in rows}
    if counts == {None}:
        return "given by the study, not tuned"
    if len(counts) == 1:
        return f"each tuned with {rows[0].trials} trials"
    each = [f"{row.label} {f'{row.trials} trials' if row.trials else 'given'}" for row in rows]
    return f"which is unequal treatment: they were not all tuned alike ({listed(each)})"

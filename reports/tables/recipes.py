"""Sentences on the recipes of a table's rows: shared, or each row's own, tuned or given."""

from __future__ import annotations

from collections.abc import Collection

from bench.manifest import Manifest, Row
from reports.sentences import notes as words
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
        found = [words.SHARED_RATE.format(rate=rate)]
    else:
        found = [_own_rates(rows)]
    others = [key for key in differing if key != RATE]
    more = [f"{key.removeprefix('recipe.')} ({_values(rows, key)})" for key in others]
    return [*found, words.RECIPES_DIFFER.format(settings="; ".join(more))] if more else found


def _values(rows: list[Row], key: str) -> str:
    return listed([f"{row.label} {setting(row.settings[key])}" for row in rows])


def _own_rates(rows: list[Row]) -> str:
    """Return where the rates come from, and whether every row had the same number of trials."""
    counts, rates = {row.trials for row in rows}, _values(rows, RATE)
    if counts == {None}:
        return words.RATES_GIVEN.format(rates=rates)
    if len(counts) == 1:
        return words.RATES_TUNED.format(rates=rates, trials=rows[0].trials)
    each = [f"{row.label} {f'{row.trials} trials' if row.trials else 'given'}" for row in rows]
    return words.RATES_UNEQUAL.format(rates=rates, trials=listed(each))

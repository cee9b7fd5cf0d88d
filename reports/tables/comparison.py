"""The rows of one study compared with the same rows of another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from bench.errors import SpecError
from bench.iou import HEADLINE
from bench.manifest import OWN, Manifest, Row
from bench.spec import Scalar
from reports.checks import PER_STUDY, environment_difference
from reports.model import Cell, Column, Table, TableRow
from reports.sentences import compare as words
from reports.statistics.scores import Scores, compare_rows, share_images, with_holm
from reports.statistics.shown import score_estimate
from reports.tables.notes import exact_test, shown_intervals
from reports.wording import header, population, seeds

MEASURED = ("data.name", "data.evaluate", "data.evaluate_images", "data.void")
"""Settings that decide what a score measures."""
Settings = frozenset[tuple[str, Scalar]]
NAMES = {"train_data": "training data", "data": "scored data", "env": "environment"}


@dataclass(frozen=True)
class Side:
    """One of the two studies, under the name that the user gave."""

    name: str
    scores: Scores

    @property
    def manifest(self) -> Manifest:
        """The study as it was planned."""
        return self.scores.manifest


def compare_studies(ours: Side, theirs: Side) -> Table:
    """Return the gain of each row of A over the same row of B, in the headline metric.

    Two rows are the same if their settings are, but for the recipe of their own. Title and notes
    name everything else that differs.

    Args:
        ours: Study A.
        theirs: Study B.

    Raises:
        SpecError: The two score different things, or have no row in common.
    """
    _refuse(ours, theirs)
    pairs = list(_pairs(ours.manifest, theirs.manifest))
    if not pairs:
        raise SpecError(
            f"{ours.name} and {theirs.name} share no row: no loss has the same settings in both"
        )
    metric = header(ours.manifest.metric)
    columns = (
        Column("ours", f"A: {metric}", "score"),
        Column("theirs", f"B: {metric}", "score"),
        Column("gain:miou", "A over B", "gain"),
        Column("seeds", "n", "seeds"),
    )
    settings = [*differing_settings(ours, theirs), *_own_recipes(ours, theirs, pairs)]
    conditions = differing_conditions(ours, theirs)
    unequal = settings or conditions
    table = Table(
        key="compare",
        title=f"A = {ours.name}, B = {theirs.name}"
        + (", made under different conditions" if unequal else ""),
        scale=f"{ours.manifest.scale.rstrip('.')}; {seeds(len(ours.manifest.seeds))}.",
        columns=columns,
        rows=tuple(with_holm([_row(ours, theirs, *pair) for pair in pairs])),
        seeds=min(len(side.manifest.seeds) for side in (ours, theirs)),
    )
    differences = "; ".join([*settings, *conditions])
    found = [words.DIFFERS.format(differences=differences)] if unequal else []
    found += _same_runs(pairs)
    images = share_images([ours.scores, theirs.scores])
    covered = population(images, ours.scores.images.groups, folds=ours.scores.folds)
    found.append(words.GAIN.format(population=covered))
    found += [*shown_intervals(table), *exact_test(table)]
    found += _alone(ours, theirs, [row.label for row, _ in pairs], [row.label for _, row in pairs])
    found += [*ours.scores.images.notes, *theirs.scores.images.notes]
    return replace(table, notes=tuple(found))


def differing_settings(ours: Side, theirs: Side) -> list[str]:
    """Return the fixed settings in which the studies differ: "recipe.steps 200 against 400"."""
    a, b = ours.manifest.settings, theirs.manifest.settings
    return [
        f"{key} {a.get(key)} against {b.get(key)}"
        for key in dict.fromkeys([*a, *b])
        if a.get(key) != b.get(key) and OWN not in (a.get(key), b.get(key))
    ]


def _own_recipes(ours: Side, theirs: Side, pairs: list[tuple[Row, Row]]) -> list[str]:
    """Return the rows trained with another recipe: "recipe.lr of Dice 0.2 against 0.1"."""
    found = []
    for row, other in pairs:
        for key in dict.fromkeys([*_recipe(row), *_recipe(other)]):
            a = row.settings.get(key, ours.manifest.settings.get(key))
            b = other.settings.get(key, theirs.manifest.settings.get(key))
            found += [f"{key} of {row.label} {a} against {b}"] if a != b else []
    return found


def differing_conditions(ours: Side, theirs: Side) -> list[str]:
    """Return the digests of code, data and environment in which the studies differ, in words."""
    found = []
    for name in PER_STUDY:
        a, b = (_digests(side, name) for side in (ours, theirs))
        if a and b and a != b:
            text = f"{', '.join(sorted(a))} against {', '.join(sorted(b))}"
            if name == "env":
                text = environment_difference(_artifacts(ours), _artifacts(theirs)) or text
            found.append(f"{NAMES.get(name, name)} {text}")
    return found


def _digests(side: Side, name: str) -> set[str]:
    frame = side.scores.frame
    column = f"digest/{name}"
    return set(map(str, frame[column].dropna())) if column in frame else set()


def _artifacts(side: Side) -> str | None:
    folders = side.scores.frame["artifact_uri"].dropna()
    return str(folders.iloc[0]) if len(folders) else None


def _refuse(ours: Side, theirs: Side) -> None:
    a, b = ours.manifest, theirs.manifest
    facts = [("metric", a.metric, b.metric)]
    facts += [(key, a.settings.get(key), b.settings.get(key)) for key in MEASURED]
    different = [f"{key} {x} against {y}" for key, x, y in facts if x != y]
    if different:
        raise SpecError(
            f"{ours.name} and {theirs.name} cannot be compared: their scores are of different "
            f"things ({'; '.join(different)})"
        )


def _pairs(ours: Manifest, theirs: Manifest) -> Iterator[tuple[Row, Row]]:
    """Yield the same rows of both: of several that differ in the recipe, one of the same recipe."""
    others: dict[Settings, list[Row]] = {}
    for row in theirs.rows.values():
        others.setdefault(_settings(row), []).append(row)
    for row in ours.rows.values():
        same = others.get(_settings(row), [])
        alike = [other for other in same if _recipe(other) == _recipe(row)]
        if alike or len(same) == 1:
            yield row, (alike or same)[0]


def _settings(row: Row) -> Settings:
    return frozenset(row.settings.items() - _recipe(row).items())


def _recipe(row: Row) -> dict[str, Scalar]:
    """Return the fields of the recipe that are settings of a row."""
    return {key: value for key, value in row.settings.items() if key.startswith("recipe.")}


def _row(ours: Side, theirs: Side, row: Row, other: Row) -> TableRow:
    label = row.label if row.label == other.label else f"{row.label} / {other.label}"
    sides = ((ours.scores, row.label), (theirs.scores, other.label))
    cells = []
    for scores, name in sides:
        value = score_estimate(scores.of(name, HEADLINE).values())
        why = None if value else "no run of this row has finished"
        cells.append(Cell(value=value, missing=value is None, reason=why, links=scores.links(name)))
    found = compare_rows(*sides, HEADLINE)
    if found is None:
        cells.append(Cell(missing=True, reason="no seed has finished in both"))
    else:
        cells.append(Cell.of_gain(found.gain, found))
    n = found.gain.n if found else 0
    return TableRow(label, label, (*cells, Cell(text=str(n))), n)


def _same_runs(pairs: list[tuple[Row, Row]]) -> list[str]:
    same = [row.label for row, other in pairs if set(row.run_ids) & set(other.run_ids)]
    return [words.SHARED_RUNS.format(rows=", ".join(same))] if same else []


def _alone(ours: Side, theirs: Side, mine: list[str], others: list[str]) -> list[str]:
    found = []
    for letter, side, shared in (("A", ours, mine), ("B", theirs, others)):
        if alone := [label for label in side.manifest.rows if label not in shared]:
            found.append(words.ALONE.format(study=letter, rows=", ".join(alone)))
    return found

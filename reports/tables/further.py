"""Tables that no study asks for: IoU by class, the effect of each setting, gain by each measure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bench.iou import BORDER_METRICS, HEADLINE
from bench.manifest import Manifest, Row, base_row, distinct_rows, varying
from bench.spec import Scalar
from reports.model import Cell, Column, Table, TableRow
from reports.runs import class_names
from reports.sentences import notes as words
from reports.statistics.scores import (
    BY_IMAGE,
    Scores,
    mean_comparison,
    with_holm,
)
from reports.tables.bare import bare_table
from reports.tables.build import tables_of
from reports.tables.notes import exact_test
from reports.tables.recipes import recipes
from reports.wording import header

MEASURES = (HEADLINE, BY_IMAGE, *BORDER_METRICS, "thin_miou")
# The paper's table of IoU by class on each data set.
CLASS_TABLES = {"camvid": "4", "voc": "2"}


@dataclass(frozen=True)
class Effect:
    """One value of a setting against another, in every pair of rows that differ in it alone."""

    key: str
    value: Scalar
    reference: Scalar
    pairs: tuple[tuple[str, str], ...]
    """Label of the row with the value, and of the row with the reference."""


def class_tables(scores: Scores) -> list[Table]:
    """Return the first table's rows by class; none where the study has class columns itself."""
    manifest, frame = scores.manifest, scores.frame
    columns = [column for table in manifest.tables for column in table.columns]
    if not class_names(frame) or any(c == "class_iou" or c.startswith("iou/") for c in columns):
        return []
    changes = {
        "key": "classes",
        "title": "IoU by class",
        "columns": (*_own_recipe(manifest), "class_iou"),
        "paper": CLASS_TABLES.get(str(manifest.settings.get("data.name"))),
        "x": None,
    }
    # Classes are compared over seeds alone: per-image counts, and notes about them, stay out.
    return tables_of(Scores(manifest, frame), manifest.tables[0].model_copy(update=changes))


def _own_recipe(manifest: Manifest) -> list[str]:
    """Return the settings of the recipe that are a row's own, such as "recipe.lr"."""
    keys = (key for row in manifest.rows.values() for key in row.settings)
    return list(dict.fromkeys(key for key in keys if key.startswith("recipe.")))


def effect_table(scores: Scores) -> Table | None:
    """Return the effect of each value of each setting; None where no setting varies alone.

    An effect is the mean over all pairs of rows that differ in that setting alone, paired by seed.
    """
    columns = (
        Column("value", "value", "setting"),
        Column("reference", "against", "setting"),
        Column("pairs", "pairs of rows", "setting"),
        Column("gain:miou", f"effect on {header(scores.metric(HEADLINE))}", "gain"),
    )
    lines = [_effect_row(scores, effect) for effect in effects(list(scores.manifest.rows.values()))]
    if not lines:
        return None
    table = bare_table(scores, "effects", "Effect of each setting", columns, with_holm(lines))
    meaning = words.EFFECTS.format(population=scores.population)
    notes = (
        meaning,
        *_one_seed(scores),
        *exact_test(table),
        *recipes(scores.manifest, scores.manifest.rows),
    )
    return replace(table, notes=notes)


def effects(rows: Sequence[Row]) -> Iterator[Effect]:
    """Yield each setting's values against the value that most rows have, method by method."""
    for method in dict.fromkeys(row.method for row in rows):
        family = [row for row in rows if row.method == method]
        for key in varying(family):
            having = [row for row in family if key in row.settings]
            counted = Counter(row.settings[key] for row in having)
            reference = counted.most_common(1)[0][0]
            for value in counted:
                pairs = _pairs(having, key, value, reference)
                if value != reference and pairs:
                    yield Effect(key, value, reference, pairs)


def _pairs(
    rows: Sequence[Row], key: str, value: Scalar, reference: Scalar
) -> tuple[tuple[str, str], ...]:
    others = {_rest(row, key): row.label for row in rows if row.settings[key] == reference}
    found = [(row.label, others.get(_rest(row, key))) for row in rows if row.settings[key] == value]
    return tuple((label, other) for label, other in found if other is not None)


def _rest(row: Row, key: str) -> frozenset[tuple[str, Scalar]]:
    return frozenset((k, v) for k, v in row.settings.items() if k != key)


def _effect_row(scores: Scores, effect: Effect) -> TableRow:
    found = mean_comparison(scores, effect.pairs)
    name = effect.key.removeprefix("loss.")
    texts = (str(effect.value), str(effect.reference), str(len(effect.pairs)))
    links = tuple(link for pair in effect.pairs for label in pair for link in scores.links(label))
    cell = (
        Cell(missing=True, reason="no seed has both runs of a pair")
        if found is None
        else Cell.of_gain(found.gain, found, links=links)
    )
    label = f"{name} {effect.value} against {effect.reference}"
    return TableRow(label, name, (*(Cell(text=text) for text in texts), cell))


def measure_table(scores: Scores) -> Table | None:
    """Return the gain over the base row by each measure that runs have; None below two.

    Measures: mIoU of the data set, mean of the images' own mIoU, mIoU near borders, and mIoU of
    thin classes.
    """
    rows = distinct_rows(scores.manifest.tables[0])
    base = base_row(rows)
    known = [key for key in MEASURES if any(_known(scores, row.label, key) for row in rows)]
    if len(known) < 2 or len(rows) < 2:
        return None
    columns = tuple(Column(f"gain:{key}", header(scores.metric(key)), "gain") for key in known)
    lines = []
    for row in rows:
        if row.label == base.label:
            continue
        cells = tuple(_gain(scores, row.label, base.label, key) for key in known)
        lines.append(TableRow(row.label, row.label, cells, len(scores.runs(row.label))))
    title = f"Gain over {base.label} by measure"
    table = bare_table(scores, "measures", title, columns, with_holm(lines))
    trained = recipes(scores.manifest, [row.label for row in rows])
    notes = (
        *_measure_notes(scores, known),
        *_one_seed(scores),
        *exact_test(table),
        *trained,
    )
    return replace(table, notes=notes)


def _measure_notes(scores: Scores, known: Sequence[str]) -> list[str]:
    notes = [words.MEASURES.format(population=scores.population)]
    if scores.covers_images and set(known) - {HEADLINE, BY_IMAGE}:
        notes.append(words.BORDER_MEASURES)
    if BY_IMAGE in known:
        notes.append(words.IMAGE_MEASURE.format(measure=header(BY_IMAGE)))
    return notes


def _one_seed(scores: Scores) -> list[str]:
    return [words.ONE_SEED] if len(scores.manifest.seeds) < 2 else []


def _known(scores: Scores, label: str, key: str) -> bool:
    return any(not math.isnan(value) for value in scores.of(label, key).values())


def _gain(scores: Scores, label: str, base: str, key: str) -> Cell:
    found = scores.compare(label, base, key)
    if found is None:
        return Cell(missing=True, reason=f"no seed has {key} of both rows")
    links = (*scores.links(label), *scores.links(base))
    return Cell.of_gain(found.gain, found, links=links)

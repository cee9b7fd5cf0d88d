"""Scores or pixel counts of single images, which let intervals of gains cover other images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from bench.errors import DataError
from bench.iou import HEADLINE
from studies.imported.runs import Columns, ImportedRun, ImportedRuns, with_scores
from studies.imported.sheet import Line, Sheet

SCORE = "score"
COUNTS = ("intersection/", "union/")
GROUP = "group"
ROUNDING = 6e-4
"""Largest distance between a stated score, which may have one decimal, and that of its images."""

RunKey = tuple[str, int]
"""Method and seed."""


@dataclass(frozen=True)
class ImageTable:
    """What the file says of each image of one run."""

    ids: tuple[str, ...]
    hits: tuple[tuple[float, ...], ...]
    """Intersection of each image and class; or, where an image has one score, that score."""
    unions: tuple[tuple[float, ...], ...]
    """Union of each image and class; or 1."""
    groups: tuple[str, ...] | None
    """The group of each image, such as a patient."""

    @property
    def score(self) -> float:
        """The score of the whole run: the mean over classes of their IoU, or over images."""
        hits = map(sum, zip(*self.hits, strict=True))
        unions = map(sum, zip(*self.unions, strict=True))
        return fmean(hit / union for hit, union in zip(hits, unions, strict=True) if union)


def read_images(
    sheet: Sheet, columns: Columns, found: ImportedRuns
) -> tuple[ImportedRuns, dict[RunKey, ImageTable]]:
    """Return the runs with the scores that their images have, and the images of each run.

    Args:
        sheet: The file of images.
        columns: The names of the columns of method and seed.
        found: The runs.

    Raises:
        DataError: A column or a cell is not as it should be, runs have different images, or images
            do not have the score of their run.
    """
    method = sheet.column(columns.method, "--method-column names another")
    seed = sheet.column(columns.seed, "--seed-column names another")
    image = sheet.column("image", "add it")
    group = next((c for c in sheet.columns if c.lower() == GROUP), None)
    values = _value_columns(sheet)
    known = {method, seed, image, group, *(c for pair in values.values() for c in pair if c)}
    sheet.refuse_others(
        {name for name in known if name},
        "known are score, or intersection/CLASS and union/CLASS, and group; delete any other",
    )
    by_run: dict[RunKey, dict[str, Line]] = {}
    for line in sheet.lines:
        lines = by_run.setdefault((line.text(method), line.seed(seed)), {})
        if (name := line.text(image)) in lines:
            raise DataError(f"{line.place} repeats {lines[name].place}; delete one of the lines")
        lines[name] = line
    _check_runs(sheet, found, by_run)
    scale = 100 if found.unit == "percent" else 1
    tables = {key: _table(lines, values, group, scale) for key, lines in by_run.items()}
    runs = tuple(_checked(run, tables[run.method, run.seed], sheet) for run in found.runs)
    return replace(found, runs=runs), tables


def _value_columns(sheet: Sheet) -> dict[str, tuple[str, str | None]]:
    """Return the columns of each class: intersection and union; or the one score, alone."""
    scores = [column for column in sheet.columns if column.lower() == SCORE]
    if scores:
        return {SCORE: (scores[0], None)}
    first, second = (
        {c[len(prefix) :]: c for c in sheet.columns if c.lower().startswith(prefix)}
        for prefix in COUNTS
    )
    if not first:
        raise DataError(
            f"{sheet.head} names neither 'score' nor intersection/CLASS and union/CLASS; add one"
        )
    if alone := sorted(first.keys() ^ second.keys()):
        raise DataError(
            f"{sheet.head}: class {alone[0]!r} needs both intersection/{alone[0]} and "
            f"union/{alone[0]}; add the other"
        )
    return {name: (column, second[name]) for name, column in first.items()}


def _check_runs(
    sheet: Sheet, found: ImportedRuns, by_run: Mapping[RunKey, Mapping[str, Line]]
) -> None:
    """Raise DataError unless the file has the same images for every run, and no other run."""
    known = {(run.method, run.seed): run for run in found.runs}
    for (method, seed), lines in by_run.items():
        if (method, seed) not in known:
            place = next(iter(lines.values())).place
            raise DataError(
                f"{place}: no run of {method}, seed {seed}; add it to the runs, or delete the line"
            )
    images = by_run[next(iter(by_run))]
    for (method, seed), run in known.items():
        lines = by_run.get((method, seed), {})
        if missing := [name for name in images if name not in lines]:
            raise DataError(
                f"{sheet.name} has no image {missing[0]!r} of {method}, seed {seed} ({run.place}); "
                "every run needs the same images"
            )
        if other := [name for name in lines if name not in images]:
            raise DataError(
                f"{lines[other[0]].place}: other runs have no image {other[0]!r}; every run needs "
                "the same images"
            )


def _table(
    lines: Mapping[str, Line],
    values: Mapping[str, tuple[str, str | None]],
    group: str | None,
    scale: int,
) -> ImageTable:
    ids = tuple(sorted(lines))
    pairs = [[_pair(lines[name], *columns, scale) for columns in values.values()] for name in ids]
    return ImageTable(
        ids=ids,
        hits=tuple(tuple(hit for hit, _ in row) for row in pairs),
        unions=tuple(tuple(union for _, union in row) for row in pairs),
        groups=None if group is None else tuple(lines[name].text(group) for name in ids),
    )


def _pair(line: Line, first: str, second: str | None, scale: int) -> tuple[float, float]:
    value = line.number(first)
    if second is None:
        if value > scale:
            raise line.fault(first, f"{value:g} is above {scale}; use the unit of the runs")
        return value / scale, 1.0
    union = line.number(second)
    if value > union:
        raise line.fault(first, f"{value:g} is above the union {union:g}; correct one of them")
    return value, union


def _checked(run: ImportedRun, table: ImageTable, sheet: Sheet) -> ImportedRun:
    """Return the run with the score of its images, which has more digits than the stated one."""
    metric, stated = next(iter(run.scores.items()))
    counted = _counted(table, run, sheet)
    if abs(counted - stated) > ROUNDING:
        way_out = (
            "give intersection/CLASS and union/CLASS for a data set's mIoU, score for a mean of "
            "images"
            if metric == HEADLINE
            else "a run's score must be the mean of its images' scores"
        )
        raise DataError(
            f"{run.place}: {metric} is {100 * stated:.2f} %, its images in {sheet.name} have "
            f"{100 * counted:.2f} %; {way_out}"
        )
    return with_scores(run, counted)


def _counted(table: ImageTable, run: ImportedRun, sheet: Sheet) -> float:
    if not any(map(any, table.unions)):
        raise DataError(f"{sheet.name}: {run.method}, seed {run.seed} has no union above 0")
    return table.score


def image_arrays(table: ImageTable) -> dict[str, Sequence[object]]:
    """Return the table as the arrays of a run's counts.npz."""
    arrays: dict[str, Sequence[object]] = {
        "ids": table.ids,
        "hits": table.hits,
        "unions": table.unions,
    }
    return arrays | ({} if table.groups is None else {"groups": table.groups})

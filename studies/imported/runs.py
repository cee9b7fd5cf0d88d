"""The runs of a CSV file: method, seed and scores, as fractions of 1."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bench.errors import DataError
from bench.iou import HEADLINE
from studies.imported.sheet import Line, Sheet

CLASS_PREFIX = "iou/"
TAKEN = ("class_iou", "miou_image")
"""Names that a column of a report has already."""
Unit = Literal["percent", "fraction"]


@dataclass(frozen=True)
class Columns:
    """The names of the columns, where they are not the usual ones."""

    method: str = "method"
    seed: str = "seed"
    scores: tuple[str, ...] = ("mIoU",)
    """The first is the metric that methods are compared in."""


@dataclass(frozen=True)
class ImportedRun:
    """One run of the file."""

    method: str
    seed: int
    scores: dict[str, float]
    """By metric, the one that methods are compared in first; between 0 and 1."""
    class_iou: dict[str, float]
    place: str
    """File and line, in words."""


@dataclass(frozen=True)
class ImportedRuns:
    """All runs of the file, and the unit in which it gives scores."""

    runs: tuple[ImportedRun, ...]
    unit: Unit

    @property
    def metric(self) -> str:
        """The metric that methods are compared in."""
        return next(iter(self.runs[0].scores))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Every seed that some method has."""
        return tuple(sorted({run.seed for run in self.runs}))

    @property
    def methods(self) -> dict[str, dict[int, ImportedRun]]:
        """The runs of each method by seed, methods in the order of the file."""
        found: dict[str, dict[int, ImportedRun]] = {}
        for run in self.runs:
            found.setdefault(run.method, {})[run.seed] = run
        return found


def read_runs(sheet: Sheet, columns: Columns, *, percent: bool = False) -> ImportedRuns:
    """Return the runs of a file.

    Args:
        sheet: The file.
        columns: The names of its columns.
        percent: Read every score as percent; otherwise the values themselves decide.

    Raises:
        DataError: A column or a cell is not as it should be, a run occurs twice, or the values
            mix percent and fractions.
    """
    method = sheet.column(columns.method, "--method-column names another")
    seed = sheet.column(columns.seed, "--seed-column names another")
    scores = _score_columns(sheet, columns.scores)
    classes = {c: c[len(CLASS_PREFIX) :] for c in sheet.columns if _is_class(c)}
    sheet.refuse_others(
        {method, seed, *scores, *classes},
        "--score names a column of scores, iou/CLASS holds a class; delete any other",
    )
    numbers = [(line, {c: line.number(c) for c in (*scores, *classes)}) for line in sheet.lines]
    unit = _unit(numbers, percent=percent)
    scale = 100 if unit == "percent" else 1
    runs = [
        ImportedRun(
            method=line.text(method),
            seed=line.seed(seed),
            scores={metric: values[c] / scale for c, metric in scores.items()},
            class_iou={name: values[c] / scale for c, name in classes.items()},
            place=line.place,
        )
        for line, values in numbers
    ]
    _refuse_twice(runs)
    return ImportedRuns(tuple(runs), unit)


def missing_seeds(found: ImportedRuns) -> list[str]:
    """Return a line for each method that lacks a seed which another method has."""
    return [
        f"{next(iter(runs.values())).place}: {method} has no run of {_seeds(gone)}; its "
        "gains are paired by the seeds that both rows have; add a line to change that"
        for method, runs in found.methods.items()
        if (gone := [seed for seed in found.seeds if seed not in runs])
    ]


def _seeds(numbers: Sequence[int]) -> str:
    return f"seed{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"


def with_scores(run: ImportedRun, score: float) -> ImportedRun:
    """Return the run with another value of the metric that methods are compared in."""
    metric = next(iter(run.scores))
    return replace(run, scores={**run.scores, metric: score})


def _is_class(column: str) -> bool:
    return column.lower().startswith(CLASS_PREFIX) and len(column) > len(CLASS_PREFIX)


def _score_columns(sheet: Sheet, names: Iterable[str]) -> dict[str, str]:
    """Return the metric of each column of scores."""
    found: dict[str, str] = {}
    for name in names:
        column = sheet.column(name, "--score names another")
        metric = HEADLINE if column.lower() == HEADLINE else re.sub(r"\W+", "_", column).strip("_")
        if not metric.isascii() or not metric or metric in (*TAKEN, *found.values()):
            raise DataError(
                f"{sheet.head}: {column!r} cannot name a score; rename it in letters, digits and _"
            )
        found[column] = metric
    return found


def _unit(numbers: Iterable[tuple[Line, Mapping[str, float]]], *, percent: bool) -> Unit:
    """Return the unit of all scores in the file; 0 is the same in both."""
    small: str | None = None
    large: str | None = None
    for line, values in numbers:
        for column, value in values.items():
            place = f"{value:g} ({line.place}, column {column!r})"
            if value > 100:
                raise line.fault(column, f"{value:g} is above 100 %, so it is no score; correct it")
            if value > 1:
                large = large or place
            elif value > 0:
                small = small or place
    if large is None:
        return "percent" if percent else "fraction"
    if small is not None and not percent:
        raise DataError(
            f"{large} can only be percent, {small} looks like a fraction of 1; write all scores in "
            "one unit, or give --percent if all of them are percent"
        )
    return "percent"


def _refuse_twice(runs: Iterable[ImportedRun]) -> None:
    first: dict[tuple[str, int], str] = {}
    for run in runs:
        key = (run.method, run.seed)
        if key in first:
            raise DataError(
                f"{run.place} repeats {run.method}, seed {run.seed}, of {first[key]}; delete one "
                "of the lines, or correct its seed"
            )
        first[key] = run.place

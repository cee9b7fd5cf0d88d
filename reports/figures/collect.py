"""Every figure that a study has the data for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.manifest import Manifest, TableSpec
from bench.naming import slug
from reports.figures import data as of
from reports.figures import draw
from reports.figures.ink import Drawing, row_looks
from reports.tables import base_row
from reports.tuning.answer import answers, sentence
from reports.wording import header

if TYPE_CHECKING:
    import pandas as pd

TRAINING = {"loss, each its own": "train/loss", "mIoU on train": "train/miou"}


@dataclass(frozen=True)
class Figure:
    """One figure: ``alt`` says in words what it shows."""

    key: str
    """Names its files and its place on the page."""
    title: str
    drawing: Drawing
    caption: str
    alt: str
    table: str | None = None
    """Key of the table it stands under; None for a section of its own."""
    on_page: bool = True


def figures_of(uri: str, manifest: Manifest, frame: pd.DataFrame) -> list[Figure]:
    """A curve for each table with an x, then the figures of the first table's rows.

    Of a tuning the curves behind its trials: no trial is held against another.
    """
    main = manifest.tables[0]
    if manifest.search:
        found = list(_tunings(manifest, frame))
    else:
        found = [curve for table in manifest.tables for curve in _curves(manifest, frame, table)]
        for make in (_gains, _boundary, _cost, _seeds):
            found += make(manifest, frame, main)
    return found + list(_training(uri, manifest, frame, main))


def _curves(manifest: Manifest, frame: pd.DataFrame, table: TableSpec) -> Iterator[Figure]:
    data = of.curve_data(manifest, frame, table)
    if not table.x or data["x"].isna().to_numpy().all():
        return
    name, key, score = table.x.rpartition(".")[2], f"curve-{slug(table.key)}", _score(manifest)
    caption = f"{score} over {name}; bands are 95 % intervals, none where one seed has finished."
    points = zip(data["series"], data["x"], data["mean"], strict=True)
    spoken = "; ".join(f"{series} at {x:g}: {mean:.2f}" for series, x, mean in points)
    drawing = draw.draw_curve(key, data, name, score)
    title = f"{table.title.rstrip('.')}, drawn"
    yield Figure(key, title, drawing, caption, f"{caption} {spoken}.", table.key)


def _tunings(manifest: Manifest, frame: pd.DataFrame) -> Iterator[Figure]:
    """The curve of each method of a tuning, over every setting searched that is a number."""
    for answer, table in zip(answers(manifest, frame), manifest.tables, strict=False):
        spaces = answer.search.spaces
        numeric = [name for name, space in spaces.items() if not space.choices]
        for name in numeric if answer.curve else ():
            key, score = slug(f"tuning-{table.key}-{name}"), _score(manifest)
            caption = (
                f"{score} of {answer.search.method} over {name}: the curve behind the trials with "
                "its 95 % band. A dot is one training; the line is its top, the dashed one the "
                f"study's own value ({answer.search.own[name]:g})."
            )
            if len(spaces) > 1:
                caption += " The other settings are at the top of the curve."
            curve, trials = of.tuning_data(answer, name), of.trial_data(answer, name)
            drawing = draw.draw_tuning(key, curve, trials, answer, name, score)
            title = f"{answer.search.method} over {name}"
            yield Figure(key, title, drawing, caption, f"{caption} {sentence(answer)}", table.key)


def _gains(manifest: Manifest, frame: pd.DataFrame, table: TableSpec) -> Iterator[Figure]:
    data = of.gain_data(frame, table)
    if data.empty:
        return
    base = base_row(table.rows).label
    caption = (
        f"Gain in IoU of each class over {base}, paired by seed; lines are 95 % intervals over "
        "finished seeds."
    )
    drawing = draw.draw_gains("gains", data, row_looks(manifest, table))
    alt = f"{caption} {_largest(data, 'class')}"
    yield Figure("gains", "Gain by class", drawing, caption, alt)


def _boundary(manifest: Manifest, frame: pd.DataFrame, table: TableSpec) -> Iterator[Figure]:
    data = of.boundary_data(frame, table)
    if data.empty:
        return
    base = base_row(table.rows).label
    caption = (
        f"Gain in mIoU over {base} where only pixels within so many pixels of a class boundary "
        "are scored, paired by seed; bands are 95 % intervals over finished seeds."
    )
    drawing = draw.draw_boundary("boundary", data, row_looks(manifest, table))
    alt = f"{caption} {_largest(data, 'width')}"
    yield Figure("boundary", "Gain near boundaries", drawing, caption, alt)


def _cost(manifest: Manifest, frame: pd.DataFrame, table: TableSpec) -> Iterator[Figure]:
    data = of.cost_data(manifest, frame, table)
    if len(set(data["label"])) < 2:
        return
    costs = ", ".join(header(cost) for cost in dict.fromkeys(data["cost"]))
    caption = (
        f"{_score(manifest)} against cost, mean over finished seeds: {costs}. Filled marks lie on "
        "the Pareto front (the steps): nothing here scores as high for less."
    )
    fronts = [
        f"{header(str(cost))}: {', '.join(points.loc[points['front'], 'label'])}"
        for cost, points in data.groupby("cost", sort=False)
    ]
    drawing = draw.draw_cost("cost", data, row_looks(manifest, table), _score(manifest))
    alt = f"{caption} On the front by {'; by '.join(fronts)}."
    yield Figure("cost", "Cost", drawing, caption, alt)


def _seeds(manifest: Manifest, frame: pd.DataFrame, table: TableSpec) -> Iterator[Figure]:
    data = of.seed_data(manifest, frame, table)
    if len(set(data["seed"])) < 2:
        return
    caption = f"{_score(manifest)} of every finished run; the bar is the mean of a row."
    spans = [
        f"{label}: {rows['score'].min():.2f} to {rows['score'].max():.2f}"
        for label, rows in data.groupby("label", sort=False)
    ]
    drawing = draw.draw_seeds("seeds", data, _score(manifest))
    yield Figure("seeds", "Seeds", drawing, caption, f"{caption} {'; '.join(spans)}.")


def _training(
    uri: str, manifest: Manifest, frame: pd.DataFrame, table: TableSpec
) -> Iterator[Figure]:
    panels = {
        title: data
        for title, key in TRAINING.items()
        if not (data := of.training_data(uri, frame, table, key)).empty
    }
    if not panels:
        return
    caption = (
        "Training of each method: mean of its seeds within the band of all. Losses of different "
        "methods have different scales and do not compare."
    )
    ends = [
        f"{label}, {title}: {rows['mean'].iloc[-1]:.3g} at step {rows['step'].iloc[-1]}"
        for title, data in panels.items()
        for label, rows in data.groupby("label", sort=False)
    ]
    drawing = draw.draw_training("training", panels, row_looks(manifest, table))
    yield Figure("training", "Training", drawing, caption, f"{caption} {'; '.join(ends)}.")


def _score(manifest: Manifest) -> str:
    return f"{manifest.metric.replace('miou', 'mIoU')} (%)"


def _largest(data: pd.DataFrame, by: str) -> str:
    """Each row's largest gain and loss in words."""
    said = []
    for label, rows in data.groupby("label", sort=False):
        top, last = rows.loc[rows["mean"].idxmax()], rows.loc[rows["mean"].idxmin()]
        said.append(f"{label}: {top['mean']:+.2f} at {top[by]}, {last['mean']:+.2f} at {last[by]}")
    return "; ".join(said) + "."

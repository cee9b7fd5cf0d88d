"""Every figure of a study whose data its runs have, with caption and text alternative."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from bench.manifest import Manifest, TableSpec, slug
from reports.figures import data, draw
from reports.figures.drawing import row_looks
from reports.model import Figure
from reports.statistics.scores import Scores, base_row
from reports.wording import header

if TYPE_CHECKING:
    import pandas as pd

TRAINING = {"loss, scales differ": "train/loss", "mIoU in training": "train/miou"}
"""Panels of the figure of training: title and metric."""


def study_figures(scores: Scores) -> list[Figure]:
    """Return a curve for each table with an x, then the figures of the first table's rows."""
    tables = scores.manifest.tables
    found = [figure for table in tables for figure in _curves(scores, table)]
    for make in (_gains, _boundary, _cost, _seeds):
        found += make(scores, tables[0])
    return found


def training_figures(
    manifest: Manifest,
    frame: pd.DataFrame,
    histories: Mapping[tuple[str, str], Sequence[tuple[int, float]]],
) -> list[Figure]:
    """Return the figure of training of the first table's rows; none where no run logged any.

    Args:
        manifest: The study.
        frame: Its runs frame.
        histories: (step, value) pairs by MLflow's run id and the metric's name.
    """
    table = manifest.tables[0]
    panels = {
        title: lines
        for title, key in TRAINING.items()
        if not (lines := data.training_data(frame, table, key, histories)).empty
    }
    if not panels:
        return []
    caption = (
        "Training of each method: the mean of its seeds, in a band from the lowest to the highest. "
        "Losses of different methods have different scales and cannot be compared."
    )
    ends = [
        f"{label}, {title}: {rows['mean'].iloc[-1]:.3g} at step {rows['step'].iloc[-1]}"
        for title, lines in panels.items()
        for label, rows in lines.groupby("label", sort=False)
    ]
    drawing = draw.draw_training("training", panels, row_looks(manifest, table))
    return [Figure("training", "Training", drawing, caption, f"{caption} {'; '.join(ends)}.")]


def _curves(scores: Scores, table: TableSpec) -> Iterator[Figure]:
    points = data.curve_data(scores, table)
    if not table.x or points["x"].isna().to_numpy().all():
        return
    name, key, score = table.x.rpartition(".")[2], f"curve-{slug(table.key)}", _score(scores)
    caption = f"{score} over {name}; bands are 95 % intervals; a single seed has none."
    marks = zip(points["series"], points["x"], points["mean"], strict=True)
    in_words = "; ".join(f"{series} at {x:g}: {mean:.2f}" for series, x, mean in marks)
    drawing = draw.draw_curve(key, points, name, score)
    title = f"{table.title.rstrip('.')}: curve"
    yield Figure(key, title, drawing, caption, f"{caption} {in_words}.", table.key)


def _gains(scores: Scores, table: TableSpec) -> Iterator[Figure]:
    gains = data.gain_data(scores, table)
    if gains.empty:
        return
    base = base_row(table.rows).label
    caption = (
        f"Gain in IoU of each class over {base}, paired by seed; lines are 95 % intervals over "
        "finished seeds."
    )
    drawing = draw.draw_gains("gains", gains, row_looks(scores.manifest, table))
    alt = f"{caption} {_largest(gains, 'class')}"
    yield Figure("gains", "Gain by class", drawing, caption, alt)


def _boundary(scores: Scores, table: TableSpec) -> Iterator[Figure]:
    gains = data.boundary_data(scores, table)
    if gains.empty:
        return
    base = base_row(table.rows).label
    caption = (
        f"Gain in mIoU over {base}, paired by seed, scored only at pixels within the given "
        "distance of a class boundary; bands are 95 % intervals over finished seeds."
    )
    drawing = draw.draw_boundary("boundary", gains, row_looks(scores.manifest, table))
    alt = f"{caption} {_largest(gains, 'width')}"
    yield Figure("boundary", "Gain near boundaries", drawing, caption, alt)


def _cost(scores: Scores, table: TableSpec) -> Iterator[Figure]:
    points = data.cost_data(scores, table)
    if len(set(points["label"])) < 2:
        return
    costs = ", ".join(header(cost) for cost in dict.fromkeys(points["cost"]))
    caption = (
        f"{_score(scores)} against cost, mean over finished seeds: {costs}. Filled marks lie on "
        "the Pareto front (the steps): no other row scores as high at a lower cost."
    )
    fronts = [
        f"{header(str(cost))}: {', '.join(rows.loc[rows['front'], 'label'])}"
        for cost, rows in points.groupby("cost", sort=False)
    ]
    drawing = draw.draw_cost("cost", points, row_looks(scores.manifest, table), _score(scores))
    alt = f"{caption} On the front by {'; by '.join(fronts)}."
    yield Figure("cost", "Cost", drawing, caption, alt)


def _seeds(scores: Scores, table: TableSpec) -> Iterator[Figure]:
    runs = data.seed_data(scores, table)
    if len(set(runs["seed"])) < 2:
        return
    caption = f"{_score(scores)} of every finished run; the bar is the mean of a row."
    spans = [
        f"{label}: {rows['score'].min():.2f} to {rows['score'].max():.2f}"
        for label, rows in runs.groupby("label", sort=False)
    ]
    drawing = draw.draw_seeds("seeds", runs, _score(scores))
    yield Figure("seeds", "Seeds", drawing, caption, f"{caption} {'; '.join(spans)}.")


def _score(scores: Scores) -> str:
    return header(scores.manifest.metric)


def _largest(gains: pd.DataFrame, by: str) -> str:
    """Return each row's largest and smallest gain in words."""
    found = []
    for label, rows in gains.groupby("label", sort=False):
        top, last = rows.loc[rows["mean"].idxmax()], rows.loc[rows["mean"].idxmin()]
        found.append(f"{label}: {top['mean']:+.2f} at {top[by]}, {last['mean']:+.2f} at {last[by]}")
    return "; ".join(found) + "."

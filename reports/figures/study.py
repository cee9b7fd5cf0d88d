"""Every figure of a study: its drawing, its caption and its values in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from bench.manifest import COLOURS, Manifest, TableSpec, base_row, slug
from reports.figures.axes import NARROW, WIDE
from reports.figures.data import (
    boundary_data,
    curve_data,
    gain_data,
    seed_data,
    training_data,
)
from reports.figures.looks import Looks, looks, row_looks
from reports.figures.multiples import FAR, draw_boundary, draw_gains, draw_training
from reports.figures.single import draw_curve, draw_seeds
from reports.model import Drawing, Figure
from reports.picture import Picture
from reports.sentences import captions
from reports.statistics.scores import Scores
from reports.statistics.stats import percent
from reports.wording import header, signed

if TYPE_CHECKING:
    import pandas as pd

LOSS, SCORE = "train/loss", "train/miou"
TRAINING = (LOSS, SCORE)
"""Metrics of the figures of training."""
GAIN_IN_IOU = "gain in IoU, percentage points"
MOST_CLASSES = 24
"""Largest number of classes in the figure of gains: more make it taller than a screen."""


def study_figures(scores: Scores) -> list[Figure]:
    """Return a curve for each table with an x, then the figures of the first table's rows."""
    tables = scores.manifest.tables
    found = [figure for table in tables for figure in _curves(scores, table)]
    for make in (_gains, _boundary, _seeds):
        found += make(scores, tables[0])
    return found


def training_figures(
    manifest: Manifest,
    frame: pd.DataFrame,
    histories: Mapping[tuple[str, str], Sequence[tuple[int, float]]],
) -> list[Figure]:
    """Return the figures of training of the first table's rows: the score, then the loss.

    There is none where runs logged fewer than two steps.

    Args:
        manifest: The study.
        frame: Its runs frame.
        histories: (step, value) pairs by MLflow's run id and the metric's name.
    """
    table, shown = manifest.tables[0], row_looks(manifest, manifest.tables[0])
    base, score = base_row(table.rows).label, "mIoU (%)"
    found = []
    reached = in_percent(training_data(frame, table, SCORE, histories))
    if len(set(reached["step"])) > 1:
        said = [captions.TRAINING.format(score=score), *of_training(reached, base)]
        found.append(training_figure("training", "Training", reached, shown, score, said, base))
    losses = training_data(frame, table, LOSS, histories)
    if len(set(losses["step"])) > 1:
        said = [captions.TRAINING_LOSS, *of_training(losses, None)]
        found.append(
            training_figure("training-loss", "Training loss", losses, shown, "loss", said, None)
        )
    return found


def training_figure(
    key: str,
    title: str,
    data: pd.DataFrame,
    looks: Looks,
    name: str,
    said: Iterable[str],
    base: str | None,
) -> Figure:
    """Return a figure of a metric over steps, its words the first and last value of each row."""
    ends = [
        f"{label}: {rows['mean'].iloc[0]:#.4g} at step {rows['step'].iloc[0]}, "
        f"{rows['mean'].iloc[-1]:#.4g} at step {rows['step'].iloc[-1]}"
        for label, rows in data.groupby("label", sort=False)
    ]
    drawing = drawn(lambda width: draw_training(data, looks, width, name, base))
    return captioned(key, title, drawing, [*said, *many_rows(looks)], "; ".join(ends))


def of_training(data: pd.DataFrame, base: str | None) -> list[str]:
    """Return what a caption says of the lines of ``training_data``."""
    found = []
    labels = set(data["label"])
    if base in labels and len(labels) > 1:
        found.append(captions.AGAINST.format(base=base))
    return [*found, captions.RANGE] if max(data["n"]) > 1 else found


def in_percent(data: pd.DataFrame) -> pd.DataFrame:
    """Return ``training_data`` of a score in percent."""
    return data.assign(**{key: data[key].map(percent) for key in ("mean", "low", "high")})


def drawn(draw: Callable[[float], Picture]) -> Drawing:
    """Return a picture at both widths."""
    return Drawing(draw(WIDE), draw(NARROW))


def captioned(
    key: str,
    title: str,
    drawing: Drawing,
    said: Iterable[str],
    words: str,
    table: str | None = None,
) -> Figure:
    """Return a figure; ``words`` name its values for readers who cannot see it."""
    caption = " ".join(filter(None, said))
    return Figure(key, title, drawing, caption, f"{caption} {words}.", table)


def many_rows(looks: Looks) -> list[str]:
    """Return the sentence that colours repeat, if there are more rows than colours."""
    return [captions.COLOURS_AGAIN] if len(looks) > len(COLOURS) + 1 else []


def _curves(scores: Scores, table: TableSpec) -> Iterator[Figure]:
    points = curve_data(scores, table)
    if not table.x or points["x"].isna().to_numpy().all():
        return
    name, key, score = table.x.partition(".")[2], f"curve-{slug(table.key)}", _score(scores)
    marks = zip(points["series"], points["x"], points["mean"], strict=True)
    words = "; ".join(f"{series} at {x:g}: {mean:.2f}" for series, x, mean in marks)
    shown = looks(map(str, points["series"]), base_row(table.rows).label)
    shown = {key: look for key, look in shown.items() if key in set(points["series"])}
    said = [captions.CURVE.format(score=score, setting=name), *_lines(points), *many_rows(shown)]
    drawing = drawn(lambda width: draw_curve(points, shown, width, name, score))
    yield captioned(key, f"{table.title.rstrip('.')}: curve", drawing, said, words, table.key)


def _gains(scores: Scores, table: TableSpec) -> Iterator[Figure]:
    gains = gain_data(scores, table)
    if gains.empty:
        return
    means = {str(name): rows["mean"].mean() for name, rows in gains.groupby("class", sort=False)}
    classes = sorted(means, key=lambda name: -means[name])
    kept = classes
    if len(kept) > MOST_CLASSES:
        kept = kept[: MOST_CLASSES // 2] + kept[-MOST_CLASSES // 2 :]
    order = {name: i for i, name in enumerate(kept)}
    shown = gains.loc[gains["class"].isin(kept), :]
    shown = shown.sort_values("class", key=lambda names: names.map(order), kind="stable")
    rows = row_looks(scores.manifest, table)
    said = [captions.GAINS.format(base=base_row(table.rows).label)]
    if len(kept) < len(classes):
        said.append(captions.SOME_CLASSES.format(shown=len(kept), all=len(classes)))
    said += [*gain_marks(shown), *many_rows(rows)]
    drawing = drawn(lambda width: draw_gains(shown, rows, width, GAIN_IN_IOU))
    yield captioned("gains", "Gain by class", drawing, said, _largest(gains, "class"))


def gain_marks(data: pd.DataFrame) -> list[str]:
    """Return what a caption says of the marks of ``draw_gains``."""
    if data["low"].equals(data["high"]):
        return [captions.NO_INTERVAL]
    ends = data[["low", "high"]].abs().to_numpy().max()
    return [captions.FILLED, *([captions.CUT] if ends > FAR * data["mean"].abs().max() else [])]


def _boundary(scores: Scores, table: TableSpec) -> Iterator[Figure]:
    gains = boundary_data(scores, table)
    if gains.empty:
        return
    rows = row_looks(scores.manifest, table)
    said = [captions.BOUNDARY.format(base=base_row(table.rows).label)]
    said += [captions.BAND] if max(gains["n"]) > 1 else [captions.NO_INTERVAL]
    x, y = "pixels on either side of a boundary", "gain in mIoU, points"
    drawing = drawn(lambda width: draw_boundary(gains, rows, width, x, y))
    said += many_rows(rows)
    yield captioned("boundary", "Gain near boundaries", drawing, said, _largest(gains, "width"))


def _seeds(scores: Scores, table: TableSpec) -> Iterator[Figure]:
    runs = seed_data(scores, table)
    if len(set(runs["seed"])) < 2:
        return
    spans = [
        f"{label}: {rows['score'].min():.2f} to {rows['score'].max():.2f}"
        for label, rows in runs.groupby("label", sort=False)
    ]
    rows, score = row_looks(scores.manifest, table), _score(scores)
    drawing = drawn(lambda width: draw_seeds(runs, rows, width, score))
    said = [captions.SEEDS.format(score=score)]
    yield captioned("seeds", "Seeds", drawing, said, "; ".join(spans))


def _lines(points: pd.DataFrame) -> list[str]:
    single = points["low"].equals(points["high"])
    return [captions.NO_INTERVAL if single else captions.INTERVALS]


def _score(scores: Scores) -> str:
    return header(scores.manifest.metric)


def _largest(gains: pd.DataFrame, by: str) -> str:
    """Return each row's largest and smallest gain in words."""
    found = []
    for label, rows in gains.groupby("label", sort=False):
        top, last = rows.loc[rows["mean"].idxmax()], rows.loc[rows["mean"].idxmin()]
        ends = (f"{signed(row['mean'])} at {row[by]}" for row in (top, last))
        found.append(f"{label}: {', '.join(ends)}")
    return "; ".join(found)

"""Every figure of a study: the data behind it, one line per mark, its caption and its words.

Scores are in percent, gains in percentage points, costs in their own unit.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.iou import HEADLINE
from bench.manifest import Manifest, TableSpec, slug, varying
from reports.figures import draw
from reports.figures.draw import row_looks
from reports.model import Figure
from reports.runs import class_names
from reports.statistics.scores import Scores, base_row, distinct_rows
from reports.statistics.stats import Estimate, difference, estimate
from reports.wording import header

if TYPE_CHECKING:
    import pandas as pd

TRAINING = {"loss, scales differ": "train/loss", "mIoU in training": "train/miou"}
"""Panels of the figure of training: title and metric."""
COSTS = ("train_s", "peak_mem_mb", "infer_ms")


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
        if not (lines := training_data(frame, table, key, histories)).empty
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
    points = curve_data(scores, table)
    if not table.x or points["x"].isna().to_numpy().all():
        return
    name, key, score = table.x.partition(".")[2], f"curve-{slug(table.key)}", _score(scores)
    caption = f"{score} over {name}; bands are 95 % intervals; a single seed has none."
    marks = zip(points["series"], points["x"], points["mean"], strict=True)
    in_words = "; ".join(f"{series} at {x:g}: {mean:.2f}" for series, x, mean in marks)
    drawing = draw.draw_curve(key, points, name, score)
    title = f"{table.title.rstrip('.')}: curve"
    yield Figure(key, title, drawing, caption, f"{caption} {in_words}.", table.key)


def _gains(scores: Scores, table: TableSpec) -> Iterator[Figure]:
    gains = gain_data(scores, table)
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
    gains = boundary_data(scores, table)
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
    points = cost_data(scores, table)
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
    runs = seed_data(scores, table)
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


def curve_data(scores: Scores, table: TableSpec) -> pd.DataFrame:
    """Return the headline score over the table's x: series, x, mean, low, high, n.

    A series is a method at one value of every other setting that varies. A row without the x
    setting has x = NaN: it is a level to compare with. Without an interval low and high equal the
    mean.
    """
    rows = [row for row in distinct_rows(table) if table.x in row.settings]
    others = [key for key in varying(rows) if key != table.x]
    lines = []
    for row in distinct_rows(table):
        found = estimate(scores.of(row.label, HEADLINE).values())
        if found is None:
            continue
        on_axis = table.x in row.settings
        factors = [f"{k.rpartition('.')[2]} {row.settings[k]}" for k in others if k in row.settings]
        series = ", ".join([row.method, *factors]) if on_axis else row.label
        x = float(row.settings[table.x]) if table.x and on_axis else float("nan")
        lines.append({"series": series, "x": x, **_numbers(found)})
    columns = ["series", "x", "mean", "low", "high", "n"]
    return data_frame(lines, columns).sort_values("x", kind="stable")


def gain_data(scores: Scores, table: TableSpec) -> pd.DataFrame:
    """Return the paired gain over the base row by class: label, class, mean, low, high, n."""
    keys = {name: f"iou/{name}" for name in class_names(scores.frame)}
    return _paired_gains(scores, table, keys, "class")


def boundary_data(scores: Scores, table: TableSpec) -> pd.DataFrame:
    """Return the paired gain near class boundaries: label, width, mean, low, high, n.

    Width is the half width, in pixels, of the scored band around each boundary. The frame is empty
    where no run has such scores.
    """
    found = (re.fullmatch(r"final/(trimap_miou_(\d+))", str(column)) for column in scores.frame)
    keys = {int(match[2]): match[1] for match in found if match}
    return _paired_gains(scores, table, dict(sorted(keys.items())), "width")


def cost_data(scores: Scores, table: TableSpec) -> pd.DataFrame:
    """Return the score against each cost: label, cost, spent, mean, low, high, n, front.

    ``spent`` is the mean over seeds in the cost's own unit. ``front`` marks the Pareto front: no
    row of the table scores as high for less, or higher for as much.
    """
    lines: list[dict[str, Any]] = []
    for cost in COSTS:
        points = []
        for row in distinct_rows(table):
            score = estimate(scores.of(row.label, HEADLINE).values())
            spent = estimate(scores.of(row.label, cost).values())
            # The memory of a CRF does not measure the training that it refines.
            if score and spent and not (cost == "peak_mem_mb" and "crf.steps" in row.settings):
                point = {"label": row.label, "cost": cost, "spent": spent.mean}
                points.append(point | _numbers(score))
        for point in points:
            point["front"] = not any(_dominates(other, point) for other in points)
        lines += points
    return data_frame(lines, ["label", "cost", "spent", "mean", "low", "high", "n", "front"])


def seed_data(scores: Scores, table: TableSpec) -> pd.DataFrame:
    """Return the headline score of every finished run: label, seed, score."""
    lines = [
        {"label": row.label, "seed": seed, "score": score}
        for row in distinct_rows(table)
        for seed, score in sorted(scores.of(row.label, HEADLINE).items())
    ]
    return data_frame(lines, ["label", "seed", "score"])


def training_data(
    frame: pd.DataFrame,
    table: TableSpec,
    key: str,
    histories: Mapping[tuple[str, str], Sequence[tuple[int, float]]],
) -> pd.DataFrame:
    """Return one metric over the steps of training: label, step, mean, low, high, n.

    Low and high are the lowest and the highest of the n seeds. Values that are not finite are left
    out.

    Args:
        frame: The runs frame.
        table: The table whose rows are drawn.
        key: Name of the metric, such as "train/loss".
        histories: (step, value) pairs by MLflow's run id and the metric's name.
    """
    lines = []
    for row in distinct_rows(table):
        by_step: dict[int, list[float]] = {}
        for run in frame.loc[frame["label"] == row.label, "mlflow_run_id"]:
            for step, value in histories.get((run, key), ()):
                if math.isfinite(value):
                    by_step.setdefault(step, []).append(value)
        lines += [
            {"label": row.label, "step": step, "mean": statistics.fmean(found)}
            | {"low": min(found), "high": max(found), "n": len(found)}
            for step, found in sorted(by_step.items())
        ]
    return data_frame(lines, ["label", "step", "mean", "low", "high", "n"])


def data_frame(lines: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    """Return lines as a data frame that has its columns even if it is empty."""
    import pandas as pd

    return pd.DataFrame(lines, columns=pd.Index(columns))


def _paired_gains(
    scores: Scores, table: TableSpec, keys: dict[Any, str], name: str
) -> pd.DataFrame:
    base = base_row(table.rows)
    lines = []
    for row in distinct_rows(table):
        for key, column in keys.items():
            gain = difference(scores.of(row.label, column), scores.of(base.label, column))
            if gain and row.label != base.label:
                lines.append({"label": row.label, name: key, **_numbers(gain)})
    return data_frame(lines, ["label", name, "mean", "low", "high", "n"])


def _dominates(a: dict[str, Any], b: dict[str, Any]) -> bool:
    no_worse = a["spent"] <= b["spent"] and a["mean"] >= b["mean"]
    return no_worse and (a["spent"], a["mean"]) != (b["spent"], b["mean"])


def _numbers(found: Estimate) -> dict[str, float]:
    low = found.mean if found.low is None else found.low
    high = found.mean if found.high is None else found.high
    return {"mean": found.mean, "low": low, "high": high, "n": found.n}

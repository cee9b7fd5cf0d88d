"""What each figure shows, as a frame: percent and percentage points, one line per mark."""

from __future__ import annotations

import math
import re
import statistics
from typing import TYPE_CHECKING, Any

from bench.manifest import Manifest, Row, TableSpec
from bench.naming import varying
from bench.store.reading import read_histories
from reports.frame import classes, values
from reports.statistics.stats import Estimate, difference, estimate
from reports.tables import base_row
from reports.tuning.answer import Answer

if TYPE_CHECKING:
    import pandas as pd

COSTS = ("train_s", "peak_mem_mb", "infer_ms")
POINTS = 101
"""Of a curve through trials."""


def distinct(table: TableSpec) -> list[Row]:
    """The table's rows without repetitions: the paper's Table 3a shows one row twice."""
    return list({row.label: row for row in table.rows}.values())


def curve_data(manifest: Manifest, frame: pd.DataFrame, table: TableSpec) -> pd.DataFrame:
    """The table's headline score over its x: series, x, mean, low, high, n (percent).

    A series is a method with whatever else varies. Rows without the x setting have x = NaN: they
    are levels to compare with. Without an interval low and high equal the mean.
    """
    rows = [row for row in distinct(table) if table.x in row.settings]
    others = [key for key in varying(rows) if key != table.x]
    lines = []
    for row in distinct(table):
        found = estimate(_percent(frame, row, f"final/{manifest.metric}").values())
        if found is None:
            continue
        on_axis = table.x in row.settings
        factors = [f"{k.rpartition('.')[2]} {row.settings[k]}" for k in others if k in row.settings]
        series = ", ".join([row.method, *factors]) if on_axis else row.label
        x = float(row.settings[table.x]) if table.x and on_axis else float("nan")
        lines.append({"series": series, "x": x, **_numbers(found)})
    columns = ["series", "x", "mean", "low", "high", "n"]
    return _frame(lines, columns).sort_values("x", kind="stable")


def gain_data(frame: pd.DataFrame, table: TableSpec) -> pd.DataFrame:
    """Paired gain of each row over the base row by class: label, class, mean, low, high, n."""
    keys = {name: f"iou/{name}" for name in classes(frame)}
    return _gains(frame, table, keys, "class")


def boundary_data(frame: pd.DataFrame, table: TableSpec) -> pd.DataFrame:
    """Paired gain over the base row near class boundaries: label, width, mean, low, high, n.

    Width is the half width in pixels of the band around each boundary that is scored. Empty where
    no run has such scores.
    """
    found = (re.fullmatch(r"final/trimap_miou_(\d+)", str(column)) for column in frame)
    keys = {int(match[1]): match[0] for match in found if match}
    return _gains(frame, table, dict(sorted(keys.items())), "width")


def cost_data(manifest: Manifest, frame: pd.DataFrame, table: TableSpec) -> pd.DataFrame:
    """Score against each cost: label, cost, spent, mean, low, high, n, front.

    ``spent`` is the mean over seeds in the cost's own unit; ``front`` says that no row of the table
    scores as high for less, or higher for as much (the Pareto front).
    """
    lines: list[dict[str, Any]] = []
    for cost in COSTS:
        points = []
        for row in distinct(table):
            score = estimate(_percent(frame, row, f"final/{manifest.metric}").values())
            spent = estimate(values(frame, row.label, f"cost/{cost}").values())
            # What a CRF held is no measure of the training that it stands on.
            if score and spent and not (cost == "peak_mem_mb" and "crf.steps" in row.settings):
                point = {"label": row.label, "cost": cost, "spent": spent.mean}
                points.append(point | _numbers(score))
        for point in points:
            point["front"] = not any(_dominates(other, point) for other in points)
        lines += points
    return _frame(lines, ["label", "cost", "spent", "mean", "low", "high", "n", "front"])


def seed_data(manifest: Manifest, frame: pd.DataFrame, table: TableSpec) -> pd.DataFrame:
    """The headline score of every finished run: label, seed, score."""
    lines = [
        {"label": row.label, "seed": seed, "score": score}
        for row in distinct(table)
        for seed, score in sorted(_percent(frame, row, f"final/{manifest.metric}").items())
    ]
    return _frame(lines, ["label", "seed", "score"])


def training_data(uri: str, frame: pd.DataFrame, table: TableSpec, key: str) -> pd.DataFrame:
    """One metric of the table's trainings over steps: label, step, mean, low, high, n (of seeds).

    Low and high are the lowest and highest seed. Values that are not finite are left out.
    """
    lines = []
    for row in distinct(table):
        by_step: dict[int, list[float]] = {}
        runs = frame.loc[(frame["label"] == row.label) & frame["role"].isin(["train", "tune"]), :]
        for points in read_histories(uri, list(runs["mlflow_run_id"]), [key]).values():
            for step, value in points:
                if math.isfinite(value):
                    by_step.setdefault(step, []).append(value)
        lines += [
            {"label": row.label, "step": step, "mean": statistics.fmean(found)}
            | {"low": min(found), "high": max(found), "n": len(found)}
            for step, found in sorted(by_step.items())
        ]
    return _frame(lines, ["label", "step", "mean", "low", "high", "n"])


def tuning_data(answer: Answer, name: str) -> pd.DataFrame:
    """The curve through a tuning's trials over one setting: x, mean, low, high (percent).

    The other settings are at the top of the curve.
    """
    assert answer.curve is not None
    assert answer.best is not None
    space = answer.search.spaces[name]
    line = dict.fromkeys(space.value(i / (POINTS - 1)) for i in range(POINTS))
    mean, low, high = answer.curve.at([{**answer.best.values, name: value} for value in line])
    points = zip(map(float, line), mean, low, high, strict=True)
    columns = ["x", "mean", "low", "high"]
    return _frame([dict(zip(columns, point, strict=True)) for point in points], columns)


def trial_data(answer: Answer, name: str) -> pd.DataFrame:
    """Every finished training of a tuning: seed, x (of one setting), score (percent)."""
    lines = [
        {"seed": found.seed, "x": float(found.values[name]), "score": found.score}
        for found in answer.observations
    ]
    return _frame(lines, ["seed", "x", "score"])


def _gains(frame: pd.DataFrame, table: TableSpec, keys: dict[Any, str], name: str) -> pd.DataFrame:
    base = base_row(table.rows)
    lines = []
    for row in distinct(table):
        for key, column in keys.items():
            gain = difference(_percent(frame, row, column), _percent(frame, base, column))
            if gain and row.label != base.label:
                lines.append({"label": row.label, name: key, **_numbers(gain)})
    return _frame(lines, ["label", name, "mean", "low", "high", "n"])


def _dominates(a: dict[str, Any], b: dict[str, Any]) -> bool:
    no_worse = a["spent"] <= b["spent"] and a["mean"] >= b["mean"]
    return no_worse and (a["spent"], a["mean"]) != (b["spent"], b["mean"])


def _percent(frame: pd.DataFrame, row: Row, column: str) -> dict[int, float]:
    return {seed: 100 * value for seed, value in values(frame, row.label, column).items()}


def _numbers(found: Estimate) -> dict[str, float]:
    low = found.mean if found.low is None else found.low
    high = found.mean if found.high is None else found.high
    return {"mean": found.mean, "low": low, "high": high, "n": found.n}


def _frame(lines: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(lines, columns=pd.Index(columns))

"""The numbers behind the figures of a study: one line per mark.

Scores are in percent, gains in percentage points.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.iou import HEADLINE
from bench.manifest import TableSpec, base_row, distinct_rows, varying
from reports.runs import class_names
from reports.statistics.scores import Scores
from reports.statistics.stats import Estimate, difference, estimate

if TYPE_CHECKING:
    import pandas as pd


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


def _numbers(found: Estimate) -> dict[str, float]:
    low = found.mean if found.low is None else found.low
    high = found.mean if found.high is None else found.high
    return {"mean": found.mean, "low": low, "high": high, "n": found.n}

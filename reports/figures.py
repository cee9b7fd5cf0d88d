"""Figures: first the numbers as a frame, then ink as SVG that takes the page's text colour."""

from __future__ import annotations

import io
import math
import re
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.manifest import Manifest, Row, Table
from bench.mlflow_view import COLOURS, method_colours, varying
from bench.tracking import read_history
from reports.frame import classes, values
from reports.stats import Estimate, difference, estimate
from reports.tables import base_row

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE = Path(__file__).parent / "styles" / "segloss.mplstyle"
WIDTH = 6.8
"""Inches: the text width of the report's page."""
MARKERS = "osD^vPX"


def curve_data(manifest: Manifest, frame: pd.DataFrame, table: Table) -> pd.DataFrame:
    """The table's headline score over its x: series, x, mean, low, high, n (percent).

    A series is a method with whatever else varies. Rows without the x setting have x = NaN: they
    are levels to compare with. Without an interval low and high equal the mean.
    """
    rows = [row for row in _distinct(table) if table.x in row.settings]
    others = [key for key in varying(rows) if key != table.x]
    lines = []
    for row in _distinct(table):
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


def gain_data(frame: pd.DataFrame, table: Table) -> pd.DataFrame:
    """Paired gain of each row over the base row by class: label, class, mean, low, high, n."""
    base = base_row(table.rows)
    lines = []
    for row in _distinct(table):
        for name in classes(frame):
            column = f"iou/{name}"
            gain = difference(_percent(frame, row, column), _percent(frame, base, column))
            if gain and row.label != base.label:
                lines.append({"label": row.label, "class": name, **_numbers(gain)})
    return _frame(lines, ["label", "class", "mean", "low", "high", "n"])


def training_data(uri: str, frame: pd.DataFrame, table: Table, key: str) -> pd.DataFrame:
    """One metric of the table's trainings over steps: label, step, mean, low, high, n (of seeds).

    Low and high are the lowest and highest seed. Values that are not finite are left out.
    """
    lines = []
    for row in _distinct(table):
        by_step: dict[int, list[float]] = {}
        runs = frame.loc[(frame["label"] == row.label) & frame["role"].isin(["train", "tune"]), :]
        for run in runs["mlflow_run_id"]:
            for step, value in read_history(uri, run, key):
                if math.isfinite(value):
                    by_step.setdefault(step, []).append(value)
        lines += [
            {"label": row.label, "step": step, "mean": statistics.fmean(found)}
            | {"low": min(found), "high": max(found), "n": len(found)}
            for step, found in sorted(by_step.items())
        ]
    return _frame(lines, ["label", "step", "mean", "low", "high", "n"])


def draw_curve(data: pd.DataFrame, x: str, score: str) -> str:
    """The curve of ``curve_data`` as SVG; levels are dashed."""
    with _figure(f"curve-{x}", 2.9) as (figure, ink):
        axes = figure.add_subplot()
        handles, names = [], []
        for i, (series, points) in enumerate(data.groupby("series", sort=False)):
            colour = COLOURS[i % len(COLOURS)]
            if points["x"].isna().to_numpy().all():
                handle = axes.axhline(points["mean"].iloc[0], color=colour, linestyle="--")
            else:
                handle = _points(axes, points, colour, MARKERS[i % len(MARKERS)])
            handles.append(handle)
            names.append(str(series))
        axes.set_xticks(sorted(data["x"].dropna().unique()))
        axes.set_xlabel(x)
        axes.set_ylabel(score)
        _legend(figure, handles, names)
    return ink[0]


def draw_gains(data: pd.DataFrame, manifest: Manifest, table: Table) -> str:
    """The gains of ``gain_data`` as SVG: a line of dots per class, zero marked."""
    names = list(dict.fromkeys(data["class"]))
    labels = list(dict.fromkeys(data["label"]))
    with _figure("gains", 1.0 + 0.11 * len(names) * (len(labels) + 1)) as (figure, ink):
        axes = figure.add_subplot()
        axes.axvline(0, color="#010101", linewidth=0.6)
        handles = []
        for i, label in enumerate(labels):
            rows = data[data["label"] == label]
            y = [names.index(name) + (i + 1) / (len(labels) + 1) - 0.5 for name in rows["class"]]
            colour = _colours(manifest, table)[label]
            axes.hlines(y, rows["low"], rows["high"], color=colour, linewidth=0.9, alpha=0.6)
            marker = MARKERS[i % len(MARKERS)]
            handles += axes.plot(rows["mean"], y, marker, color=colour, linestyle="none")
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("gain in IoU, percentage points")
        _legend(figure, handles, labels)
    return ink[0]


def draw_training(panels: dict[str, pd.DataFrame], manifest: Manifest, table: Table) -> str:
    """``training_data`` as SVG, a panel per title: the mean of the seeds in their band."""
    with _figure("training", 2.9) as (figure, ink):
        handles: dict[str, Any] = {}
        for i, (title, data) in enumerate(panels.items()):
            axes = figure.add_subplot(1, len(panels), i + 1)
            for label, rows in data.groupby("label", sort=False):
                colour = _colours(manifest, table)[str(label)]
                x, low, high = rows["step"], rows["low"], rows["high"]
                axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
                handles[str(label)] = axes.plot(x, rows["mean"], color=colour)[0]
            axes.set_title(title)
            axes.set_xlabel("step")
        _legend(figure, list(handles.values()), list(handles))
    return ink[0]


def _points(axes: Axes, points: pd.DataFrame, colour: str, marker: str) -> Any:
    axes.vlines(points["x"], points["low"], points["high"], color=colour, linewidth=0.9, alpha=0.6)
    return axes.plot(points["x"], points["mean"], marker=marker, color=colour)[0]


def _colours(manifest: Manifest, table: Table) -> dict[str, str]:
    """A colour per row: its method's, or by position where methods repeat."""
    rows = _distinct(table)
    methods = [row.method for row in rows]
    if len(set(methods)) == len(methods):
        colours = method_colours(manifest)
        return {row.label: colours[row.method] for row in rows}
    return {row.label: COLOURS[i % len(COLOURS)] for i, row in enumerate(rows)}


def _legend(figure: Figure, handles: Sequence[Any], names: Sequence[str]) -> None:
    if len(names) > 1:
        short = [name if len(name) <= 32 else f"{name[:31]}…" for name in names]
        figure.legend(handles, short, loc="outside upper left", ncols=min(4, len(names)))


@contextmanager
def _figure(name: str, height: float) -> Iterator[tuple[Figure, list[str]]]:
    """A figure in our style; when the block ends, its SVG is in the list."""
    import matplotlib.style
    from matplotlib.figure import Figure

    ink: list[str] = []
    with matplotlib.style.context(STYLE), matplotlib.rc_context({"svg.hashsalt": name}):
        figure = Figure(figsize=(WIDTH, height))
        yield figure, ink
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    ink.append(_themed(out.getvalue(), re.sub(r"[^a-z0-9]+", "-", name.lower())))


def _themed(svg: str, name: str) -> str:
    """The SVG without its prologue, in the page's colour and font, its ids unique to ``name``."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"'DejaVu Sans'(, sans-serif)?", "var(--sans, sans-serif)", svg)
    return svg.replace("#010101", "currentColor")


def _distinct(table: Table) -> list[Row]:
    """The table's rows without repetitions: the paper's Table 3a shows one row twice."""
    return list({row.label: row for row in table.rows}.values())


def _percent(frame: pd.DataFrame, row: Row, column: str) -> dict[int, float]:
    return {seed: 100 * value for seed, value in values(frame, row.label, column).items()}


def _numbers(found: Estimate) -> dict[str, float]:
    low = found.mean if found.low is None else found.low
    high = found.mean if found.high is None else found.high
    return {"mean": found.mean, "low": low, "high": high, "n": found.n}


def _frame(lines: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(lines, columns=pd.Index(columns))

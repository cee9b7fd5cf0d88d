"""The figures of a tuning: the curve of each method over every numeric setting it searched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.manifest import slug
from reports.figures.draw import INK, MARKERS, legend, looks, sheet
from reports.figures.study import data_frame
from reports.model import Drawing, Figure
from reports.statistics.scores import Scores
from reports.tuning.answer import Answer, answers
from reports.tuning.sentences import sentence
from reports.wording import MINUS, header

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

POINTS = 101
"""Number of points at which a curve is drawn."""


@dataclass(frozen=True)
class Panel:
    """One curve: an answer over one of its settings, under the key of its table."""

    answer: Answer
    setting: str
    table: str


def tuning_figures(scores: Scores) -> list[Figure]:
    """Return a figure for each method of a tuning and each numeric setting that it searched."""
    return [_figure(scores, panel) for panel in _panels(scores)]


def curve_data(panel: Panel) -> pd.DataFrame:
    """Return the curve through a tuning's trials over one setting: x, mean, low, high (percent).

    The other settings have the values of the curve's highest point.
    """
    answer, name = panel.answer, panel.setting
    assert answer.curve is not None
    assert answer.best is not None
    space = answer.search.spaces[name]
    line = dict.fromkeys(space.value(i / (POINTS - 1)) for i in range(POINTS))
    mean, low, high = answer.curve.at([{**answer.best.values, name: value} for value in line])
    points = zip(map(float, line), mean, low, high, strict=True)
    columns = ["x", "mean", "low", "high"]
    return data_frame([dict(zip(columns, point, strict=True)) for point in points], columns)


def trial_data(panel: Panel) -> pd.DataFrame:
    """Return every finished training of a tuning: seed, x (of one setting), score (percent)."""
    lines = [
        {"seed": found.seed, "x": float(found.values[panel.setting]), "score": found.score}
        for found in panel.answer.observations
    ]
    return data_frame(lines, ["seed", "x", "score"])


def _panels(scores: Scores) -> Iterator[Panel]:
    for answer, table in zip(answers(scores), scores.manifest.tables, strict=False):
        for name, space in answer.search.spaces.items():
            if answer.curve and not space.choices:
                yield Panel(answer, name, table.key)


def _figure(scores: Scores, panel: Panel) -> Figure:
    search, name = panel.answer.search, panel.setting
    key, score = slug(f"tuning-{panel.table}-{name}"), header(scores.manifest.metric)
    caption = (
        f"{score} of {search.method} over {name}: the curve through the trials with its 95 % band. "
        "A dot is one training. The vertical line marks the top of the curve, the dashed line the "
        f"study's own value ({search.own[name]:g})."
    )
    if len(search.spaces) > 1:
        caption += " The other settings have their values at the top of the curve."
    alt = f"{caption} {sentence(panel.answer)}"
    drawing = _draw(key, panel, score)
    return Figure(key, f"{search.method} over {name}", drawing, caption, alt, panel.table)


def _draw(key: str, panel: Panel, score: str) -> Drawing:
    """Draw the curve in its band with the trials, and lines at the study's own value and the top.

    On the scale log10(1 - x) the axis shows 1 - x.
    """
    answer, name = panel.answer, panel.setting
    assert answer.best is not None
    flipped = answer.search.spaces[name].scale == "log10(1 - x)"
    handles: dict[str, Any] = {}

    def placed(x: Any) -> Any:
        return 1 - x if flipped else x

    with sheet(key, 3.0) as made:
        axes = made.figure.add_subplot()
        curve = curve_data(panel)
        x, (look, dots) = placed(curve["x"]), looks(["curve", "trials"]).values()
        axes.fill_between(
            x, curve["low"], curve["high"], color=look.colour, alpha=0.15, linewidth=0
        )
        axes.plot(x, curve["mean"], color=look.colour)
        for seed, rows in trial_data(panel).groupby("seed"):
            marker = MARKERS[int(str(seed)) % len(MARKERS)]
            (handles[f"seed {seed}"],) = axes.plot(
                placed(rows["x"]), rows["score"], marker, color=dots.colour, linestyle="none"
            )
        for values, style in ((answer.search.own, "--"), (answer.best.values, "-")):
            axes.axvline(placed(float(values[name])), color=INK, linewidth=0.8, linestyle=style)
        axes.set_xlabel(f"1 {MINUS} {name}" if flipped else name)
        if answer.search.spaces[name].scale != "linear":
            _log_scale(axes)
        axes.set_ylabel(score)
        if len(handles) <= len(MARKERS):
            legend(made.figure, handles)
    return made.drawing


def _log_scale(axes: Axes) -> None:
    from matplotlib.ticker import LogLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")

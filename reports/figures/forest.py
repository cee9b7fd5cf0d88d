"""The picture of a study's answer: the gain of each row over the base row, with its certainty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reports.figures.draw import INK, Looks, row_looks, sheet, short
from reports.figures.study import data_frame
from reports.model import Drawing, Figure
from reports.sentences import verdict as words
from reports.statistics.ranking import Ranking, ranking_of
from reports.statistics.scores import Scores
from reports.wording import PLUS_MINUS, points, signed_points

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MOST = 12
"""Largest number of rows: the figure has to leave room for the verdict above it."""
WIDEST = 3.0
"""Longest axis, in spans of what the seeds show; an interval that is longer is cut."""
GREY = 0.45
"""Opacity of a gain whose interval holds zero."""
ROW = 0.23
"""Height of a row in inches."""


def forest_figures(scores: Scores) -> list[Figure]:
    """Return the figure of every row's gain; none where no row has one."""
    ranking = ranking_of(scores)
    data = forest_data(ranking)
    if data.empty:
        return []
    caption = words.FOREST.format(base=ranking.base, score=ranking.score)
    if not (data["n"] > 1).any():
        caption = words.FOREST_ONE_SEED.format(base=ranking.base, score=ranking.score)
    if (count := len(ranking.order) - 1) > len(data):
        caption += " " + words.FOREST_TOP.format(count=len(data), rows=count)
    said = "; ".join(_said(row) for row in data.to_dict("records"))
    looks = row_looks(scores.manifest, scores.manifest.tables[0])
    drawing = draw_forest("forest", data, looks, ranking.base, ranking.score)
    title = f"Gain over {ranking.base}"
    return [Figure("forest", title, drawing, caption, f"{caption} {said}.", table="")]


def forest_data(ranking: Ranking) -> pd.DataFrame:
    """Return a line per gain, highest first: label, mean, low, high, n, seeds, apart.

    ``seeds`` holds the difference at each seed; ``apart`` says whether the interval leaves out
    zero. Without an interval low and high equal the mean.
    """
    lines = []
    for label in ranking.order if ranking.base in ranking.order else ():
        found = None if label == ranking.base else ranking.pairs.difference(label, ranking.base)
        if found is None:
            continue
        gain = found.gain
        lines.append(
            {
                "label": label,
                "mean": gain.mean,
                "low": gain.mean if gain.low is None else gain.low,
                "high": gain.mean if gain.high is None else gain.high,
                "n": gain.n,
                "seeds": tuple(found.by_seed.values()),
                "apart": gain.above_zero is not None,
            }
        )
    return data_frame(lines[:MOST], ["label", "mean", "low", "high", "n", "seeds", "apart"])


def _said(row: dict[Any, Any]) -> str:
    spread = (row["high"] - row["low"]) / 2 if row["n"] > 1 else None
    mean = f"{row['label']} {signed_points(row['mean'], spread)}"
    ends = (signed_points(row[end], spread) for end in ("low", "high"))
    return mean if spread is None else f"{mean} ({' to '.join(ends)})"


def draw_forest(name: str, data: pd.DataFrame, looks: Looks, base: str, score: str) -> Drawing:
    """Draw ``forest_data``: a line per row, a tick per seed, zero marked, numbers at the right."""
    low, high = axis_ends(data)
    with sheet(name, 0.62 + ROW * len(data)) as made:
        axes = made.figure.add_subplot()
        axes.axvline(0, color=INK, linewidth=0.8)
        for y, row in enumerate(data.to_dict("records")):
            look, opacity = looks[row["label"]], 1.0 if row["apart"] else GREY
            _draw_interval(axes, y, row, (low, high), look.colour)
            axes.vlines(row["seeds"], y - 0.24, y + 0.24, color=look.colour, linewidth=1)
            face = look.colour if row["apart"] else "none"
            axes.plot(row["mean"], y, look.marker, color=look.colour, markerfacecolor=face)
            axes.annotate(
                _number(row),
                (1.02, y),
                xycoords=("axes fraction", "data"),
                va="center",
                color=INK,
                alpha=opacity,
            )
        axes.set_yticks(range(len(data)), [short(label, 26) for label in data["label"]])
        axes.set_ylim(len(data) - 0.5, -0.5)
        axes.set_xlim(low, high)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(f"gain over {short(base, 20)}, points of {score} (right of zero: better)")
    return made.drawing


def _draw_interval(
    axes: Axes, y: int, row: dict[Any, Any], ends: tuple[float, float], colour: str
) -> None:
    """Draw the interval; an end beyond the axis becomes an arrow."""
    low, high = max(row["low"], ends[0]), min(row["high"], ends[1])
    axes.hlines(y, low, high, color=colour, linewidth=1.4)
    for end, cut, marker in ((low, row["low"] < ends[0], "<"), (high, row["high"] > ends[1], ">")):
        if cut:
            axes.plot(end, y, marker, color=colour, markersize=5, clip_on=False)


def axis_ends(data: pd.DataFrame) -> tuple[float, float]:
    """Return the ends of the axis: zero, every seed, and intervals up to ``WIDEST`` spans."""
    shown = [0.0, *(value for seeds in data["seeds"] for value in seeds)]
    first, last = min(shown), max(shown)
    span = max(last - first, 1e-3)
    room = (WIDEST - 1) / 2 * span
    low = min(first, max(data["low"].min(), first - room))
    high = max(last, min(data["high"].max(), last + room))
    margin = 0.04 * (high - low)
    return low - margin, high + margin


def _number(row: dict[Any, Any]) -> str:
    spread = (row["high"] - row["low"]) / 2 if row["n"] > 1 else None
    mean = signed_points(row["mean"], spread)
    return mean if spread is None else f"{mean} {PLUS_MINUS} {points(spread, spread)}"

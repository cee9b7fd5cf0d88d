"""The picture of a study's answer: the gain of each row over the base row, with its certainty."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from reports.figures.axes import WIDE, Panel, Scale, interval
from reports.figures.data import data_frame
from reports.figures.looks import Look, Looks, row_looks
from reports.figures.study import drawn
from reports.model import Figure
from reports.picture import Group, Line, Mark, Picture, Shape, Words, short, words_width
from reports.sentences import verdict as words
from reports.statistics.ranking import Ranking, ranking_of
from reports.statistics.scores import Scores
from reports.wording import PLUS_MINUS, points, signed_points

if TYPE_CHECKING:
    import pandas as pd

MOST = 12
"""Largest number of rows: the figure has to leave room for the verdict above it."""
WIDEST = 3.0
"""Longest axis, in spans of what the seeds show; an interval that is longer is cut."""
GREY = 0.45
"""Opacity of a gain whose interval includes zero."""
ROW, BELOW = 20.0, 40.0
"""Height of a row, and of the axis below the rows, in pixels."""


def forest_figures(scores: Scores) -> list[Figure]:
    """Return the figure of every row's gain; none where no row has one."""
    ranking = ranking_of(scores)
    data = forest_data(ranking)
    if data.empty:
        return []
    caption = " ".join(_caption(ranking, data))
    said = "; ".join(_said(row) for row in data.to_dict("records"))
    looks = row_looks(scores.manifest, scores.manifest.tables[0])
    names = ranking.base, ranking.score
    drawing = drawn(lambda width: draw_forest(data, looks, width, *names))
    title = f"Gain over {ranking.base}"
    return [Figure("forest", title, drawing, caption, f"{caption} {said}.", table="")]


def _caption(ranking: Ranking, data: pd.DataFrame) -> Iterator[str]:
    fields = {"base": ranking.base, "score": ranking.score}
    known = data.loc[data["n"] > 1, :]
    yield (words.FOREST_ONE_SEED if known.empty else words.FOREST).format(**fields)
    if not known.empty and not all(data["apart"]):
        yield words.FOREST_GREY
    low, high = axis_ends(data)
    if min(data["low"]) < low or max(data["high"]) > high:
        yield words.FOREST_ARROW
    if (count := len(ranking.order) - 1) > len(data):
        yield words.FOREST_TOP.format(count=len(data), rows=count)


def forest_data(ranking: Ranking) -> pd.DataFrame:
    """Return a line per gain, highest first: label, mean, low, high, n, seeds, apart.

    ``seeds`` holds the difference at each seed; ``apart`` says whether the interval excludes
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


def draw_forest(data: pd.DataFrame, looks: Looks, width: float, base: str, score: str) -> Picture:
    """Draw ``forest_data``: a line per row, a tick per seed, zero marked, numbers at the right."""
    rows, most = data.to_dict("records"), 26 if width == WIDE else 14
    left = 12 + max(words_width(short(row["label"], most)) for row in rows)
    right = 14 + max(words_width(_number(row)) for row in rows)
    bottom = 6 + ROW * len(rows)
    across = Scale(*axis_ends(data), left, width - right)
    panel = Panel(across, Scale(0, len(rows), bottom, 6))
    shapes: list[Shape] = [panel.down(0)]
    for i, row in enumerate(rows):
        at = len(rows) - i - 0.5
        y, opacity = panel.y(at) + 4, 1.0 if row["apart"] else GREY
        shapes.append(Group(_said(row), tuple(_gain(panel, looks[row["label"]], row, at))))
        shapes.append(Words((left - 8, y), short(row["label"], most), "end"))
        shapes.append(Words((width - right + 10, y), _number(row), opacity=opacity))
    name = f"gain over {short(base, 20)}, points"
    if width == WIDE:
        name += f" of {score} (right of zero: better)"
    return Picture(width, bottom + BELOW, (*shapes, *panel.x_axis(name)))


def _gain(panel: Panel, look: Look, row: dict[str, Any], at: float) -> Iterator[Line | Mark]:
    """Yield the interval with an arrow at an end beyond the axis, a tick per seed, and the mark."""
    yield from interval(panel, row["low"], row["high"], at, look.colour)
    for value in row["seeds"]:
        x, y = panel.at(value, at)
        yield Line(((x, y - 5), (x, y + 5)), look.colour, 1)
    yield Mark(panel.at(row["mean"], at), look.form, look.colour, filled=row["apart"])


def axis_ends(data: pd.DataFrame) -> tuple[float, float]:
    """Return the ends of the axis: zero, every seed, and intervals up to ``WIDEST`` spans."""
    shown = [0.0, *(value for seeds in data["seeds"] for value in seeds)]
    first, last = min(shown), max(shown)
    span = max(last - first, 1e-3)
    room = (WIDEST - 1) / 2 * span
    low = min(first, max(min(data["low"]), first - room))
    high = max(last, min(max(data["high"]), last + room))
    margin = 0.04 * (high - low) or 1.0  # where every gain is zero
    return low - margin, high + margin


def _number(row: dict[Any, Any]) -> str:
    spread = (row["high"] - row["low"]) / 2 if row["n"] > 1 else None
    mean = signed_points(row["mean"], spread)
    return mean if spread is None else f"{mean} {PLUS_MINUS} {points(spread, spread)}"

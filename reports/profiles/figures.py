"""The figures of a study on several profiles: gains by profile, and the diagram of ranks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from reports.figures.axes import LINE
from reports.figures.data import data_frame
from reports.figures.looks import Looks, looks
from reports.figures.multiples import draw_gains
from reports.figures.study import captioned, drawn, gain_marks, many_rows
from reports.model import Figure, Table
from reports.picture import Line, Picture, Shape, Words, short, words_width
from reports.profiles.answer import Answer, Ranks
from reports.sentences import captions
from reports.wording import signed

if TYPE_CHECKING:
    import pandas as pd

AXIS = 52.0
"""Height of the axis of ranks with the critical difference above it, in pixels."""


def figures(answer: Answer, gains: Table) -> list[Figure]:
    """Return the figure of the table of gains, and that of ranks where these have a test."""
    found, rows = [], looks(answer.labels, answer.base)
    data = gain_data(gains)
    if not data.empty:
        marks = zip(data["label"], data["class"], data["mean"], strict=True)
        words = "; ".join(f"{label} {signed(mean)} on {place}" for label, place, mean in marks)
        said = [captions.PROFILES.format(base=answer.base), *gain_marks(data), *many_rows(rows)]
        drawing = drawn(lambda width: draw_gains(data, rows, width, "gain, percentage points"))
        found.append(captioned("gains", "Gains", drawing, said, words, "gains"))
    if answer.ranks and answer.ranks.critical is not None:
        found.append(_rank_figure(answer.ranks, rows))
    return found


def gain_data(table: Table) -> pd.DataFrame:
    """Return the gains of a table: label, class (the profile, or "mean"), mean, low, high.

    Without an interval low and high equal the mean.
    """
    lines = []
    for row in table.rows:
        for cell, column in zip(row.cells, table.columns, strict=True):
            if value := cell.value:
                low = value.mean if value.low is None else value.low
                high = value.mean if value.high is None else value.high
                place = "mean" if column.key == "gain:mean" else column.header
                line = {"label": row.label, "class": place, "mean": value.mean}
                lines.append({**line, "low": low, "high": high})
    return data_frame(lines, ["label", "class", "mean", "low", "high"])


def _rank_figure(found: Ranks, rows: Looks) -> Figure:
    said = captions.RANKS.format(profiles=found.profiles, critical=found.critical)
    order = "; ".join(f"{label} {rank:.2f}" for label, rank in found.mean.items())
    joined = "; ".join(" and ".join(group) for group in found.groups) or "none"
    drawing = drawn(lambda width: draw_ranks(found, rows, width))
    return captioned("ranks", "Ranks", drawing, [said], f"{order}. Joined: {joined}", "ranks")


def draw_ranks(found: Ranks, rows: Looks, width: float) -> Picture:
    """Draw the critical-difference diagram: an axis of ranks, names below it, and joined rows."""
    assert found.critical is not None
    k = len(found.mean)
    most = 24 if width > 500 else 12
    names = {label: f"{short(label, most)} {rank:.2f}" for label, rank in found.mean.items()}
    beside = 14 + max(map(words_width, names.values()))

    def x(rank: float) -> float:
        return beside + (rank - 1) / (k - 1) * (width - 2 * beside)

    shapes = _axis(found, k, x, width)
    for i, group in enumerate(found.groups):
        ends = x(found.mean[group[0]]) - 4, x(found.mean[group[-1]]) + 4
        y = AXIS + 10 + 8 * i
        shapes.append(Line(((ends[0], y), (ends[1], y)), width=4))
    first = AXIS + 24 + 8 * len(found.groups)
    for i, (label, rank) in enumerate(found.mean.items()):
        left = i < (k + 1) // 2
        y = first + LINE * (i if left else k - 1 - i)
        end = beside - 6 if left else width - beside + 6
        path = (x(rank), AXIS), (x(rank), y), (end, y)
        shapes.append(Line(path, rows[label].colour, 1.3))
        place = (end - 4, y + 4) if left else (end + 4, y + 4)
        shapes.append(Words(place, names[label], "end" if left else "start"))
    return Picture(width, first + LINE * ((k + 1) // 2), tuple(shapes))


def _axis(found: Ranks, k: int, x: Callable[[float], float], width: float) -> list[Shape]:
    """Return the ranks from 1 to the number of rows, and the critical difference above them."""
    assert found.critical is not None
    shapes: list[Shape] = [Line(((x(1), AXIS), (x(k), AXIS)), width=1)]
    for rank in range(1, k + 1):
        shapes.append(Line(((x(rank), AXIS - 5), (x(rank), AXIS)), width=1))
        shapes.append(Words((x(rank), AXIS - 9), str(rank), "middle"))
    end = min(x(1 + found.critical), width - 4)
    words = f"critical difference {found.critical:.2f}"
    middle = max((x(1) + end) / 2, words_width(words) / 2 + 2)
    shapes.append(Line(((x(1), 18), (end, 18)), width=1.6))
    return [*shapes, Words((middle, 12), words, "middle")]

"""The figures of a study on several profiles: gains by profile, and the diagram of ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports.figures.draw import INK, Looks, draw_gains, looks, sheet, short
from reports.figures.study import data_frame
from reports.model import Drawing, Figure, Table
from reports.profiles.answer import Answer, Ranks

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

GAP = 0.35
"""Distance between two lines of text below the axis of ranks, in inches."""


def figures(answer: Answer, gains: Table) -> list[Figure]:
    """Return the figure of the table of gains, and that of ranks where these have a test."""
    found = []
    data = gain_data(gains)
    if not data.empty:
        caption = (
            f"Gain over {answer.base} on each profile, with its 95 % interval, and the mean over "
            "profiles."
        )
        words = "; ".join(
            f"{label} {mean:+.2f} on {place}"
            for label, place, mean in zip(data["label"], data["class"], data["mean"], strict=True)
        )
        drawing = draw_gains("gains", data, looks(answer.labels), "gain, percentage points")
        found.append(
            Figure("gains", "Gains", drawing, caption, f"{caption} {words}.", table="gains")
        )
    if answer.ranks and answer.ranks.critical is not None:
        found.append(_rank_figure(answer.ranks, looks(answer.labels)))
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


def _rank_figure(found: Ranks, looks: Looks) -> Figure:
    caption = (
        f"Mean rank over {found.profiles} profiles; 1 is best. The bar above the axis is Nemenyi's "
        f"critical difference, {found.critical:.2f}; a bar below it joins rows whose ranks do not "
        "differ (Demšar, 2006)."
    )
    order = "; ".join(f"{label} {rank:.2f}" for label, rank in found.mean.items())
    joined = "; ".join(" and ".join(group) for group in found.groups) or "none"
    alt = f"{caption} {order}. Joined: {joined}."
    return Figure("ranks", "Ranks", draw_ranks("ranks", found, looks), caption, alt, table="ranks")


def draw_ranks(name: str, found: Ranks, looks: Looks) -> Drawing:
    """Draw the critical-difference diagram: an axis of ranks, names below it, and joined rows."""
    k, first = len(found.mean), 0.5 + 0.3 * len(found.groups)
    depth, beside = first + (k + 1) // 2, 0.45 * (k - 1)
    with sheet(name, 0.9 + GAP * depth) as made:
        axes = made.figure.add_subplot()
        axes.set_xlim(1 - beside, k + beside)
        axes.set_ylim(depth, -1.6)
        axes.axis("off")
        _draw_axis(axes, found, longest=k + beside)
        for i, group in enumerate(found.groups):
            ends = found.mean[group[0]] - 0.03, found.mean[group[-1]] + 0.03
            axes.hlines(0.3 + 0.3 * i, *ends, color=INK, linewidth=3)
        _draw_names(axes, found, looks, first)
    return made.drawing


def _draw_axis(axes: Axes, found: Ranks, longest: float) -> None:
    """Draw the ranks from 1 to the number of rows, and the critical difference above them."""
    assert found.critical is not None
    k = len(found.mean)
    axes.hlines(0, 1, k, color=INK, linewidth=1)
    for rank in range(1, k + 1):
        axes.vlines(rank, -0.15, 0, color=INK, linewidth=1)
        axes.text(rank, -0.25, str(rank), ha="center", va="bottom")
    end = min(1 + found.critical, longest)
    axes.hlines(-1.15, 1, end, color=INK, linewidth=1.2)
    words = f"critical difference {found.critical:.2f}"
    axes.text((1 + end) / 2, -1.2, words, ha="center", va="bottom")


def _draw_names(axes: Axes, found: Ranks, looks: Looks, first: float) -> None:
    """Draw the better half of the rows on the left, best on top, the others on the right."""
    k = len(found.mean)
    for i, (label, rank) in enumerate(found.mean.items()):
        left = i < (k + 1) // 2
        y = first + (i if left else k - 1 - i)
        x, side = (1 - 0.03 * k, "right") if left else (k + 0.03 * k, "left")
        axes.plot([rank, rank, x], [0, y, y], color=looks[label].colour, linewidth=1)
        axes.text(x, y, f" {short(label, 24)} {rank:.2f} ", ha=side, va="center")

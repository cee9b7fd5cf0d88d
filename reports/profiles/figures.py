"""The figures of a study on several profiles: gains by profile, and the diagram of ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports.figures.draw import INK, draw_gains, looks, sheet, short
from reports.figures.study import data_frame
from reports.model import Drawing, Figure, Table
from reports.profiles.answer import Answer, Ranks

if TYPE_CHECKING:
    import pandas as pd

GAP = 0.35
"""Distance between two lines of text below the axis of ranks, in inches."""


def figures(answer: Answer, gains: Table) -> list[Figure]:
    """Return the figure of the table of gains, and that of ranks where these have a test."""
    found = []
    data = gain_data(gains)
    if not data.empty:
        labels = list(dict.fromkeys(map(str, data["label"])))
        caption = (
            f"Gain over {answer.base} on each profile, with its 95 % interval, and the mean over "
            "profiles."
        )
        words = "; ".join(
            f"{label} {mean:+.2f} on {place}"
            for label, place, mean in zip(data["label"], data["class"], data["mean"], strict=True)
        )
        drawing = draw_gains("gains", data, looks(labels), "gain, percentage points")
        found.append(
            Figure("gains", "Gains", drawing, caption, f"{caption} {words}.", table="gains")
        )
    if answer.ranks and answer.ranks.critical is not None:
        found.append(_rank_figure(answer.ranks))
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


def _rank_figure(found: Ranks) -> Figure:
    caption = (
        f"Mean rank over {found.profiles} profiles; 1 is best. The bar above the axis is Nemenyi's "
        f"critical difference, {found.critical:.2f}; a bar below it joins rows whose ranks do not "
        "differ (Demšar, 2006)."
    )
    order = "; ".join(f"{label} {rank:.2f}" for label, rank in found.mean.items())
    joined = "; ".join(" and ".join(group) for group in found.groups) or "none"
    alt = f"{caption} {order}. Joined: {joined}."
    return Figure("ranks", "Ranks", draw_ranks("ranks", found), caption, alt, table="ranks")


def draw_ranks(name: str, found: Ranks) -> Drawing:
    """Draw the critical-difference diagram: an axis of ranks, names below it, and joined rows."""
    assert found.critical is not None
    labels, groups = list(found.mean), found.groups
    half = (len(labels) + 1) // 2
    k, first = len(labels), 0.5 + 0.3 * len(groups)
    depth = first + half * 1.0
    with sheet(name, 0.9 + GAP * depth) as made:
        axes = made.figure.add_subplot()
        axes.set_xlim(1 - 0.45 * (k - 1), k + 0.45 * (k - 1))
        axes.set_ylim(depth, -1.6)
        axes.axis("off")
        axes.hlines(0, 1, k, color=INK, linewidth=1)
        for rank in range(1, k + 1):
            axes.vlines(rank, -0.15, 0, color=INK, linewidth=1)
            axes.text(rank, -0.25, str(rank), ha="center", va="bottom")
        end = min(1 + found.critical, k + 0.45 * (k - 1))
        axes.hlines(-1.15, 1, end, color=INK, linewidth=1.2)
        axes.text(
            (1 + end) / 2,
            -1.2,
            f"critical difference {found.critical:.2f}",
            ha="center",
            va="bottom",
        )
        for i, group in enumerate(groups):
            ends = found.mean[group[0]] - 0.03, found.mean[group[-1]] + 0.03
            axes.hlines(0.3 + 0.3 * i, *ends, color=INK, linewidth=3)
        for i, (label, look) in enumerate(looks(labels).items()):
            left = i < half
            y = first + (i if left else k - 1 - i)
            x, rank = (1 - 0.03 * k if left else k + 0.03 * k), found.mean[label]
            axes.plot([rank, rank, x], [0, y, y], color=look.colour, linewidth=1)
            text = f"{short(label, 24)}  {rank:.2f}"
            axes.text(
                x,
                y,
                f"{text} " if left else f" {text}",
                ha="right" if left else "left",
                va="center",
            )
    return made.drawing

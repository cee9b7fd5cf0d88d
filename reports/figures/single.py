"""Figures of one panel: a score over a setting, and the scores of all seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports.figures.axes import FAINT, Panel, Scale, legend, span
from reports.figures.looks import GREY, Look, Looks, seed_forms
from reports.picture import Group, Line, Mark, Picture, Shape, Words, short, words_width
from reports.wording import interval_text

if TYPE_CHECKING:
    import pandas as pd

HEIGHT = 210.0
LEFT = 58.0
BELOW = 42.0
"""Height of the labels below an axis and of its name."""
ROW = 22.0
"""Height of a row of seeds."""


def draw_curve(data: pd.DataFrame, looks: Looks, width: float, x: str, score: str) -> Picture:
    """Draw the curves of ``curve_data`` with their intervals, and levels as lines across."""
    shapes, top = legend(looks, width)
    points = data.loc[data["x"].notna(), :]
    ends = span([*points["low"], *points["high"], *data["mean"]])
    panel = Panel(Scale(*span(points["x"]), LEFT, width - 12), Scale(*ends, top + HEIGHT, top + 8))
    ticks = {value: f"{value:g}" for value in sorted(points["x"].unique())}
    shapes += [*panel.x_axis(x, ticks), *panel.y_axis(score)]
    for key, look in looks.items():
        rows = data.loc[data["series"] == key, :].to_dict("records")
        if all(row["x"] != row["x"] for row in rows):
            shapes += [_level(panel, look, key, row) for row in rows]
            continue
        xs, means = [row["x"] for row in rows], [row["mean"] for row in rows]
        shapes.append(Line(panel.line(xs, means), look.colour, dashes=look.dashes))
        shapes += [_point(panel, look, f"{key} at {row['x']:g}", row) for row in rows]
    return Picture(width, top + HEIGHT + BELOW, tuple(shapes))


def draw_seeds(data: pd.DataFrame, looks: Looks, width: float, score: str) -> Picture:
    """Draw the scores of ``seed_data``: a line per row, a mark per seed, the mean as a bar."""
    rows = list(dict.fromkeys(data["label"]))
    forms = seed_forms(sorted(data["seed"].unique()))
    several = len(set(forms.values())) > 1
    keys = {f"seed {seed}": Look(GREY, form, ()) for seed, form in forms.items()}
    shapes, top = legend(keys, width, lines=False) if several else ([], 4.0)
    most = 30 if width > 500 else 18
    left = 12 + max(words_width(short(label, most)) for label in rows)
    bottom = top + ROW * len(rows)
    across, upwards = Scale(*span(data["score"]), left, width - 8), Scale(0, len(rows), bottom, top)
    panel = Panel(across, upwards)
    for i, label in enumerate(rows):
        at = len(rows) - i - 0.5
        found = data.loc[data["label"] == label, :]
        mean, y = found["score"].mean(), panel.y(at)
        shapes += [
            panel.across(at, opacity=FAINT),
            Words((left - 8, y + 4), short(label, most), "end"),
        ]
        bar = (panel.x(mean), y - 8), (panel.x(mean), y + 8)
        said = f"{label}: mean {mean:.2f}"
        shapes.append(Group(said, (Line(bar, looks[label].colour, 3),)))
        for row in found.to_dict("records"):
            mark = Mark(panel.at(row["score"], at), forms[row["seed"]], GREY, filled=False)
            shapes.append(Group(f"{label}, seed {row['seed']}: {row['score']:.2f}", (mark,)))
    shapes += panel.x_axis(score)
    return Picture(width, bottom + BELOW, tuple(shapes))


def _level(panel: Panel, look: Look, name: str, row: dict) -> Shape:
    ends = panel.line((panel.x.low, panel.x.high), (row["mean"], row["mean"]))
    return Group(_said(name, row), (Line(ends, look.colour, dashes=look.dashes),))


def _point(panel: Panel, look: Look, name: str, row: dict) -> Shape:
    x = row["x"]
    interval = Line(panel.line((x, x), (row["low"], row["high"])), look.colour, 1, opacity=0.6)
    mark = Mark(panel.at(x, row["mean"]), look.form, look.colour)
    return Group(_said(name, row), (interval, mark))


def _said(name: str, row: dict) -> str:
    return f"{name}: {interval_text(row['mean'], row['low'], row['high'])}"

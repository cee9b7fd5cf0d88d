"""Small multiples: one panel for each row of a table, all on the same axes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from reports.figures.axes import (
    FAINT,
    GAP,
    LINE,
    Panel,
    Scale,
    columns_of,
    interval,
    labels,
    panel_title,
    span,
)
from reports.figures.looks import Look, Looks
from reports.picture import (
    Area,
    Group,
    Line,
    Mark,
    Picture,
    Shape,
    Words,
    short,
    words_width,
)
from reports.wording import interval_text

if TYPE_CHECKING:
    import pandas as pd

LEAST = 150.0
"""Smallest width of a panel in pixels."""
TITLE, AXIS, NAME = 22.0, 24.0, 18.0
"""Height of a panel's title, of the labels below it, and of the name below all panels."""
RIGHT = 14.0
"""Room at the right for the half of a label."""
FAR = 3.0
"""An interval longer than this many times the largest gain is cut at the axis."""
HEIGHT = 110.0
"""Height of a panel of lines."""


def draw_gains(data: pd.DataFrame, looks: Looks, width: float, name: str) -> Picture:
    """Draw the gains of ``gain_data``: a panel per row, a line per class, zero marked.

    A mark is filled if its interval excludes zero.

    Args:
        data: Columns label, class, mean, low, high; n may be missing.
        looks: Look of each label.
        width: Width in pixels.
        name: Name of the gain, with its unit.
    """
    classes = [str(key) for key in dict.fromkeys(data["class"])]
    left = 10 + max(words_width(short(key, 24)) for key in classes)
    low, high = _within(data)
    shapes: list[Shape] = []
    height = LINE * len(classes)
    grid = _Grid(list(dict.fromkeys(data["label"])), width, left, height)
    for label, column, x, y in grid:
        scales = Scale(low, high, x, x + grid.panel), Scale(0, len(classes), y + height, y)
        panel, look = Panel(*scales), looks[label]
        rows = data.loc[data["label"] == label, :].to_dict("records")
        shapes += panel_title(look, label, (x, y - 12), grid.panel)
        shapes += [panel.across(i, opacity=FAINT) for i in range(1, len(classes))]
        shapes += [panel.down(0, opacity=0.6), *panel.x_axis("", _sparse(scales[0]))]
        for row in rows:
            at = len(classes) - classes.index(str(row["class"])) - 0.5
            shapes.append(_gain(panel, look, row, at))
        if column == 0:
            names = ((short(key, 24), len(classes) - i - 0.5) for i, key in enumerate(classes))
            shapes += [Words((x - 8, panel.y(at) + 4), text, "end") for text, at in names]
    return grid.picture([*shapes, *grid.name(name)])


def draw_boundary(data: pd.DataFrame, looks: Looks, width: float, x: str, y: str) -> Picture:
    """Draw the gains of ``boundary_data`` over the width of the scored band, a panel per row."""
    widths = sorted(data["width"].unique())
    ends = span([*data["low"], *data["high"]], zero=True)
    shapes: list[Shape] = []
    grid = _Grid(list(dict.fromkeys(data["label"])), width, 58.0, HEIGHT)
    for label, column, left, top in grid:
        across = Scale(-0.2, len(widths) - 0.8, left, left + grid.panel)
        panel, look = Panel(across, Scale(*ends, top + HEIGHT, top)), looks[label]
        rows = data.loc[data["label"] == label, :].sort_values("width").to_dict("records")
        xs = [float(widths.index(row["width"])) for row in rows]
        shapes += panel_title(look, label, (left, top - 12), grid.panel)
        ticks = {float(i): f"{value}" for i, value in enumerate(widths)}
        shapes += [panel.across(0, opacity=0.6), *panel.x_axis("", ticks)]
        shapes += panel.y_axis(y if column == 0 else "") if column == 0 else []
        shapes += _band(panel, look, xs, rows)
        shapes += _points(panel, look, xs, rows, [f"{label}, {row['width']} px" for row in rows])
    return grid.picture([*shapes, *grid.name(x)])


def draw_training(
    data: pd.DataFrame, looks: Looks, width: float, name: str, base: str | None
) -> Picture:
    """Draw ``training_data``: a panel per row, the mean of its seeds in their range.

    Args:
        data: Columns label, step, mean, low, high, n.
        looks: Look of each label.
        width: Width in pixels.
        name: Name of the metric, with its unit.
        base: The row whose line stands in every panel, on shared axes; None gives each panel
            axes of its own.
    """
    every = list(dict.fromkeys(data["label"]))
    shown = [label for label in every if label != base] or every
    lines = {label: data.loc[data["label"] == label, :].to_dict("records") for label in every}
    shapes: list[Shape] = []
    room = 58.0 if base is not None else 0.0
    grid = _Grid(shown, width, room, HEIGHT, own=0.0 if base is not None else 50.0)
    for label, column, left, top in grid:
        several = [base, label] if base in lines and base != label else [label]
        ends = data if base is not None else data.loc[data["label"] == label, :]
        across = Scale(0, max(*data["step"], 1), left, left + grid.panel)
        panel = Panel(across, Scale(*span([*ends["low"], *ends["high"]]), top + HEIGHT, top))
        shapes += panel_title(looks[label], label, (left, top - 12), grid.panel)
        shapes += panel.x_axis("", _sparse(across))
        shapes += panel.y_axis(name if column == 0 else "") if column == 0 or base is None else []
        for key in several:
            xs = [float(row["step"]) for row in lines[str(key)]]
            shapes += _band(panel, looks[str(key)], xs, lines[str(key)])
            shapes += _line(panel, looks[str(key)], xs, lines[str(key)], str(key))
    return grid.picture([*shapes, *grid.name("step")])


class _Grid:
    """Where the panels of a figure stand."""

    def __init__(
        self, names: Sequence[str], width: float, left: float, height: float, own: float = 0.0
    ) -> None:
        """Lay panels out in lines.

        Args:
            names: Name of each panel.
            width: Width of the picture.
            left: Room at the left of every line of panels, for labels that they share.
            height: Height of a panel's inside.
            own: Room at the left of every panel, for labels of its own.
        """
        self.names, self.width, self.left, self.own = names, width, left, own
        self.columns = columns_of(len(names), width - left, LEAST + own)
        room = (width - left - RIGHT - GAP * (self.columns - 1)) / self.columns
        self.panel = min(room - own, 2.4 * LEAST)
        self.step = TITLE + height + AXIS

    def __iter__(self) -> Iterator[tuple[str, int, float, float]]:
        for i, name in enumerate(self.names):
            line, column = divmod(i, self.columns)
            x = self.left + self.own + column * (self.panel + self.own + GAP)
            yield name, column, x, line * self.step + TITLE

    @property
    def bottom(self) -> float:
        """The lower end of the last line of panels."""
        return -(-len(self.names) // self.columns) * self.step

    def name(self, text: str) -> list[Shape]:
        """Return what the x axes of all panels show, once below them."""
        whole = self.columns * (self.panel + self.own + GAP) - GAP
        return [Words((self.left + whole / 2, self.bottom + 12), text, "middle")]

    def picture(self, shapes: list[Shape]) -> Picture:
        """Return the picture that holds all panels."""
        return Picture(self.width, self.bottom + NAME, tuple(shapes))


def _within(data: pd.DataFrame) -> tuple[float, float]:
    """Return the ends of an axis that holds all means, and intervals up to ``FAR`` times them."""
    largest = max(map(abs, data["mean"]))
    most = FAR * largest if largest else float("inf")
    ends = [min(max(value, -most), most) for value in (*data["low"], *data["high"])]
    return span([*ends, *data["mean"]], zero=True)


def _sparse(scale: Scale) -> dict[float, str]:
    """Return the labels of an axis, thinned until they do not touch."""
    found = labels(scale.ticks())
    room = abs(scale.end - scale.start)
    while len(found) > 2 and sum(words_width(text) + 10 for text in found.values()) > room:
        keep = [value for i, value in enumerate(found) if i % 2 == 0]
        found = labels(keep)
    return found


def _gain(panel: Panel, look: Look, row: dict, at: float) -> Group:
    """Return one gain: its interval with an arrow at a cut end, and its mark."""
    mean, low, high = row["mean"], row["low"], row["high"]
    certain = low > 0 or high < 0
    shapes = interval(panel, low, high, at, look.colour)
    several = low != high
    mark = Mark(panel.at(mean, at), look.form, look.colour, filled=certain and several)
    title = f"{row['label']}, {row['class']}: {interval_text(mean, low, high, signed=True)}"
    return Group(title, (*shapes, mark))


def _band(panel: Panel, look: Look, xs: Sequence[float], rows: Sequence[dict]) -> list[Shape]:
    """Return the area between low and high; nothing where a single seed has neither."""
    if all(row["low"] == row["high"] for row in rows):
        return []
    above = panel.line(xs, [row["high"] for row in rows])
    below = panel.line(xs, [row["low"] for row in rows])
    return [Area((*above, *reversed(below)), look.colour)]


def _points(
    panel: Panel, look: Look, xs: Sequence[float], rows: Sequence[dict], names: Sequence[str]
) -> list[Shape]:
    """Return a line with a mark at each point, and the mark's values as its title."""
    shapes: list[Shape] = [
        Line(panel.line(xs, [row["mean"] for row in rows]), look.colour, dashes=look.dashes)
    ]
    for x, row, name in zip(xs, rows, names, strict=True):
        said = interval_text(row["mean"], row["low"], row["high"], signed=True)
        mark = Mark(panel.at(x, row["mean"]), look.form, look.colour)
        shapes.append(Group(f"{name}: {said}", (mark,)))
    return shapes


def _line(
    panel: Panel, look: Look, xs: Sequence[float], rows: Sequence[dict], label: str
) -> list[Shape]:
    """Return a line with its last value as title; a single point becomes a mark."""
    last = rows[-1]
    said = interval_text(last["mean"], last["low"], last["high"])
    title = f"{label} at step {last['step']:g}: {said}"
    if len(rows) == 1:
        return [Group(title, (Mark(panel.at(xs[0], last["mean"]), look.form, look.colour),))]
    places = panel.line(xs, [row["mean"] for row in rows])
    return [Group(title, (Line(places, look.colour, 1.4),))]

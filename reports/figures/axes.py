"""Axes of a picture: scales, ticks, panels side by side, and legends."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from reports.figures.looks import Look
from reports.picture import SIZE, Line, Mark, Place, Shape, Words, short, words_width
from reports.wording import MINUS

WIDE, NARROW = 712.0, 350.0
"""Widths of a figure in pixels: on a page as wide as its text, and on a phone."""
FAINT = 0.15
"""Opacity of lines that only guide the eye."""
LINE = 16.0
"""Height of a line of text."""
GAP = 26.0
"""Space between panels."""


@dataclass(frozen=True)
class Scale:
    """Where values lie on a picture: ``low`` at pixel ``start``, ``high`` at pixel ``end``."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        low, high, at = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (at - low) / (high - low) * (self.end - self.start)

    def inside(self, value: float) -> float:
        """Return the value, or the nearer end if it lies beyond."""
        return min(max(value, self.low), self.high)

    def ticks(self) -> list[float]:
        """Return round values to label, at least two and about one in 60 pixels."""
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            found = [digit * 10.0**power for power in decades for digit in (1, 2, 5)]
            within = [v for v in found if self.low * 0.999 <= v <= self.high * 1.001]
            return within if len(within) > 1 else [self.low, self.high]
        count, found = max(2, round(abs(self.end - self.start) / 60)), list[float]()
        while len(found) < 2:
            step = _round_step((self.high - self.low) / count)
            first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
            found, count = [i * step for i in range(first, last + 1)], count + 1
        return found


@dataclass(frozen=True)
class Panel:
    """One set of axes on a picture."""

    x: Scale
    y: Scale

    def at(self, x: float, y: float) -> Place:
        """Return the place of a point; one outside is moved to the edge."""
        return self.x(self.x.inside(x)), self.y(self.y.inside(y))

    def line(self, xs: Iterable[float], ys: Iterable[float]) -> tuple[Place, ...]:
        """Return the places of points."""
        return tuple(self.at(x, y) for x, y in zip(xs, ys, strict=True))

    def across(self, y: float, *, opacity: float = 1.0) -> Line:
        """Return a thin line at height ``y`` from the left to the right."""
        ends = self.at(self.x.low, y), self.at(self.x.high, y)
        return Line(ends, width=0.8, opacity=opacity)

    def down(self, x: float, *, opacity: float = 1.0, dashes: tuple[float, ...] = ()) -> Line:
        """Return a thin line at ``x`` from the top to the bottom."""
        ends = self.at(x, self.y.low), self.at(x, self.y.high)
        return Line(ends, width=0.8, opacity=opacity, dashes=dashes)

    def x_axis(self, name: str, ticks: dict[float, str] | None = None) -> list[Shape]:
        """Return the axis below the panel; ``ticks`` are labels by value."""
        shapes: list[Shape] = [self.across(self.y.low)]
        bottom = self.y(self.y.low)
        for value, label in (ticks or labels(self.x.ticks())).items():
            x = self.x(value)
            shapes.append(Line(((x, bottom), (x, bottom + 4)), width=0.8))
            # A long label at the right end would touch the next panel's first one.
            most = self.x.end + GAP / 2 - words_width(label) / 2
            shapes.append(Words((min(x, most), bottom + 16), label, "middle"))
        middle = (self.x.start + self.x.end) / 2
        return [*shapes, Words((middle, bottom + 34), name, "middle")] if name else shapes

    def y_axis(self, name: str = "") -> list[Shape]:
        """Return the axis at the left of the panel, its name running upwards."""
        shapes: list[Shape] = [self.down(self.x.low)]
        left, found = self.x(self.x.low), labels(self.y.ticks())
        for value, label in found.items():
            y = self.y(value)
            shapes.append(Line(((left - 4, y), (left, y)), width=0.8))
            shapes.append(Words((left - 7, y + 4), label, "end"))
        if name:
            beside = left - 14 - max((words_width(label) for label in found.values()), default=0)
            middle = (self.y.start + self.y.end) / 2
            shapes.append(Words((beside, middle), name, "middle", turned=True))
        return shapes


def span(values: Iterable[float], *, zero: bool = False) -> tuple[float, float]:
    """Return the ends of an axis that holds all values with some air, and zero on request."""
    found = [value for value in values if math.isfinite(value)] + [0.0] * zero
    low, high = (min(found), max(found)) if found else (0.0, 1.0)
    air = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - air, high + air


def labels(ticks: Sequence[float]) -> dict[float, str]:
    """Return ticks with their labels, all with as many digits as they need."""
    step = min((abs(b - a) for a, b in pairwise(ticks)), default=1.0)
    places = max(0, -math.floor(math.log10(step) + 1e-9)) if step else 0
    return {tick: f"{tick + 0.0:,.{places}f}".replace("-", MINUS) for tick in ticks}


def interval(panel: Panel, low: float, high: float, at: float, colour: str) -> list[Line]:
    """Return an interval across the panel at height ``at``, with an arrow at a cut end."""
    shapes = [Line(panel.line((low, high), (at, at)), colour, 1.3, opacity=0.75)]
    for end, cut, inwards in (
        (panel.x.low, low < panel.x.low, 4),
        (panel.x.high, high > panel.x.high, -4),
    ):
        if cut:
            x, y = panel.at(end, at)
            head = (x + inwards, y - 3), (x, y), (x + inwards, y + 3)
            shapes.append(Line(head, colour, 1.3, opacity=0.75))
    return shapes


def sample(look: Look, place: Place, *, line: bool) -> list[Shape]:
    """Return a look as a legend shows it: its mark, on a short line if it is a line's."""
    (x, y), shapes = place, list[Shape]()
    if line:
        shapes.append(Line(((x - 10, y), (x + 10, y)), look.colour, dashes=look.dashes))
    return [*shapes, Mark(place, look.form, look.colour)]


def legend(
    looks: dict[str, Look], width: float, *, lines: bool = True
) -> tuple[list[Shape], float]:
    """Return the names of several series above a figure, and the height that they take."""
    if len(looks) < 2:
        return [], 4.0
    shapes: list[Shape] = []
    x, y = 12.0, 10.0
    for name, look in looks.items():
        text = short(name)
        taken = 20 + words_width(text) + 22
        if x + taken > width and x > 12:
            x, y = 12.0, y + LINE
        shapes += [*sample(look, (x, y), line=lines), Words((x + 16, y + 4), text)]
        x += taken
    return shapes, y + LINE


def columns_of(count: int, width: float, least: float) -> int:
    """Return how many panels stand in one line, each at least ``least`` pixels wide."""
    most = max(1, min(count, int((width + GAP) // (least + GAP))))
    return math.ceil(count / math.ceil(count / most))


def panel_title(look: Look, label: str, place: Place, width: float) -> list[Shape]:
    """Return the mark and the name of a panel's row over the panel."""
    x, y = place
    letters = max(8, int(width / (0.56 * SIZE)) - 3)
    words = Words((x + 14, y + 4), short(label, letters))
    return [Mark((x + 4, y), look.form, look.colour), words]


def _round_step(step: float) -> float:
    """Return the next round number: 1, 2 or 5 times a power of ten."""
    if step <= 0 or not math.isfinite(step):
        return 1.0
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * digit for digit in (1, 2, 5, 10) if power * digit >= step * 0.999)

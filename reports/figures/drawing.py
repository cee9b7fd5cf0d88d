"""Drawing in one style: an SVG that takes the page's text colour, and a PDF for print."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.manifest import COLOURS, Manifest, TableSpec, method_colours
from reports.model import Drawing
from reports.statistics.scores import distinct_rows

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE = Path(__file__).parents[1] / "styles" / "segloss.mplstyle"
WIDTH = 6.8
"""Width of a figure in inches: the text width of the report's page."""
INK = "#010101"
"""Colour of lines and text, which the page replaces by its own text colour."""
MARKERS = "osD^vPX"
DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 2)),
    (0, (1, 1.2)),
    (0, (6, 2, 1, 2)),
    (0, (2.5, 1)),
    (0, (9, 2)),
    (0, (6, 1.5, 1, 1.5, 1, 1.5)),
)


@dataclass(frozen=True)
class Look:
    """How one row or series is drawn: marks and dashes tell it apart in grey as well."""

    colour: str
    marker: str
    dashes: Any


class Sheet:
    """A figure that is being drawn; ``drawing`` is set when its block ends."""

    drawing: Drawing

    def __init__(self, figure: Figure) -> None:
        self.figure = figure


@contextmanager
def sheet(name: str, height: float) -> Iterator[Sheet]:
    """Yield a figure in our style, and set its drawing when the block ends.

    Args:
        name: Makes the ids in the SVG unique on the page.
        height: Height in inches.
    """
    import matplotlib.style
    from matplotlib.figure import Figure

    with matplotlib.style.context(STYLE), matplotlib.rc_context({"svg.hashsalt": name}):
        made = Sheet(Figure(figsize=(WIDTH, height)))
        yield made
        svg, pdf = io.StringIO(), io.BytesIO()
        # Dates and versions would change the bytes from day to day.
        made.figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
        made.figure.set_layout_engine("none")  # the SVG has laid everything out
        nothing = {"CreationDate": None, "Creator": None, "Producer": None}
        made.figure.savefig(pdf, format="pdf", metadata=nothing)
    made.drawing = Drawing(_themed(svg.getvalue(), name), pdf.getvalue())


def looks(names: Sequence[str]) -> dict[str, Look]:
    """Return a look for each name, by position."""
    found = zip(names, cycle(COLOURS), cycle(MARKERS), cycle(DASHES), strict=False)
    return {name: Look(*look) for name, *look in found}


def row_looks(manifest: Manifest, table: TableSpec) -> dict[str, Look]:
    """Return a look for each row of a table, in its method's colour if no method has two rows."""
    rows = distinct_rows(table)
    found = looks([row.label for row in rows])
    if len({row.method for row in rows}) < len(rows):
        return found
    colours = method_colours(manifest)
    return {
        row.label: Look(colours[row.method], found[row.label].marker, found[row.label].dashes)
        for row in rows
    }


def band(axes: Axes, x: Any, data: pd.DataFrame, look: Look) -> None:
    """Fill the area between low and high, except where a single seed gives no interval."""
    low, high = (data[end].where(data["n"] > 1) for end in ("low", "high"))
    axes.fill_between(x, low, high, color=look.colour, alpha=0.15, linewidth=0)


def line(axes: Axes, x: Any, y: Any, look: Look, *, marked: bool = True) -> Any:
    """Draw a line in its look and return its handle for the legend."""
    marker = look.marker if marked else ""
    return axes.plot(x, y, marker=marker, color=look.colour, linestyle=look.dashes)[0]


def legend(figure: Figure, handles: dict[str, Any]) -> None:
    """Print the names above the figure if it has more than one series."""
    if len(handles) > 1:
        names = [short(name) for name in handles]
        columns = min(4, len(names), max(1, 110 // (max(map(len, names)) + 8)))
        figure.legend(list(handles.values()), names, loc="outside upper left", ncols=columns)


def short(name: str, length: int = 42) -> str:
    """Return a name cut in its middle to ``length`` characters; tables print it in full."""
    name = " ".join(name.split())
    if len(name) <= length:
        return name
    start = length // 3
    return f"{name[:start]}…{name[start + 1 - length :]}"


def _themed(svg: str, name: str) -> str:
    """Return the SVG without its prologue, in the page's colour and font, with ids of its own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"'DejaVu Sans'(, sans-serif)?", "var(--sans, sans-serif)", svg)
    return svg.replace(INK, "currentColor")

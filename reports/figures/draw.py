"""One function per figure draws its data frame, all in one style.

A figure is an SVG that takes the page's text colour, and a PDF for print.
"""

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
from reports.wording import header

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


Looks = dict[str, Look]


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


def draw_curve(name: str, data: pd.DataFrame, x: str, score: str) -> Drawing:
    """Draw the curves of ``curve_data`` in their bands, and levels as lines across."""
    series = [str(key) for key in dict.fromkeys(data["series"])]
    handles: dict[str, Any] = {}
    with sheet(name, 2.9) as made:
        axes = made.figure.add_subplot()
        for key, look in looks(series).items():
            points = data.loc[data["series"] == key, :]
            if points["x"].isna().to_numpy().all():
                level = points["mean"].iloc[0]
                handles[key] = axes.axhline(level, color=look.colour, linestyle=look.dashes)
            else:
                band(axes, points["x"], points, look)
                ends = points["low"], points["high"]
                axes.vlines(points["x"], *ends, color=look.colour, linewidth=0.9, alpha=0.6)
                handles[key] = line(axes, points["x"], points["mean"], look)
        axes.set_xticks(sorted(data["x"].dropna().unique()))
        axes.set_xlabel(x)
        axes.set_ylabel(score)
        legend(made.figure, handles)
    return made.drawing


def draw_gains(
    name: str, data: pd.DataFrame, looks: Looks, x: str = "gain in IoU, percentage points"
) -> Drawing:
    """Draw the gains of ``gain_data``: a line of marks per class, with zero marked."""
    names = list(dict.fromkeys(data["class"]))
    labels = list(dict.fromkeys(data["label"]))
    handles: dict[str, Any] = {}
    with sheet(name, 0.9 + 0.085 * len(names) * (len(labels) + 1)) as made:
        axes = made.figure.add_subplot()
        axes.axvline(0, color=INK, linewidth=0.6)
        for i, label in enumerate(labels):
            rows, look = data[data["label"] == label], looks[label]
            y = [names.index(name) + (i + 1) / (len(labels) + 1) - 0.5 for name in rows["class"]]
            axes.hlines(y, rows["low"], rows["high"], color=look.colour, linewidth=0.9, alpha=0.6)
            (handles[label],) = axes.plot(
                rows["mean"], y, look.marker, color=look.colour, linestyle="none"
            )
        for i in range(1, len(names)):
            axes.axhline(i - 0.5, color=INK, linewidth=0.4, alpha=0.15)
        axes.set_yticks(range(len(names)), [short(name) for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(x)
        legend(made.figure, handles)
    return made.drawing


def draw_boundary(name: str, data: pd.DataFrame, looks: Looks) -> Drawing:
    """Draw the gains of ``boundary_data`` over the width of the scored band."""
    widths = sorted(data["width"].unique())
    handles: dict[str, Any] = {}
    with sheet(name, 2.9) as made:
        axes = made.figure.add_subplot()
        axes.axhline(0, color=INK, linewidth=0.6)
        for label, rows in data.groupby("label", sort=False):
            look, x = looks[str(label)], [widths.index(width) for width in rows["width"]]
            band(axes, x, rows, look)
            handles[str(label)] = line(axes, x, rows["mean"], look)
        axes.set_xticks(range(len(widths)), [str(width) for width in widths])
        axes.set_xlabel("pixels on either side of a boundary")
        axes.set_ylabel("gain in mIoU, points")
        legend(made.figure, handles)
    return made.drawing


def draw_cost(name: str, data: pd.DataFrame, looks: Looks, score: str) -> Drawing:
    """Draw the points of ``cost_data``: a panel per cost, the Pareto front as steps."""
    costs = list(dict.fromkeys(data["cost"]))
    handles: dict[str, Any] = {}
    with sheet(name, 3.1) as made:
        panels = made.figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
        for axes, cost in zip(panels, costs, strict=True):
            points = data.loc[data["cost"] == cost, :]
            front = points.loc[points["front"], :].sort_values("spent")
            axes.step(
                front["spent"], front["mean"], where="post", color=INK, linewidth=0.7, alpha=0.5
            )
            for point in points.to_dict("records"):
                look = looks[point["label"]]
                axes.vlines(
                    point["spent"], point["low"], point["high"], color=look.colour, linewidth=0.9
                )
                face = look.colour if point["front"] else "none"
                (handles[point["label"]],) = axes.plot(
                    point["spent"],
                    point["mean"],
                    look.marker,
                    color=look.colour,
                    markerfacecolor=face,
                    linestyle="none",
                )
            axes.set_xlabel(header(cost))
            axes.set_xlim(0, 1.12 * points["spent"].max())  # from zero: distance is cost
        panels[0].set_ylabel(score)
        legend(made.figure, handles)
    return made.drawing


def draw_seeds(name: str, data: pd.DataFrame, score: str) -> Drawing:
    """Draw the scores of ``seed_data``: a line per row, a marker per seed, the mean as a bar."""
    labels = list(dict.fromkeys(data["label"]))
    seeds = sorted(data["seed"].unique())
    handles: dict[str, Any] = {}
    with sheet(name, 0.9 + 0.26 * len(labels)) as made:
        axes = made.figure.add_subplot()
        for y, label in enumerate(labels):
            rows = data[data["label"] == label]
            mean = rows["score"].mean()
            axes.vlines(mean, y - 0.32, y + 0.32, color=INK, linewidth=1.2)
            axes.axhline(y, color=INK, linewidth=0.4, alpha=0.15, zorder=0)
        for i, (key, look) in enumerate(looks([f"seed {seed}" for seed in seeds]).items()):
            rows = data[data["seed"] == seeds[i]]
            y = [labels.index(label) for label in rows["label"]]
            (handles[key],) = axes.plot(
                rows["score"], y, look.marker, color=look.colour, linestyle="none", alpha=0.85
            )
        axes.set_yticks(range(len(labels)), [short(label) for label in labels])
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(score)
        if len(seeds) <= len(MARKERS):
            legend(made.figure, handles)
    return made.drawing


def draw_training(name: str, panels: dict[str, pd.DataFrame], looks: Looks) -> Drawing:
    """Draw ``training_data``: a panel per title, the mean of the seeds in their band."""
    handles: dict[str, Any] = {}
    with sheet(name, 3.0) as made:
        for i, (title, data) in enumerate(panels.items()):
            axes = made.figure.add_subplot(1, len(panels), i + 1)
            for label, rows in data.groupby("label", sort=False):
                look = looks[str(label)]
                band(axes, rows["step"], rows, look)
                handles[str(label)] = line(axes, rows["step"], rows["mean"], look, marked=False)
            axes.set_title(title)
            axes.set_xlabel("step")
        legend(made.figure, handles)
    return made.drawing

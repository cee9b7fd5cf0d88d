"""A picture as PDF, for a paper: drawn by matplotlib, which embeds its font."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from reports.picture import Area, Group, Line, Mark, Picture, Raster, Shape, Words
from reports.render.svg import corners

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS = 0.6876
"""Points of print for each pixel: a picture as wide as the page's text becomes 6.8 inches wide."""
LETTERS = 0.95
"""DejaVu Sans, which matplotlib brings, is wider than the fonts of a page."""
ALIGNED = {"start": "left", "middle": "center", "end": "right"}
FONTS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "pdf.fonttype": 42,  # TrueType: some publishers refuse Type 3
    "text.parse_math": False,  # names come from outside and may contain dollar signs
}


def pdf(picture: Picture) -> bytes:
    """Return the picture as a PDF of one page; the same picture gives the same bytes."""
    import matplotlib
    from matplotlib.figure import Figure

    inches = picture.width * POINTS / 72, picture.height * POINTS / 72
    out = io.BytesIO()
    with matplotlib.rc_context(FONTS):
        figure = Figure(figsize=inches)
        for shape in _flat(picture.shapes):
            _draw(figure, picture, shape)
        # Dates and versions would change the bytes from day to day.
        unsaid = dict.fromkeys(("CreationDate", "Creator", "Producer"))
        figure.savefig(out, format="pdf", metadata=unsaid, transparent=True)
    return out.getvalue()


def _flat(shapes: tuple[Shape, ...]) -> list[Line | Area | Mark | Words | Raster]:
    found: list[Line | Area | Mark | Words | Raster] = []
    for shape in shapes:
        found += shape.shapes if isinstance(shape, Group) else (shape,)
    return found


def _draw(figure: Figure, picture: Picture, shape: Line | Area | Mark | Words | Raster) -> None:
    """Add one shape to the figure, in figure coordinates: 0 to 1, upwards."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Ellipse, Polygon

    def placed(places: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
        return [(x / picture.width, 1 - y / picture.height) for x, y in places]

    match shape:
        case Line():
            x, y = zip(*placed(shape.places), strict=True)
            dashes = (0, tuple(d * POINTS for d in shape.dashes)) if shape.dashes else "-"
            look = {"color": shape.colour, "alpha": shape.opacity, "linestyle": dashes}
            # linestyles would be scaled by the line's width, as rcParams["lines.scale_dashes"] says
            figure.add_artist(Line2D(x, y, linewidth=shape.width * POINTS, **look))
        case Area():
            look = {"facecolor": shape.colour, "alpha": shape.opacity, "linewidth": 0}
            figure.add_artist(Polygon(placed(shape.places), **look))
        case Mark():
            face = shape.colour if shape.filled else "none"
            look = {"facecolor": face, "edgecolor": shape.colour, "linewidth": 1.2 * POINTS}
            ((x, y),) = placed((shape.place,))
            size = 2 * shape.radius / picture.width, 2 * shape.radius / picture.height
            found = corners(shape)
            form = Polygon(placed(found), **look) if found else Ellipse((x, y), *size, **look)
            figure.add_artist(form)
        case Words():
            ((x, y),) = placed((shape.place,))
            figure.text(
                *(x, y, shape.text),
                fontsize=shape.size * POINTS * LETTERS,
                ha=ALIGNED[shape.anchor],
                va="baseline",
                alpha=shape.opacity,
                rotation=90 if shape.turned else 0,
                rotation_mode="anchor",
            )
        case Raster():
            ((x, y),) = placed((shape.place,))
            width, height = shape.width / picture.width, shape.height / picture.height
            axes = figure.add_axes((x, y - height, width, height))
            axes.set_axis_off()
            axes.imshow(shape.pixels, interpolation="none", aspect="auto")

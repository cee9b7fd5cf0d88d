"""A picture as SVG, without a plotting library."""

from __future__ import annotations

import base64
import io
from html import escape

from reports.picture import INK, Area, Form, Group, Line, Mark, Picture, Place, Raster, Shape, Words

FONT = "var(--sans, Helvetica, Arial, 'Liberation Sans', sans-serif)"
CORNERS: dict[Form, tuple[Place, ...]] = {
    "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    "diamond": ((0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)),
    "up": ((0, -1.2), (1.15, 0.85), (-1.15, 0.85)),
    "down": ((0, 1.2), (1.15, -0.85), (-1.15, -0.85)),
    "plus": (
        *((-0.4, -1.2), (0.4, -1.2), (0.4, -0.4), (1.2, -0.4), (1.2, 0.4), (0.4, 0.4)),
        *((0.4, 1.2), (-0.4, 1.2), (-0.4, 0.4), (-1.2, 0.4), (-1.2, -0.4), (-0.4, -0.4)),
    ),
    "cross": (
        *((0, -0.55), (0.6, -1.15), (1.15, -0.6), (0.55, 0), (1.15, 0.6), (0.6, 1.15)),
        *((0, 0.55), (-0.6, 1.15), (-1.15, 0.6), (-0.55, 0), (-1.15, -0.6), (-0.6, -1.15)),
    ),
}
"""Corners of each form around its place, in radii; a circle has none."""
REACH = 9
"""Radius in pixels within which the mouse finds a mark."""


def svg(picture: Picture) -> str:
    """Return the picture as an SVG element, its ink in the colour of the text around it."""
    size = f'width="{picture.width:g}" height="{picture.height:g}"'
    view = f'viewBox="0 0 {picture.width:g} {picture.height:g}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {view}>'
    shapes = map(_shape, picture.shapes)
    return "\n".join([head, f'<g font-family="{FONT}">', *shapes, "</g>", "</svg>\n"])


def corners(mark: Mark) -> tuple[Place, ...]:
    """Return the corners of a mark; a circle has none."""
    x, y = mark.place
    places = CORNERS.get(mark.form, ())
    return tuple((x + mark.radius * dx, y + mark.radius * dy) for dx, dy in places)


def _shape(shape: Shape) -> str:
    match shape:
        case Group():
            inner = "".join(map(_shape, shape.shapes)) + "".join(map(_reach, shape.shapes))
            return f"<g><title>{escape(shape.title)}</title>{inner}</g>"
        case Line():
            return _line(shape)
        case Area():
            fill = f'fill="{_colour(shape.colour)}" fill-opacity="{shape.opacity:g}"'
            return f'<path d="{_path(shape.places)}Z" {fill}/>'
        case Mark():
            return _mark(shape)
        case Words():
            return _words(shape)
        case Raster():
            return _raster(shape)


def _reach(shape: Shape) -> str:
    """Return an invisible area around a thin shape, so that the mouse finds its title."""
    if isinstance(shape, Mark):
        x, y = shape.place
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{REACH}" fill-opacity="0"/>'
    if isinstance(shape, Line):
        hidden = f'stroke="#000" stroke-opacity="0" stroke-width="{REACH}"'
        return f'<path d="{_path(shape.places)}" fill="none" {hidden}/>'
    return ""


def _line(line: Line) -> str:
    dashes = f' stroke-dasharray="{" ".join(f"{d:g}" for d in line.dashes)}"' if line.dashes else ""
    opacity = f' stroke-opacity="{line.opacity:g}"' if line.opacity < 1 else ""
    stroke = f'stroke="{_colour(line.colour)}" stroke-width="{line.width:g}"'
    return f'<path d="{_path(line.places)}" fill="none" {stroke}{dashes}{opacity}/>'


def _mark(mark: Mark) -> str:
    colour = _colour(mark.colour)
    paint = f'fill="{colour if mark.filled else "none"}" stroke="{colour}" stroke-width="1.2"'
    x, y = mark.place
    if mark.form == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{mark.radius:g}" {paint}/>'
    return f'<path d="{_path(corners(mark))}Z" {paint}/>'


def _words(words: Words) -> str:
    x, y = words.place
    turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if words.turned else ""
    anchor = "" if words.anchor == "start" else f' text-anchor="{words.anchor}"'
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{words.size:g}" fill="currentColor"'
    turn += f' fill-opacity="{words.opacity:g}"' if words.opacity < 1 else ""
    return f"<text {place}{anchor}{turn}>{escape(words.text)}</text>"


def _raster(raster: Raster) -> str:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(raster.pixels).save(out, "PNG")
    data = base64.b64encode(out.getvalue()).decode()
    x, y = raster.place
    size = f'x="{x:.1f}" y="{y:.1f}" width="{raster.width:.1f}" height="{raster.height:.1f}"'
    return f'<image {size} href="data:image/png;base64,{data}"/>'


def _path(places: tuple[Place, ...]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)


def _colour(colour: str) -> str:
    return "currentColor" if colour == INK else colour

"""A picture as plain data: lines, areas, marks and words at places in pixels.

Figures make pictures; reports/render/ writes them as SVG or PDF. The origin is the upper left
corner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import UInt8

Place = tuple[float, float]
Form = Literal["circle", "square", "diamond", "up", "down", "plus", "cross"]
Anchor = Literal["start", "middle", "end"]
Pixels = UInt8[np.ndarray, "h w 3"]

INK = "#000000"
"""Colour of lines and letters, and of the base row's method in bench.manifest; a page that may be
dark prints it in the colour of its text."""
SIZE = 12.0
"""Height of letters in pixels; the page prints its tables in about this size."""


@dataclass(frozen=True)
class Line:
    """A line through places."""

    places: tuple[Place, ...]
    colour: str = INK
    width: float = 1.4
    dashes: tuple[float, ...] = ()
    """Lengths in pixels, drawn and left out in turn; empty draws all."""
    opacity: float = 1.0


@dataclass(frozen=True)
class Area:
    """The inside of a polygon."""

    places: tuple[Place, ...]
    colour: str
    opacity: float = 0.15


@dataclass(frozen=True)
class Mark:
    """A small form around a place."""

    place: Place
    form: Form = "circle"
    colour: str = INK
    filled: bool = True
    radius: float = 3.6


@dataclass(frozen=True)
class Words:
    """One line of text; ``place`` is on its base line."""

    place: Place
    text: str
    anchor: Anchor = "start"
    size: float = SIZE
    turned: bool = False
    """Whether it runs upwards."""
    opacity: float = 1.0


@dataclass(frozen=True, eq=False)
class Raster:
    """An image; ``place`` is its upper left corner."""

    place: Place
    width: float
    height: float
    pixels: Pixels


@dataclass(frozen=True)
class Group:
    """Shapes with one title, which a page shows under the mouse."""

    title: str
    shapes: tuple[Line | Area | Mark | Words, ...]


Shape = Line | Area | Mark | Words | Raster | Group


@dataclass(frozen=True)
class Picture:
    """Shapes on a sheet, the first one lowest."""

    width: float
    height: float
    shapes: tuple[Shape, ...]


def words_width(text: str, size: float = SIZE) -> float:
    """Return the estimated width of a text in pixels, enough for any common sans serif."""
    return 1.14 * size * sum(_share(character) for character in text)


def _share(character: str) -> float:
    """Return the width of a character as a share of the letter size."""
    if character in "iljftrI.,:;|!'()[] -":
        return 0.32
    if character in "mwMW%@…":
        return 0.88
    return 0.68 if character.isupper() else 0.56


def short(name: str, length: int = 42) -> str:
    """Return a name cut in its middle to ``length`` characters; tables print it in full."""
    name = " ".join(name.split())
    if len(name) <= length:
        return name
    start = length // 3
    return f"{name[:start]}…{name[start + 1 - length :]}"

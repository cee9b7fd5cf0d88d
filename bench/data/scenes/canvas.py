"""Exact random draws, and a canvas with camera and light on which a street scene is drawn.

A canvas has twice the size of the finished scene and is averaged at the end, so edges are soft as
in a photograph while labels stay crisp. Colours are float32, 0..255. No torch here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from bench.seeding import generator

CLASSES = (
    "sky",
    "building",
    "road",
    "pavement",
    "vegetation",
    "pole",
    "sign",
    "car",
    "pedestrian",
)
SKY, BUILDING, ROAD, PAVEMENT, VEGETATION, POLE, SIGN, CAR, PEDESTRIAN = range(len(CLASSES))

HEIGHT, WIDTH = 96, 128
H, W = 2 * HEIGHT, 2 * WIDTH
Y = np.arange(H, dtype=np.float32)[:, None]
X = np.arange(W, dtype=np.float32)[None, :]

Colour = tuple[float, float, float]
Plane = Float32[np.ndarray, "h w"]
T = TypeVar("T")

LEAVES: list[Colour] = [(74, 104, 52), (92, 112, 48), (58, 88, 56), (112, 108, 52)]
# Shared on purpose: walls look like poles and clothes, signs like cars, grass like crowns.
WALLS: list[Colour] = [
    (168, 150, 128), (142, 104, 88), (190, 178, 160), (128, 128, 132), (172, 128, 100),
    (110, 96, 92), (158, 160, 164), (204, 192, 156),
]  # fmt: skip

LIGHTS: list[Colour] = [
    (1.08, 1.08, 1.08), (1.14, 1.04, 0.88), (0.95, 0.99, 1.05), (0.82, 0.79, 0.93),
]  # fmt: skip
AIR: Colour = (200, 206, 214)


class Draws:
    """Random draws from the raw bits of Philox, which are the same in every version of numpy."""

    def __init__(self, seed: int, stream: str, *counters: int) -> None:
        self._raw = generator(seed, stream, *counters).bit_generator.random_raw

    def between(self, low: float, high: float) -> float:
        """Return a number drawn uniformly from [low, high)."""
        return low + (high - low) * ((int(self._raw()) >> 11) * 2.0**-53)

    def whole(self, low: int, high: int) -> int:
        """Return a whole number from low to high, both included."""
        return low + int(self.between(0, high - low + 1))

    def chance(self, share: float) -> bool:
        """Return True for this share of the draws."""
        return self.between(0, 1) < share

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of ``choices``."""
        return choices[self.whole(0, len(choices) - 1)]

    def grain(self, height: int, width: int) -> Plane:
        """Return independent values, nearly normal: mean 0, standard deviation 1, within 3.5."""
        raw = self._raw((height * width + 1) // 2).astype("<u8", copy=False)
        four = raw.view(np.uint8).reshape(-1, 4).astype(np.int16)[: height * width]
        total = four[:, 0] + four[:, 1] + four[:, 2] + four[:, 3] - 510
        return total.astype(np.float32).reshape(height, width) / np.float32(147.8)

    def clouds(self, cell: int) -> Plane:
        """Return smooth noise [H, W] with hills about ``cell`` pixels wide, mostly within 2."""
        rows = _between_rows(self.grain(H // cell + 2, W // cell + 2), H, cell)
        return np.ascontiguousarray(_between_rows(rows.T, W, cell).T)


class Canvas:
    """Image and label while a scene is painted.

    Ground at depth ``t`` (0 at the horizon, 1 at the lower edge) stands at row ``ground(t)``, and a
    length of one camera height measures ``unit(t)`` pixels there.
    """

    def __init__(self, draws: Draws) -> None:
        self.image: Float32[np.ndarray, "3 h w"] = np.zeros((3, H, W), np.float32)
        self.label: UInt8[np.ndarray, "h w"] = np.full((H, W), SKY, np.uint8)
        self.horizon = draws.between(78, 100)
        self.vanishing = draws.between(88, 168)
        self.light = draws.pick(LIGHTS)
        self.sunny = draws.pick((-1, 1))
        """The sunlit side: -1 left, 1 right."""
        self.haze = draws.between(0.1, 0.6)
        self.leafy, self.cloudy = draws.clouds(5), draws.clouds(36)
        self.grain = draws.grain(H, W)

    def unit(self, t: float) -> float:
        """Return the length of one camera height at depth ``t``, in pixels."""
        return t * (H - self.horizon)

    def ground(self, t: float) -> float:
        """Return the row of the ground at depth ``t``."""
        return self.horizon + self.unit(t)

    def beside(self, t: float, r: float) -> float:
        """Return the column ``r`` camera heights to the right of the street's middle."""
        return self.vanishing + r * self.unit(t)

    def paint(
        self,
        mask: Bool[np.ndarray, "h w"],
        colour: Colour | Float32[np.ndarray, "3 h w"],
        kind: int,
        *,
        at: tuple[int, int] = (0, 0),
        shade: Plane | float = 1.0,
        depth: Plane | float = 1.0,
    ) -> None:
        """Colour and label ``mask``, its upper left corner at (row, column) ``at``.

        ``shade`` multiplies the colour; ``depth`` runs from 0 (lost in haze) to 1 (near).
        """
        place, part = _overlap(at, mask.shape)
        inside = mask[part]
        haze = self.haze * (1 - (depth[part] if isinstance(depth, np.ndarray) else depth))
        clear = (shade[part] if isinstance(shade, np.ndarray) else shade) * (1 - haze)
        for channel, light in enumerate(self.light):
            own = colour[channel]
            own = own[part] if isinstance(own, np.ndarray) else own
            pixels = clear * (own * light) + haze * (AIR[channel] * light)
            np.copyto(self.image[channel][place], pixels, where=inside)
        self.label[place][inside] = kind

    def fill(
        self,
        left: float,
        top: float,
        width: float,
        height: float,
        colour: Colour,
        kind: int,
        *,
        depth: float = 1.0,
    ) -> None:
        """Colour and label a whole box."""
        at, u, v = box(left, top, width, height)
        self.paint(np.ones((v.shape[0], u.shape[1]), bool), colour, kind, at=at, depth=depth)

    def shadow(self, column: float, row: float, width: float, height: float, factor: float) -> None:
        """Darken an ellipse of the ground around (row, column) without a change of label."""
        at, u, v = box(column - width / 2, row - 0.6 * height, width, height)
        place, part = _overlap(at, (v.shape[0], u.shape[1]))
        inside = (u * u + (2 * v - 1) * (2 * v - 1) < 1)[part]
        for plane in self.image:
            plane[place][inside] *= np.float32(factor)

    def wire(
        self, start: tuple[float, float], end: tuple[float, float], sag: float, colour: Colour
    ) -> None:
        """Draw a wire from (row, column) ``start`` to ``end``, one pixel thick once finished."""
        (y, x), (down, right) = start, (end[0] - start[0], end[1] - start[1])
        s = np.arange(int(max(abs(down), abs(right), 1)) + 1, dtype=np.float32)
        s = s / s[-1]
        rows = np.floor(y + down * s + 4 * sag * s * (1 - s)).astype(np.intp)
        columns = np.floor(x + right * s).astype(np.intp)
        seen = (rows >= 0) & (rows < H - 1) & (columns >= 0) & (columns < W - 1)
        rows, columns = rows[seen], columns[seen]
        for below in (0, 1):
            for beside in (0, 1):
                for plane, own, light in zip(self.image, colour, self.light, strict=True):
                    plane[rows + below, columns + beside] = own * light
                self.label[rows + below, columns + beside] = POLE


def box(
    left: float, top: float, width: float, height: float
) -> tuple[tuple[int, int], Plane, Plane]:
    """Return the corner of a box in whole pixels and the positions of its pixels.

    u [1, w] runs from -1 to 1 rightwards, v [h, 1] from 0 to 1 downwards.
    """
    columns, rows = max(2, round(width)), max(2, round(height))
    u = (np.arange(columns, dtype=np.float32)[None, :] * 2 + 1) / np.float32(columns) - 1
    v = (np.arange(rows, dtype=np.float32)[:, None] + np.float32(0.5)) / np.float32(rows)
    return (round(top), round(left)), u, v


def leaf_noise(canvas: Canvas, at: tuple[int, int], u: Plane, v: Plane) -> Plane:
    """Return the canvas's leafy noise for the pixels of a box, wrapped around the edges."""
    rows, columns = (at[0] + np.arange(v.shape[0])) % H, (at[1] + np.arange(u.shape[1])) % W
    return canvas.leafy[np.ix_(rows, columns)]


def _between_rows(grid: Plane, length: int, cell: int) -> Plane:
    place = np.arange(length, dtype=np.float32) / np.float32(cell)
    above = place.astype(np.intp)
    share = (place - above.astype(np.float32))[:, None]
    share = share * share * (3 - 2 * share)
    return grid[above] * (1 - share) + grid[above + 1] * share


def _overlap(
    at: tuple[int, int], shape: tuple[int, ...]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the part of the canvas under a mask, and the part of the mask on the canvas."""
    (top, left), (rows, columns) = at, shape
    low = (min(max(0, -top), rows), min(max(0, -left), columns))
    high = (max(low[0], min(rows, H - top)), max(low[1], min(columns, W - left)))
    part = (slice(low[0], high[0]), slice(low[1], high[1]))
    place = (slice(top + low[0], top + high[0]), slice(left + low[1], left + high[1]))
    return place, part

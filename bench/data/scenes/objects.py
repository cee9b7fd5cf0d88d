"""The objects of a street: poles with wires, trees, signs, cars, pedestrians.

A ``Thing`` has a depth, 0 at the horizon and 1 at the lower edge, and paints itself there.
Sizes are in camera heights: a pedestrian measures a little more than half of one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.data.scenes.canvas import (
    CAR,
    LEAVES,
    PEDESTRIAN,
    POLE,
    SIGN,
    VEGETATION,
    Canvas,
    Colour,
    Draws,
    box,
    leaf_noise,
)

# fmt: off
METALS: list[Colour] = [
    (112, 112, 114), (84, 80, 76), (150, 148, 140), (66, 72, 70), (142, 104, 88),
]
PAINTS: list[Colour] = [
    (176, 44, 40), (44, 76, 150), (210, 210, 208), (58, 60, 64), (130, 136, 140), (204, 156, 36),
    (40, 100, 80),
]
CLOTHES: list[Colour] = [
    (50, 52, 70), (150, 50, 50), (180, 172, 160), (60, 90, 70), (110, 96, 92), (190, 150, 60),
    (70, 90, 140),
]
TRUNKS: list[Colour] = [(84, 68, 54), (104, 92, 80), (66, 60, 54)]
SKINS: list[Colour] = [(224, 184, 156), (150, 106, 80), (96, 68, 54)]
# fmt: on
WIRE: Colour = (58, 58, 60)


@dataclass(frozen=True)
class Thing:
    """An object at ``depth``, painted after all that are farther away."""

    depth: float
    paint: Callable[[], None]


def planted(canvas: Canvas, draws: Draws, side: int, edge: float, kerb: float) -> list[Thing]:
    """Return poles with wires, trees, hedges and signs on one side (-1 left, 1 right)."""
    things = _pole_row(canvas, draws, side, edge + 0.14) if draws.chance(0.7) else []
    for _ in range(draws.pick((0, 0, 1, 1, 2, 3))):
        things.append(_tree(canvas, draws, side * (kerb + draws.between(-0.15, 0.5))))
    for _ in range(draws.pick((0, 1, 1, 2, 2))):
        things.append(_sign(canvas, draws, side * (edge + 0.2)))
    return things


def moving(
    canvas: Canvas, draws: Draws, edges: dict[int, float], kerbs: dict[int, float]
) -> list[Thing]:
    """Return cars on the road and at its kerbs, and pedestrians, mostly on the pavements."""
    things: list[Thing] = []
    for _ in range(draws.pick((0, 1, 2, 3, 3, 4))):
        side = draws.pick((-1, 1))
        things.append(_car(canvas, draws, side * edges[side] * draws.pick((0.5, 0.5, 0.74))))
    for _ in range(draws.pick((0, 1, 2, 3, 4, 5))):
        side = draws.pick((-1, 1))
        r = side * draws.between(edges[side] + 0.05, kerbs[side])
        if draws.chance(0.2):
            r = draws.between(-edges[-1], edges[1])
        things.append(_pedestrian(canvas, draws, r))
    return things


def _pole_row(canvas: Canvas, draws: Draws, side: int, r: float) -> list[Thing]:
    """Return a row of equal poles with wires from top to top, perhaps one over the street."""
    metal, height, thick = draws.pick(METALS), draws.between(1.7, 2.5), draws.between(0.035, 0.07)
    arm = draws.between(0.2, 0.5) if draws.chance(0.6) else 0.0
    wires, sag = draws.pick((0, 0, 1, 1, 2, 3)), draws.between(0.05, 0.3)
    across = draws.chance(0.25)
    depths = [draws.between(0.62, 1.1)]
    while depths[-1] > 0.12:
        depths.append(depths[-1] * draws.between(0.42, 0.62))

    def head(place: int) -> tuple[float, float]:
        t = depths[place]
        return canvas.ground(t) - height * canvas.unit(t), canvas.beside(t, side * r)

    def paint(place: int) -> None:
        t = depths[place]
        unit, near = canvas.unit(t), min(1, 0.4 + t)
        top, column = head(place)
        width = max(2.0, thick * unit)
        canvas.fill(column - width / 2, top, width, height * unit, metal, POLE, depth=near)
        if arm:
            left = column - arm * unit if side > 0 else column
            canvas.fill(left, top, arm * unit, max(2.0, 0.6 * width), metal, POLE, depth=near)
        for wire in range(wires):
            drop = 0.04 + 0.11 * wire
            if place == 0:  # to a pole behind the camera
                end = (top - 1.1 * unit, column + side * 1.2 * unit)
            else:
                next_top, next_column = head(place - 1)
                end = (next_top + drop * canvas.unit(depths[place - 1]), next_column)
            canvas.wire((top + drop * unit, column), end, sag * unit, WIRE)
        if across and place == 1:
            canvas.wire((top, column), (top - 4, canvas.beside(t, -side * 2.2)), 0.2 * unit, WIRE)

    def thing(place: int) -> Thing:
        return Thing(depths[place], lambda: paint(place))

    return [thing(place) for place in range(len(depths))]


def _tree(canvas: Canvas, draws: Draws, r: float) -> Thing:
    t, leaf, trunk = draws.between(0.14, 0.7), draws.pick(LEAVES), draws.pick(TRUNKS)
    height, wide, hedge = draws.between(1.3, 2.3), draws.between(0.9, 1.6), draws.chance(0.25)
    unit, foot, column, near = (
        canvas.unit(t),
        canvas.ground(t),
        canvas.beside(t, r),
        min(1, 0.4 + t),
    )

    def paint() -> None:
        left = column - wide * unit / 2
        if hedge:
            at, u, v = box(left, foot - 0.4 * unit, wide * unit, 0.4 * unit)
            noise = leaf_noise(canvas, at, u, v)
            crown = u * u * u * u + 0.8 * (1 - v) * (1 - v) + 0.16 * noise < 0.9
        else:
            width = max(2.0, 0.1 * unit)
            length = 0.8 * height * unit
            canvas.fill(
                column - width / 2, foot - length, width, length, trunk, VEGETATION, depth=near
            )
            at, u, v = box(left, foot - height * unit, wide * unit, 0.72 * height * unit)
            noise = leaf_noise(canvas, at, u, v)
            crown = (u * u + (2 * v - 1) * (2 * v - 1) + 0.34 * noise < 0.92) & (noise > -1.5)
        shade = np.maximum(1.2 + 0.2 * noise - 0.15 * canvas.sunny * u - 0.35 * v, 0.3)
        canvas.paint(crown, leaf, VEGETATION, at=at, shade=shade, depth=near)

    return Thing(t, paint)


def _sign(canvas: Canvas, draws: Draws, r: float) -> Thing:
    t, metal, colour = draws.between(0.2, 0.66), draws.pick(METALS), draws.pick(PAINTS)
    height, size = draws.between(0.75, 1.1), draws.between(0.22, 0.32)
    form, rimmed = draws.pick(("disc", "square", "triangle", "board")), draws.chance(0.7)
    unit, foot, column, near = (
        canvas.unit(t),
        canvas.ground(t),
        canvas.beside(t, r),
        min(1, 0.5 + t),
    )

    def paint() -> None:
        top, side = foot - height * unit, max(6.0, size * unit)
        canvas.fill(column - 1, top, 2, height * unit, metal, POLE, depth=near)
        width = 1.6 * side if form == "board" else side
        at, u, v = box(column - width / 2, top - side / 2, width, side)
        a, w = np.abs(u), 2 * v - 1
        if form == "disc":
            reach = u * u + w * w
        elif form == "triangle":
            reach = np.maximum(2 * a - w, 0.9 * w)
        else:
            reach = np.maximum(a, np.abs(w))
        canvas.paint(reach < 1, (216, 216, 212) if rimmed else colour, SIGN, at=at, depth=near)
        canvas.paint(reach < 0.55, colour, SIGN, at=at, depth=near)

    return Thing(t, paint)


def _car(canvas: Canvas, draws: Draws, r: float) -> Thing:
    t, body = draws.between(0.12, 0.72), draws.pick(PAINTS)
    wide, tall = draws.between(0.62, 0.78), draws.between(0.46, 0.64)
    lamps: Colour = (210, 40, 36) if r > 0 else (236, 232, 206)
    unit, foot, column, near = (
        canvas.unit(t),
        canvas.ground(t),
        canvas.beside(t, r),
        min(1, 0.35 + t),
    )

    def paint() -> None:
        canvas.shadow(column, foot, 1.12 * wide * unit, 0.16 * unit, 0.5)
        at, u, v = box(column - wide * unit / 2, foot - tall * unit, wide * unit, tall * unit)
        a = np.abs(u)
        wheels = (v > 0.8) & (a > 0.56) & (a < 0.92)
        canvas.paint(wheels, (34, 34, 36), CAR, at=at, depth=near)
        cabin = (v < 0.5) & (a < 0.62 + 0.5 * v) & (a + 0.06 / (v + 0.04) < 1.3)
        hull = (v >= 0.44) & (v < 0.88) & (a * a * a * a < 0.98)
        shade = 1.12 - 0.35 * v - 0.1 * canvas.sunny * u
        canvas.paint(cabin | hull, body, CAR, at=at, shade=shade, depth=near)
        glass = (v > 0.08) & (v < 0.4) & (a < 0.5 + 0.5 * v)
        canvas.paint(glass, (62, 74, 84), CAR, at=at, shade=1.3 - v + 0 * u, depth=near)
        lights = (v > 0.5) & (v < 0.62) & (a > 0.68) & (a < 0.94)
        canvas.paint(lights, lamps, CAR, at=at, depth=near)
        plate_and_bumper = ((v > 0.76) & (v < 0.86) & (a < 0.9)) | (
            (v > 0.6) & (v < 0.7) & (a < 0.2)
        )
        canvas.paint(plate_and_bumper, (84, 84, 82), CAR, at=at, depth=near)

    return Thing(t, paint)


def _pedestrian(canvas: Canvas, draws: Draws, r: float) -> Thing:
    t, coat, trousers = draws.between(0.18, 0.72), draws.pick(CLOTHES), draws.pick(CLOTHES)
    skin, tall, stride = draws.pick(SKINS), draws.between(0.54, 0.7), draws.between(0.1, 0.5)
    unit, foot, column, near = (
        canvas.unit(t),
        canvas.ground(t),
        canvas.beside(t, r),
        min(1, 0.45 + t),
    )

    def paint() -> None:
        high = tall * unit
        wide = max(5.0, 0.38 * high)
        canvas.shadow(column, foot, wide, 0.07 * unit, 0.6)
        at, u, v = box(column - wide / 2, foot - high, wide, high)
        a = np.abs(u)
        legs = (v > 0.5) & (np.abs(a - (v - 0.5) * 2 * stride - 0.14) < 0.26)
        canvas.paint(legs, trousers, PEDESTRIAN, at=at, depth=near)
        torso = (v > 0.15) & (v < 0.56) & (a < 0.3 + 1.2 * np.minimum(v - 0.12, 0.3))
        shade = 1 - 0.15 * canvas.sunny * u + 0 * v
        canvas.paint(torso, coat, PEDESTRIAN, at=at, shade=shade, depth=near)
        head = 6 * a * a + 130 * (v - 0.09) * (v - 0.09) < 1
        canvas.paint(head, skin, PEDESTRIAN, at=at, depth=near)

    return Thing(t, paint)

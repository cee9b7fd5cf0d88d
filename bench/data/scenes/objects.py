"""What stands and moves in a street: poles with wires, trees, signs, cars, pedestrians.

A ``Thing`` stands at a depth, 0 at the horizon and 1 at the lower edge, and paints itself there.
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
    Dice,
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
    """An object at ``depth``, to be painted after all that is farther away."""

    depth: float
    paint: Callable[[], None]


def planted(canvas: Canvas, dice: Dice, side: int, edge: float, kerb: float) -> list[Thing]:
    """Poles with their wires, trees, hedges and signs on one side (-1 left, 1 right)."""
    things = _pole_row(canvas, dice, side, edge + 0.14) if dice.chance(0.7) else []
    for _ in range(dice.pick((0, 0, 1, 1, 2, 3))):
        things.append(_tree(canvas, dice, side * (kerb + dice.between(-0.15, 0.5))))
    for _ in range(dice.pick((0, 1, 1, 2, 2))):
        things.append(_sign(canvas, dice, side * (edge + 0.2)))
    return things


def moving(
    canvas: Canvas, dice: Dice, edges: dict[int, float], kerbs: dict[int, float]
) -> list[Thing]:
    """Cars on the road and at its kerbs; pedestrians, mostly on the pavements."""
    things: list[Thing] = []
    for _ in range(dice.pick((0, 1, 2, 3, 3, 4))):
        side = dice.pick((-1, 1))
        things.append(_car(canvas, dice, side * edges[side] * dice.pick((0.5, 0.5, 0.74))))
    for _ in range(dice.pick((0, 1, 2, 3, 4, 5))):
        side = dice.pick((-1, 1))
        r = side * dice.between(edges[side] + 0.05, kerbs[side])
        if dice.chance(0.2):
            r = dice.between(-edges[-1], edges[1])
        things.append(_pedestrian(canvas, dice, r))
    return things


def _pole_row(canvas: Canvas, dice: Dice, side: int, r: float) -> list[Thing]:
    """A row of equal poles from near to far, wires from top to top, perhaps one over the street."""
    metal, height, thick = dice.pick(METALS), dice.between(1.7, 2.5), dice.between(0.035, 0.07)
    arm = dice.between(0.2, 0.5) if dice.chance(0.6) else 0.0
    wires, sag = dice.pick((0, 0, 1, 1, 2, 3)), dice.between(0.05, 0.3)
    across = dice.chance(0.25)
    depths = [dice.between(0.62, 1.1)]
    while depths[-1] > 0.12:
        depths.append(depths[-1] * dice.between(0.42, 0.62))

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
            if place == 0:  # on to a pole behind the camera
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


def _tree(canvas: Canvas, dice: Dice, r: float) -> Thing:
    t, leaf, trunk = dice.between(0.14, 0.7), dice.pick(LEAVES), dice.pick(TRUNKS)
    height, wide, hedge = dice.between(1.3, 2.3), dice.between(0.9, 1.6), dice.chance(0.25)
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


def _sign(canvas: Canvas, dice: Dice, r: float) -> Thing:
    t, metal, colour = dice.between(0.2, 0.66), dice.pick(METALS), dice.pick(PAINTS)
    height, size = dice.between(0.75, 1.1), dice.between(0.22, 0.32)
    form, rimmed = dice.pick(("disc", "square", "triangle", "board")), dice.chance(0.7)
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


def _car(canvas: Canvas, dice: Dice, r: float) -> Thing:
    t, body = dice.between(0.12, 0.72), dice.pick(PAINTS)
    wide, tall = dice.between(0.62, 0.78), dice.between(0.46, 0.64)
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


def _pedestrian(canvas: Canvas, dice: Dice, r: float) -> Thing:
    t, coat, trousers = dice.between(0.18, 0.72), dice.pick(CLOTHES), dice.pick(CLOTHES)
    skin, tall, stride = dice.pick(SKINS), dice.between(0.54, 0.7), dice.between(0.1, 0.5)
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

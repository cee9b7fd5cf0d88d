"""Draw a street scene from the back to the front, then add light, noise and ignored areas.

Every step is a whole number or a single float operation that IEEE 754 rounds in one way, so a scene
has the same pixels on every machine.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from bench.data.scenes.backdrop import (
    paint_open_ground,
    paint_sky,
    paint_skyline,
    paint_street,
    paint_walls,
)
from bench.data.scenes.canvas import (
    CAR,
    HEIGHT,
    PEDESTRIAN,
    POLE,
    SIGN,
    WIDTH,
    Canvas,
    Draws,
    H,
    W,
    X,
    Y,
)
from bench.data.scenes.objects import moving, planted
from bench.iou import IGNORED


def draw_scene(
    split: str, index: int
) -> tuple[UInt8[np.ndarray, "96 128 3"], UInt8[np.ndarray, "96 128"]]:
    """Return image (RGB) and label of one scene, which depend on ``split`` and ``index`` alone."""
    draws = Draws(0, f"scenes/{split}", index)
    canvas = Canvas(draws)
    edges = {side: draws.between(0.9, 1.45) for side in (-1, 1)}
    kerbs = {side: edges[side] + draws.between(0.35, 0.8) for side in (-1, 1)}
    paint_sky(canvas, draws)
    paint_skyline(canvas, draws)
    paint_open_ground(canvas, draws)
    for side in (-1, 1):
        verge = draws.between(0.15, 0.6) if draws.chance(0.4) else 0.0
        paint_walls(canvas, draws, side, kerbs[side] + verge)
    paint_street(canvas, draws, edges, kerbs)
    things = moving(canvas, draws, edges, kerbs)
    for side in (-1, 1):
        things += planted(canvas, draws, side, edges[side], kerbs[side])
    for thing in sorted(things, key=lambda thing: thing.depth):
        thing.paint()
    return _developed(canvas, draws)


def _developed(
    canvas: Canvas, draws: Draws
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"]]:
    """Return the scene at half the size, lit unevenly, noisy, and ignored in a few places."""
    full = canvas.image
    image = full[:, ::2, ::2] + full[:, 1::2, ::2] + full[:, ::2, 1::2] + full[:, 1::2, 1::2]
    across, down = draws.between(-0.3, 0.3), draws.between(-0.25, 0.25)
    falloff = 1 + across * (X[:, ::2] / W - 0.5) + down * (Y[::2] / H - 0.5)
    noise = draws.grain(3 * HEIGHT, WIDTH).reshape(3, HEIGHT, WIDTH) * draws.between(2.5, 7)
    image = np.clip(image * (falloff / 4) + noise + 0.5, 0, 255).astype(np.uint8)
    image = np.ascontiguousarray(image.transpose(1, 2, 0))
    label = canvas.label[::2, ::2].copy()
    if draws.chance(0.6):
        label[_halo(label, CAR) | _halo(label, PEDESTRIAN)] = IGNORED
    y, x = draws.between(0, HEIGHT), draws.between(0, WIDTH)
    reach = draws.between(4, 11)
    below, beside = (Y[:HEIGHT] - y) / reach, (X[:, :WIDTH] - x) / reach
    label[below * below + beside * beside + 0.4 * canvas.leafy[::2, ::2] < 1] = IGNORED
    return image, label


def _halo(label: UInt8[np.ndarray, "h w"], kind: int) -> np.ndarray:
    """Return the pixels that touch one of ``kind`` and are neither of it nor thin."""
    inside = np.pad(label == kind, 1)
    touching = inside[:-2, 1:-1] | inside[2:, 1:-1] | inside[1:-1, :-2] | inside[1:-1, 2:]
    return touching & (label != kind) & (label != POLE) & (label != SIGN)

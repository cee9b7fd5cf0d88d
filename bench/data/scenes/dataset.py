"""Drawn street scenes: small images with thin, weakly contrasted structure, nothing to download.

A scene depends on its split and index alone, and is drawn from the back to the front. Every step is
a whole number or a single float operation that IEEE 754 rounds in one way, so a scene has the same
pixels on every machine. No torch here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from bench.data.dataset import Entry, Sample, SegmentationDataset
from bench.data.scenes.canvas import (
    BUILDING,
    CAR,
    CLASSES,
    HEIGHT,
    LEAVES,
    PAVEMENT,
    PEDESTRIAN,
    POLE,
    ROAD,
    SIGN,
    SKY,
    VEGETATION,
    WALLS,
    WIDTH,
    Canvas,
    Colour,
    Draws,
    H,
    Plane,
    W,
    X,
    Y,
    box,
    leaf_noise,
)
from bench.data.scenes.objects import moving, planted
from bench.errors import DataError
from bench.iou import IGNORED, class_iou, mean_known, pixel_accuracy
from bench.spec import DataSpec

SPLITS = {"train": 400, "val": 100, "test": 150}

# Nine colours, chosen to be told apart without red-green vision (after Okabe and Ito).
COLOURS = {
    "sky": (86, 180, 233),
    "building": (146, 146, 146),
    "road": (58, 54, 82),
    "pavement": (222, 203, 164),
    "vegetation": (0, 158, 115),
    "pole": (240, 228, 66),
    "sign": (213, 94, 0),
    "car": (0, 90, 181),
    "pedestrian": (214, 110, 170),
}

# fmt: off
SKIES: list[tuple[Colour, Colour]] = [
    ((96, 146, 204), (196, 212, 224)), ((128, 160, 196), (222, 216, 204)),
    ((170, 178, 186), (206, 208, 208)), ((74, 120, 190), (176, 204, 228)),
]
# fmt: on


def open_scenes(spec: DataSpec, data_root: Path | None) -> Scenes:
    """Return the drawn scenes, which need no files."""
    return Scenes(
        name="scenes",
        class_names=CLASSES,
        thin_classes=("pole", "sign", "pedestrian"),  # objects a few pixels wide, as in CamVid
        palette=np.array([COLOURS[name] for name in CLASSES], np.uint8),
        mean=(121.6, 121.9, 122.6),  # of 100 training scenes, measured
        std=(45.4, 45.5, 54.1),
        metric_names=("miou", "pixel_accuracy"),
    )


@dataclass(frozen=True, eq=False)
class Scenes(SegmentationDataset):
    """Street scenes of 96 x 128 pixels in nine classes, drawn when they are read."""

    def splits(self) -> tuple[str, ...]:
        """Return the splits: 400 scenes in train, 100 in val, 150 in test."""
        return tuple(SPLITS)

    def entries(self, split: str) -> list[Entry]:
        """Return the scenes of a split; raises DataError if there is no such split."""
        if split not in SPLITS:
            raise DataError(f"scenes: {self.missing_split_message(split)}")
        ids = [f"{split}-{index:03d}" for index in range(SPLITS[split])]
        return [Entry(id, (), partial(_draw, id, split, index)) for index, id in enumerate(ids)]

    def scores(self, matrix: Int64[np.ndarray, "k k"]) -> dict[str, float]:
        """Return mean IoU of the nine classes ("miou") and pixel accuracy."""
        return {"miou": mean_known(class_iou(matrix)), "pixel_accuracy": pixel_accuracy(matrix)}


def _draw(id: str, split: str, index: int) -> Sample:
    image, label = draw_scene(split, index)
    return Sample(id, image, label)


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


def paint_sky(canvas: Canvas, draws: Draws) -> None:
    """Paint the sky, from the zenith's colour down to the horizon's, with clouds."""
    zenith, low = draws.pick(SKIES)
    down = np.clip(Y / np.float32(canvas.horizon), 0, 1)
    cover = np.clip(canvas.cloudy * 0.5 + canvas.leafy * 0.06 + draws.between(-0.5, 0.3), 0, 0.8)
    colour = [
        (zenith[channel] * (1 - down) + low[channel] * down) * (1 - cover) + 226 * cover
        for channel in range(3)
    ]
    canvas.paint(np.ones((H, W), bool), np.stack(colour), SKY)


def paint_skyline(canvas: Canvas, draws: Draws) -> None:
    """Paint far houses and trees across the end of the street."""
    left = canvas.vanishing - draws.between(60, 90)
    while left < canvas.vanishing + 75:
        width, height = draws.between(10, 34), draws.between(6, 26)
        at, u, v = box(left, canvas.horizon - height, width, height + 4)
        if draws.chance(0.6):
            window = ((v * height) % 6 > 3) & ((u * width) % 7 > 4)
            shade = np.where(window, np.float32(0.7), np.float32(0.95))
            whole = np.ones(window.shape, bool)
            canvas.paint(whole, draws.pick(WALLS), BUILDING, at=at, shade=shade, depth=0.25)
        else:
            crown = u * u + (1 - v) * (1 - v) + 0.3 * leaf_noise(canvas, at, u, v) < 1
            canvas.paint(crown, draws.pick(LEAVES), VEGETATION, at=at, depth=0.3)
        left += width * draws.between(0.7, 1.1)


def paint_open_ground(canvas: Canvas, draws: Draws) -> None:
    """Paint everything below the horizon as grass or paving; houses and street cover it later."""
    top = int(canvas.horizon) + 1
    grass = draws.chance(0.7)
    colour = draws.pick(LEAVES) if grass else (132.0, 126.0, 118.0)
    shade = 1 + (0.16 if grass else 0.0) * canvas.leafy[top:] + 0.05 * canvas.grain[top:]
    below = np.ones((H - top, W), bool)
    canvas.paint(
        below,
        colour,
        VEGETATION if grass else PAVEMENT,
        at=(top, 0),
        shade=shade,
        depth=_near(canvas),
    )


def paint_walls(canvas: Canvas, draws: Draws, side: int, base: float) -> None:
    """Paint house fronts with gaps along one side, ``base`` camera heights from the middle."""
    light = 1.0 if side == canvas.sunny else draws.between(0.62, 0.85)
    end, near = draws.between(12, 22), 260.0
    while near > end:
        # Pixels from the vanishing point; fronts do not overlap, so their order is free.
        far = max(near * draws.between(0.45, 0.8), end)
        columns = sorted(canvas.vanishing + side * distance for distance in (far, near))
        first, last = (min(max(round(column), 0), W) for column in columns)
        height, colour, built = draws.between(0.35, 1.25), draws.pick(WALLS), draws.chance(0.85)
        glass, floors, bays = (
            draws.between(0.35, 0.75),
            draws.between(3.5, 7),
            draws.between(380, 760),
        )
        if built and first < last:
            distance = np.maximum(np.abs(X[:, first:last] - np.float32(canvas.vanishing)), 1)
            up = (np.float32(canvas.horizon) - Y) / distance
            story, bay = (up * floors) % 1, (bays / distance) % 1
            window = (story > 0.3) & (story < 0.78) & (bay > 0.26) & (bay < 0.74)
            window &= (up < height - 0.05) & (distance > 26)
            noise = canvas.grain[:, first:last] + canvas.cloudy[:, first:last]
            shade = light * (1 + 0.05 * noise)
            shade = np.where(window, shade * glass, shade)
            shade = np.where(up > height - 0.035, shade * 0.8, shade)
            front = (up < height) & (up > -1 / base)
            depth = np.broadcast_to(np.minimum(distance / 120, 1), front.shape)
            canvas.paint(front, colour, BUILDING, at=(0, first), shade=shade, depth=depth)
        near = far


def paint_street(
    canvas: Canvas, draws: Draws, edges: dict[int, float], kerbs: dict[int, float]
) -> None:
    """Paint pavement out to ``kerbs`` and road out to ``edges``, with marks and shadow."""
    top = int(canvas.horizon) + 1
    forward = Y[top:] - np.float32(canvas.horizon)
    r = (X - np.float32(canvas.vanishing)) / forward
    depth = _near(canvas)
    tone = 1 + 0.045 * canvas.grain[top:] + 0.05 * canvas.cloudy[top:]
    if draws.chance(0.6):  # houses on the side away from the sun cast a shadow
        rim = draws.between(-0.8, 0.8) * canvas.sunny
        shaded = canvas.sunny * (r - rim) + 0.05 * canvas.leafy[top:] < 0
        tone = np.where(shaded, tone * 0.66, tone)
    grey, step = draws.between(76, 108), draws.between(6, 40)
    stone: Colour = (grey + step, grey + step * 0.95, grey + step * 0.82)
    slabs = np.where((60 / forward) % 1 < 0.12, tone * 0.9, tone)
    pavement = (r > -kerbs[-1]) & (r < kerbs[1])
    canvas.paint(pavement, stone, PAVEMENT, at=(top, 0), shade=slabs, depth=depth)
    rim_stone = (r > -edges[-1] - 0.07) & (r < edges[1] + 0.07)
    canvas.paint(rim_stone, stone, PAVEMENT, at=(top, 0), shade=tone * 1.14, depth=depth)
    road = (r > -edges[-1]) & (r < edges[1])
    canvas.paint(road, (grey, grey, grey + 4), ROAD, at=(top, 0), shade=tone, depth=depth)
    middle = (edges[1] - edges[-1]) / 2
    marks = (np.abs(r - np.float32(middle)) < 0.035) & ((150 / forward) % 1 < 0.55)
    if draws.chance(0.5):
        marks |= np.abs(r + np.float32(edges[-1] - 0.1)) < 0.022
    canvas.paint(marks, (206, 204, 196), ROAD, at=(top, 0), shade=tone, depth=depth)


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


def _near(canvas: Canvas) -> Plane:
    """Return the depth of the ground's rows: 1 from 60 pixels below the horizon."""
    rows = Y[int(canvas.horizon) + 1 :] - np.float32(canvas.horizon)
    return np.broadcast_to(np.minimum(rows / 60, 1), (len(rows), W))

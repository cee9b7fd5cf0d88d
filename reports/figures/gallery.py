"""The paper's Figure 2: kept predictions side by side, for images that a rule chooses."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from bench.iou import HEADLINE
from bench.manifest import Row, base_row
from reports.figures.axes import WIDE
from reports.model import Drawing, Example, Figure, Gallery, Tile
from reports.picture import Picture, Pixels, Raster, Shape, Words, short
from reports.runs import gain_by_image
from reports.sentences import captions
from reports.statistics.scores import Scores
from reports.wording import signed

EXAMPLES = 4
COLUMNS = 10
"""Largest number of images in one line of the figure; more continue below."""
SMALL, NAME = 7.5, 11.0
"""Height of the letters over an image, and of their line, in pixels."""
GAINED, LOST, BOTH = "#1b7837", "#c51b7d", "#bbbbbb"
WHITE = 0xFFFFFF
"""The colour of ignored pixels, as a number."""
DIFFERENCES = {
    "{base} wrong, this right": GAINED,
    "{base} right, this wrong": LOST,
    "both wrong": BOTH,
}
COLOUR_NAMES = {GAINED: "green", LOST: "magenta", BOTH: "grey"}


@dataclass(frozen=True)
class Predictions:
    """The folder of predictions that one run kept."""

    row: Row
    run_id: str
    folder: Path

    @property
    def image_ids(self) -> list[str]:
        """Ids of the images with true labels in the folder, sorted."""
        files = sorted(self.folder.glob("*.truth.png"))
        return [file.name.removesuffix(".truth.png") for file in files]

    def has(self, image_id: str, kind: str) -> bool:
        """Return whether the folder holds the "image", "truth" or "prediction" of an image."""
        return self._file(image_id, kind).exists()

    def read(self, image_id: str, kind: str) -> Pixels:
        """Return the pixels of the "image", "truth" or "prediction" of an image.

        Raises:
            OSError: The file is missing or damaged.
        """
        from PIL import Image

        with Image.open(self._file(image_id, kind)) as opened:
            return np.asarray(opened.convert("RGB"))

    def _file(self, image_id: str, kind: str) -> Path:
        return self.folder / f"{image_id}.{kind}.png"


def gallery(
    scores: Scores, kept: Sequence[Predictions], seed: int, legend: dict[str, str]
) -> Gallery:
    """Return example images with the predictions of every row that kept some.

    Shown are the images at even quantiles of the gain of the leading row over the base row. An
    image with a damaged file is left out, and the rule says so.

    Args:
        scores: The study.
        kept: The predictions of each row at ``seed``, at least one.
        seed: The seed.
        legend: Colour of each class.
    """
    base = _base(kept)
    rule, remarks = _choice(scores, kept, base, seed)
    examples = []
    for image, remark in remarks.items():
        try:
            examples.append(_example(image, remark, kept, base))
        except OSError as error:
            rule += f" {captions.NOT_SHOWN.format(image=image, why=error)}"
    differences = {name.format(base=base.row.label): c for name, c in DIFFERENCES.items()}
    return Gallery(
        rule=rule,
        examples=tuple(examples),
        legend=legend,
        differences=differences,
        colour_names=tuple(f"{COLOUR_NAMES[c]} {name}" for name, c in differences.items()),
    )


def choose(ids: Sequence[str], count: int) -> list[str]:
    """Return ``count`` of the ``ids`` at even quantiles, with the first and the last."""
    if len(ids) <= count:
        return [*ids]
    places = np.linspace(0, len(ids) - 1, count).round().astype(int)
    return [ids[int(place)] for place in places]


def difference_map(truth: Pixels, base: Pixels, ours: Pixels) -> Pixels:
    """Return where two predictions differ in being right, in the colours of ``DIFFERENCES``.

    A pixel is white where both are right, or where the truth is ignored (white).

    Args:
        truth: The true labels in the colours of their classes.
        base: The base row's prediction in those colours.
        ours: Our prediction in those colours.
    """
    right, under, over = map(_colour_numbers, (truth, base, ours))
    scored = right != WHITE
    wrong_base, wrong_ours = ((colours != right) & scored for colours in (under, over))
    found = np.full_like(truth, 255)
    found[wrong_base & ~wrong_ours] = _rgb(GAINED)
    found[wrong_ours & ~wrong_base] = _rgb(LOST)
    found[wrong_base & wrong_ours] = _rgb(BOTH)
    return found


def gallery_figure(shown: Gallery) -> Figure:
    """Return the gallery as one figure for a paper; the page prints each image by itself."""
    colours = captions.UNDER_EACH.format(colours="; ".join(shown.colour_names))
    caption = f"{shown.rule} {colours}"
    picture = _picture(shown)
    return Figure("predictions", "Predictions", Drawing(picture, picture), caption, caption)


def _choice(
    scores: Scores, kept: Sequence[Predictions], base: Predictions, seed: int
) -> tuple[str, dict[str, str]]:
    """Return the rule in words, and the remark of each image that it chooses."""
    hero = _leader(scores, [k for k in kept if k is not base]) or base
    ids = [i for i in kept[0].image_ids if all(k.has(i, "prediction") for k in kept)]
    counts = scores.images.runs
    gains = gain_by_image(counts.get(hero.run_id), counts.get(base.run_id))
    ranked = [image for image in gains if image in ids]
    if hero is base or not ranked:
        chosen = ids[:EXAMPLES]
        rule = captions.FIRST_KEPT.format(shown=len(chosen), kept=len(ids), seed=seed)
        return rule, dict.fromkeys(chosen, "")
    chosen = choose(ranked, EXAMPLES)
    said = captions.SOME_KEPT if len(chosen) < len(ids) else captions.EVERY_KEPT
    names = {"leader": hero.row.label, "base": base.row.label, "seed": seed}
    rule = said.format(shown=len(chosen), kept=len(ids), **names)
    rule += f" {captions.HEADINGS.format(images=len(gains))}"
    order = list(gains)
    return rule, {
        image: f"{signed(gains[image])} points, rank {order.index(image) + 1} of {len(gains)}"
        for image in chosen
    }


def _example(image_id: str, remark: str, kept: Sequence[Predictions], base: Predictions) -> Example:
    truth = kept[0].read(image_id, "truth")
    predictions = {k.row.label: k.read(image_id, "prediction") for k in kept}
    rows = []
    under, name = predictions[base.row.label], base.row.label
    for label, prediction in predictions.items():
        caption = f"Errors of {label}" if label == name else f"{label} against {name}"
        difference = Tile(caption, difference_map(truth, under, prediction))
        rows.append((Tile(label, prediction), difference))
    given = [Tile("Truth", truth)]
    if kept[0].has(image_id, "image"):
        given.insert(0, Tile("Image", kept[0].read(image_id, "image"), photo=True))
    return Example(image_id, remark, tuple(given), tuple(rows))


def _base(kept: Sequence[Predictions]) -> Predictions:
    row = base_row([k.row for k in kept])
    return next(k for k in kept if k.row is row)


def _leader(scores: Scores, kept: Sequence[Predictions]) -> Predictions | None:
    """Return the predictions of the row with the highest mean score."""
    found = [(scores.of(k.row.label, HEADLINE).values(), k) for k in kept]
    means = [(fmean(values), k) for values, k in found if values]
    return max(means, key=lambda pair: pair[0])[1] if means else None


def _picture(shown: Gallery) -> Picture:
    """Draw the examples: image, truth and predictions in a line, differences under them."""
    height, width = shown.examples[0].given[0].pixels.shape[:2]
    tiles = len(shown.examples[0].given) + len(shown.examples[0].rows)
    columns = math.ceil(tiles / math.ceil(tiles / COLUMNS))
    across = WIDE / columns
    down = across * height / width + NAME
    shapes: list[Shape] = []
    for y, line in enumerate(line for each in shown.examples for line in _lines(each, columns)):
        for x, tile in enumerate(line):
            if tile:
                left, top = x * across, y * down + NAME
                letters = max(8, int(across / (0.56 * SMALL)))
                shapes.append(Words((left + 1, top - 3), short(tile.caption, letters), size=SMALL))
                shapes.append(Raster((left + 1, top), across - 2, down - NAME - 2, tile.pixels))
    lines = sum(2 * math.ceil(tiles / columns) for _ in shown.examples)
    return Picture(WIDE, lines * down, tuple(shapes))


def _lines(example: Example, columns: int) -> Iterator[list[Tile | None]]:
    """Yield two lines for every ``columns`` tiles: predictions, and the differences below."""
    above: list[Tile | None] = [*example.given, *(tile for tile, _ in example.rows)]
    below = [None] * len(example.given) + [tile for _, tile in example.rows]
    for start in range(0, len(above), columns):
        yield above[start : start + columns]
        yield below[start : start + columns]


def _colour_numbers(image: Pixels) -> np.ndarray:
    """Return one number for the colour of each pixel."""
    red, green, blue = (image[..., i].astype(np.int32) for i in range(3))
    return red << 16 | green << 8 | blue


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))

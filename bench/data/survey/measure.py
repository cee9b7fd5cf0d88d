"""Facts about the files of a folder: sizes, colours, labels and their shares. No torch here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float64, Int64
from PIL import Image

from bench.data.dataset import evenly_spaced
from bench.data.folder.files import Pair
from bench.data.folder.labels import refuse_lossy, stored_labels
from bench.data.folder.pixels import DEEP, open_image, without_alpha
from bench.data.reading import in_threads
from bench.errors import DataError

MOST_COLOURS = 256
"""A mask with more colours is a photograph, or was resized with interpolation."""
SPARSE = 4
"""In an image of SPARSE_FROM or more pixels a side, every fourth row and column is looked at for
mean and standard deviation, which takes a sixteenth of the time."""
SPARSE_FROM = 64
THIN_SAMPLE = 24
"""Number of masks in which the width of objects is measured."""
THIN_RADIUS = 3
THIN_REST = 0.3
"""A class is thin if less than this share of it is farther than THIN_RADIUS from its border."""


@dataclass
class Facts:
    """Facts about all pairs of a folder."""

    pairs: int = 0
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    """(height, width) of the images."""
    modes: Counter[str] = field(default_factory=Counter)
    """PIL's colour modes of the images; ``mask_modes`` likewise."""
    mask_modes: Counter[str] = field(default_factory=Counter)
    levels: Int64[np.ndarray, "3 256"] = field(default_factory=lambda: np.zeros((3, 256), int))
    """Histogram of the images as RGB of 8 bits."""
    deep: tuple[float, float] | None = None
    """Lowest and highest value of images with more than 8 bits."""
    labels: Counter[int] = field(default_factory=Counter)
    """Pixels by stored label, of index masks."""
    colours: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    """Pixels by colour, of colour masks."""
    palette: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    """Colour of each label in palette masks."""
    rotated: int = 0
    """Number of images with an EXIF orientation."""
    unequal: list[str] = field(default_factory=list)
    """Ids of images and masks of different sizes."""
    without_mask: list[str] = field(default_factory=list)
    """Images that have no mask."""
    faults: list[str] = field(default_factory=list)

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of the pixels per channel, 0..255."""
        return tuple(round(float(m), 1) for m in self._moments()[0])

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of the pixels per channel."""
        return tuple(max(1.0, round(float(s), 1)) for s in self._moments()[1])

    def _moments(self) -> tuple[Float64[np.ndarray, " 3"], Float64[np.ndarray, " 3"]]:
        values, total = np.arange(256), self.levels.sum(1)
        mean = self.levels @ values / np.maximum(total, 1)
        square = self.levels @ (values**2) / np.maximum(total, 1)
        return mean, np.sqrt(np.maximum(square - mean**2, 0))


@dataclass(frozen=True)
class _Look:
    """Facts about one pair."""

    size: tuple[int, int]
    mode: str
    mask_mode: str
    levels: Int64[np.ndarray, "3 256"]
    deep: tuple[float, float] | None
    labels: dict[int, int]
    colours: dict[tuple[int, int, int], int]
    palette: dict[int, tuple[int, int, int]]
    rotated: bool
    equal: bool


def measure(pairs: Mapping[str, Pair]) -> Facts:
    """Return facts about all pairs; each file is decoded once, and none is kept."""

    def look(item: tuple[str, Pair]) -> tuple[str, _Look | DataError]:
        try:
            return item[0], _look(item[1])
        except DataError as error:
            return item[0], error

    facts = Facts()
    for id, found in in_threads(look, list(pairs.items())):
        if isinstance(found, DataError):
            facts.faults.append(str(found))
        else:
            _add(facts, id, found)
    if facts.colours:  # a grey mask is one of colours too, such as one of background alone
        for label, count in facts.labels.items():
            facts.colours[label, label, label] += count
        facts.labels.clear()
    return facts


def _add(facts: Facts, id: str, look: _Look) -> None:
    facts.pairs += 1
    facts.sizes[look.size] += 1
    facts.modes[look.mode] += 1
    facts.mask_modes[look.mask_mode] += 1
    facts.levels += look.levels
    facts.labels.update(look.labels)
    facts.colours.update(look.colours)
    facts.palette.update(look.palette)
    facts.rotated += look.rotated
    if look.deep:
        low, high = facts.deep or look.deep
        facts.deep = min(low, look.deep[0]), max(high, look.deep[1])
    if not look.equal:
        facts.unequal.append(id)


def _look(pair: Pair) -> _Look:
    shown, stored = open_image(pair.image)
    mask = open_image(pair.mask)[0]
    refuse_lossy(mask, pair.mask)
    labels, colours = _mask_content(mask, pair)
    deep = None
    if shown.mode in DEEP:
        values = np.asarray(shown)
        deep = (float(values.min()), float(values.max()))
        if not np.isfinite(deep).all():
            raise DataError(f"{pair.image}: holds values that are no numbers; replace the file")
    return _Look(
        size=(shown.height, shown.width),
        mode=shown.mode,
        mask_mode=mask.mode,
        levels=_levels(shown),
        deep=deep,
        labels=labels,
        colours=colours,
        palette=_palette(mask, labels),
        rotated=shown is not stored,
        equal=mask.size in (shown.size, stored.size),
    )


def _levels(image: Image.Image) -> Int64[np.ndarray, "3 256"]:
    """Return the histogram of each channel of an image of 8 bits; zeros for more bits."""
    if image.mode in DEEP:
        return np.zeros((3, 256), int)
    if min(image.size) >= SPARSE_FROM:
        fewer = (image.width // SPARSE, image.height // SPARSE)
        image = image.resize(fewer, Image.Resampling.NEAREST)
    return np.array(without_alpha(image).histogram()).reshape(3, 256)


def _mask_content(
    mask: Image.Image, pair: Pair
) -> tuple[dict[int, int], dict[tuple[int, int, int], int]]:
    """Return pixels by stored label, or by colour if the mask holds colours."""
    if mask.mode == "1":
        counts = mask.histogram()
        return {0: counts[0], 1: counts[255]} if counts[255] else {0: counts[0]}, {}
    if mask.mode in ("L", "P"):
        return {value: count for value, count in enumerate(mask.histogram()) if count}, {}
    if mask.mode in DEEP:
        values, counts = np.unique(stored_labels(mask, pair.mask), return_counts=True)
        return {int(v): int(n) for v, n in zip(values, counts, strict=True)}, {}
    found = mask.convert("RGB").getcolors(MOST_COLOURS)
    if found is None:
        raise DataError(
            f"{pair.mask}: has more than {MOST_COLOURS} colours: a mask resized with "
            "interpolation, saved as JPEG, or no mask"
        )
    colours = {(int(c[0]), int(c[1]), int(c[2])): n for n, c in found if isinstance(c, tuple)}
    if all(red == green == blue for red, green, blue in colours):
        return {red: count for (red, _, _), count in colours.items()}, {}
    return {}, colours


def _palette(mask: Image.Image, labels: Iterable[int]) -> dict[int, tuple[int, int, int]]:
    flat = mask.getpalette("RGB") if mask.mode == "P" else None
    if not flat:
        return {}
    known = [label for label in labels if 3 * label + 2 < len(flat)]
    return {k: (flat[3 * k], flat[3 * k + 1], flat[3 * k + 2]) for k in known}


def thin_labels(masks: Sequence[np.ndarray], labels: Iterable[int]) -> list[int]:
    """Return the labels whose objects are a few pixels wide.

    Args:
        masks: Label maps; a few of them are looked at.
        labels: The labels to judge.
    """
    looked = [masks[index] for index in evenly_spaced(len(masks), THIN_SAMPLE)]
    thin = []
    for label in labels:
        objects = [mask == label for mask in looked]
        area = sum(int(found.sum()) for found in objects)
        core = sum(int(_eroded(found, THIN_RADIUS).sum()) for found in objects)
        if area and core < THIN_REST * area:
            thin.append(label)
    return thin


def _eroded(found: Bool[np.ndarray, "h w"], radius: int) -> Bool[np.ndarray, "h w"]:
    """Return the pixels whose square neighbourhood of ``radius`` lies in the object."""
    for _ in range(radius):
        for axis in (0, 1):
            padded = np.pad(found, [(1, 1) if axis == a else (0, 0) for a in (0, 1)], mode="edge")
            length = found.shape[axis]
            parts = [np.take(padded, range(start, start + length), axis) for start in (0, 1, 2)]
            found = parts[0] & parts[1] & parts[2]
    return found

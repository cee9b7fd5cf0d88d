"""Masks of any usual form as class indices: index, palette, 1-bit, 16-bit and colour masks.

No torch here.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64, UInt8, UInt16
from PIL import Image

from bench.data.folder.pixels import open_image
from bench.data_spec import DataSpec
from bench.errors import DataError
from bench.iou import IGNORED

HIGHEST = 2**16
SCATTERED = 8
"""More labels than classes by this number are no list of classes that is too short."""


class LabelReader:
    """Translates what masks store into class indices, as a DataSpec says."""

    def __init__(self, spec: DataSpec) -> None:
        self.spec = spec
        self.count = len(spec.classes)

    def read(self, path: Path) -> UInt8[np.ndarray, "h w"]:
        """Return class indices, 255 where ignored; raises DataError for any other label."""
        return self.translate(open_image(path)[0], path)

    def translate(self, mask: Image.Image, path: Path) -> UInt8[np.ndarray, "h w"]:
        """Return the class indices of a decoded mask."""
        refuse_lossy(mask, path)
        if self.spec.encoding == "colour":
            return self._by_colour(mask, path)
        return self._by_index(stored_labels(mask, path), path)

    def _by_index(
        self, stored: UInt8[np.ndarray, "h w"] | UInt16[np.ndarray, "h w"], path: Path
    ) -> UInt8[np.ndarray, "h w"]:
        # 255, which is ignored, wraps to 0: the classes are 1 to count, and other labels lie above.
        if stored.dtype == np.uint8 and (stored + np.uint8(1)).max() <= self._unchanged:
            return stored
        table, known = self._labels
        labels = table.take(stored)
        # A label that is not allowed becomes 255, so only the labels of those pixels are looked at.
        if not known[stored[labels == IGNORED]].all():
            wrong = ~known[stored]
            row, column = np.argwhere(wrong)[0]
            raise DataError(
                f"{path}: label {stored[row, column]} at row {row}, column {column} "
                f"({wrong.sum()} pixels like it); {self._allowed}{self._hint(stored)}"
            )
        return labels

    @cached_property
    def _unchanged(self) -> int:
        """The number of classes if masks store them as they are and 255 is ignored; else -1."""
        table, known = self._labels
        same = np.array_equal(table[: self.count], np.arange(self.count))
        return self.count if same and known[IGNORED] and table[IGNORED] == IGNORED else -1

    @cached_property
    def _labels(self) -> tuple[UInt8[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        """The class of each stored label, and whether the label is allowed."""
        table = np.full(HIGHEST, IGNORED, np.uint8)
        known = np.zeros(HIGHEST, bool)
        first = 1 if self.spec.reduce_zero_label else 0
        table[first : first + self.count] = np.arange(self.count)
        known[: first + self.count] = True
        pairs = ((self.spec.ignore_index, IGNORED), *self.spec.label_map)
        for stored, label in pairs:
            if stored < HIGHEST:
                table[stored], known[stored] = label, True
        return table, known

    @property
    def _allowed(self) -> str:
        last = self.count - 1 + self.spec.reduce_zero_label
        return f"allowed are 0 to {last} and {self.spec.ignore_index} (ignored)"

    def _hint(self, stored: np.ndarray) -> str:
        used = np.flatnonzero(np.bincount(stored.ravel())).tolist()
        if used in ([0, 255], [255]):
            return "; if 255 is the object, write label_map = [[255, 1]]"
        if len(used) > self.count + SCATTERED:
            return (
                f"; {len(used)} different labels are a mask resized with interpolation, or no "
                "mask: resize with the nearest neighbour"
            )
        if used[-1] == self.count and not self.spec.reduce_zero_label:
            return (
                "; if labels count from 1 and 0 is not labelled, write reduce_zero_label = true; "
                "else a class is missing in data.classes"
            )
        return "; data.label_map translates others, data.classes names all"

    @cached_property
    def _colours(self) -> UInt8[np.ndarray, " n"]:
        """The class of each of 2**24 colours; 254 for a colour of no class."""
        table = np.full(2**24, 254, np.uint8)
        for label, colour in enumerate(self.spec.colours):
            table[_code(*colour)] = label
        for colour in self.spec.ignored_colours:
            table[_code(*colour)] = IGNORED
        return table

    def _by_colour(self, mask: Image.Image, path: Path) -> UInt8[np.ndarray, "h w"]:
        colours = np.asarray(mask.convert("RGB")).astype(np.int32)
        labels = self._colours[_code(colours[..., 0], colours[..., 1], colours[..., 2])]
        wrong = labels == 254
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            red, green, blue = colours[row, column].tolist()
            raise DataError(
                f"{path}: colour #{red:02x}{green:02x}{blue:02x} at row {row}, column {column} "
                f"({wrong.sum()} pixels are of no class's colour){self._near(red, green, blue)}"
            )
        return labels

    def _near(self, red: int, green: int, blue: int) -> str:
        table: Int64[np.ndarray, "k 3"] = np.array(self.spec.colours, np.int64)
        distance = np.abs(table - [red, green, blue]).max(1)
        nearest = int(distance.argmin())
        if distance[nearest] > 24:
            return "; name its class in data.classes and data.colours, or add it to ignored_colours"
        return (
            f"; it is nearly that of {self.spec.classes[nearest]!r}: a mask must be saved without "
            "loss (PNG) and resized without interpolation"
        )


def _code(red, green, blue):
    """Return a colour, or an array of colours, as one number."""
    return red << 16 | green << 8 | blue


def refuse_lossy(mask: Image.Image, path: Path) -> None:
    """Raise DataError if a mask is a JPEG, whatever its file is called."""
    if mask.format in ("JPEG", "MPO"):
        raise DataError(
            f"{path}: a JPEG changes labels near every border; save masks as PNG or TIFF"
        )


def stored_labels(
    mask: Image.Image, path: Path
) -> UInt8[np.ndarray, "h w"] | UInt16[np.ndarray, "h w"]:
    """Return the numbers that an index mask stores.

    Raises DataError for a mask of colours, or of numbers that are no labels.
    """
    if mask.mode in ("L", "P", "1"):
        return np.asarray(mask).astype(np.uint8, copy=False)
    if mask.mode in ("RGB", "RGBA", "LA", "RGBX"):
        channels = np.asarray(mask)[..., : 1 if mask.mode == "LA" else 3]
        if (channels != channels[..., :1]).any():
            raise DataError(
                f"{path}: the mask holds colours; write encoding = 'colour' and data.colours, one "
                "colour for each class"
            )
        return np.ascontiguousarray(channels[..., 0])
    numbers = np.asarray(mask)
    if numbers.ndim == 2 and numbers.dtype.kind in "iuf":
        with np.errstate(invalid="ignore"):  # values that are no numbers are refused below
            whole = numbers.astype(np.uint16)
        if (whole == numbers).all():
            return whole
        raise DataError(
            f"{path}: holds {numbers.min():g} to {numbers.max():g}, which are no labels"
        )
    raise DataError(f"{path}: colour mode {mask.mode} is no mask; save it as a grey or palette PNG")

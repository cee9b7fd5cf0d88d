"""CamVid's 32 classes as SegNet's 11 and void: by colour, or by index. No torch here.

Two maps are in use. "usual" joins kinds of one thing (MATLAB's CamVid example, BiSeNet and its
relatives); "strict" keeps the eleven classes' own colours and makes the others void.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8, UInt32

from bench.data.reading import check_labels, decode
from bench.errors import DataError, unknown
from bench.iou import IGNORED

VOID = 11
ClassMap = Literal["usual", "strict"]

# By index of the eleven classes; "strict" keeps the first name of each.
_JOINED = (
    ("Sky",),
    ("Building", "Bridge", "Wall", "Tunnel", "Archway"),
    ("Column_Pole", "TrafficCone"),
    ("Road", "LaneMkgsDriv", "LaneMkgsNonDriv"),
    ("Sidewalk", "ParkingBlock", "RoadShoulder"),
    ("Tree", "VegetationMisc"),
    ("SignSymbol", "Misc_Text", "TrafficLight"),
    ("Fence",),
    ("Car", "SUVPickupTruck", "Truck_Bus", "Train", "OtherMoving"),
    ("Pedestrian", "Child", "CartLuggagePram", "Animal"),
    ("Bicyclist", "MotorcycleScooter"),
    ("Void",),
)
CLASS_OF = {
    "usual": {name: k for k, names in enumerate(_JOINED) for name in names},
    "strict": {
        name: VOID if place else k
        for k, names in enumerate(_JOINED)
        for place, name in enumerate(names)
    },
}


@dataclass(frozen=True, eq=False)
class IndexMasks:
    """Masks of indices: index i stands for class ``meaning[i]``, 0 to 11; 255 is ignored."""

    meaning: UInt8[np.ndarray, " n"]
    colour_hint: str = ""

    def read(self, path: Path) -> UInt8[np.ndarray, "h w"]:
        """Return classes 0 to 11 and 255; raises DataError if a mask holds anything else."""
        mask = decode(path)
        if mask.mode not in ("L", "P"):
            hint = self.colour_hint if mask.mode in ("RGB", "RGBA") else ""
            way_out = hint or "save it as an 8-bit map of class indices"
            raise DataError(f"{path}: colour mode {mask.mode}; {way_out}")
        # A palette image ("P") is read as its indices, whatever colours they show.
        stored = np.array(mask)
        check_labels(stored, path, len(self.meaning) - 1)
        meaning = np.full(256, IGNORED, np.uint8)
        meaning[: len(self.meaning)] = self.meaning
        return meaning[stored]


@dataclass(frozen=True, eq=False)
class ColourMasks:
    """Masks of colours, each 0xRRGGBB of the sorted ``colours`` with its class 0 to 11."""

    colours: UInt32[np.ndarray, " n"]
    classes: UInt8[np.ndarray, " n"]
    source: Path
    """The file that lists the colours."""

    def read(self, path: Path) -> UInt8[np.ndarray, "h w"]:
        """Return classes 0 to 11; raises DataError if a colour is not listed."""
        mask = decode(path)
        if mask.mode not in ("RGB", "RGBA", "P"):
            raise DataError(f"{path}: colour mode {mask.mode}; a mask of colours is needed here")
        red, green, blue = np.moveaxis(np.array(mask.convert("RGB")).astype(np.uint32), -1, 0)
        packed = red << 16 | green << 8 | blue
        place = np.searchsorted(self.colours, packed).clip(max=len(self.colours) - 1)
        wrong = self.colours[place] != packed
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            code = int(packed[row, column])
            same, all_wrong = int((packed == code).sum()), int(wrong.sum())
            more = f", {all_wrong} of colours not listed" if all_wrong > same else ""
            raise DataError(
                f"{path}: colour {_format_colour(code)} at row {row}, column {column} "
                f"({same} pixels of it{more}) is none of {self.source.name}'s; use the original "
                "mask, neither resized nor saved as JPEG"
            )
        return self.classes[place]


SEGNET_MASKS = IndexMasks(
    np.arange(VOID + 1, dtype=np.uint8),
    colour_hint="colours are read in CamVid's other layouts (docs/data.md), here class indices are",
)


def colour_masks(source: Path, class_map: ClassMap) -> ColourMasks:
    """Return the colours listed in class_dict.csv (name,r,g,b) or label_colors.txt (r g b name)."""
    known = CLASS_OF[class_map]
    found: dict[int, int] = {}
    for number, fields in _rows(source):
        names = [field for field in fields if not field.isdecimal()]
        values = [int(field) for field in fields if field.isdecimal()]
        if number == 1 and not values:
            continue  # a heading
        if len(names) != 1 or len(values) != 3 or max(values) > IGNORED:
            raise DataError(
                f"{source}, line {number}: {' '.join(fields)!r} is not a class name with its "
                "red, green and blue"
            )
        code = values[0] << 16 | values[1] << 8 | values[2]
        if code in found:
            raise DataError(
                f"{source}, line {number}: colour {_format_colour(code)} is listed twice"
            )
        found[code] = _class(source, number, names[0], known)
    if not found:
        raise DataError(f"{source}: lists no colour; fetch the file again")
    codes = sorted(found)
    classes = np.array([found[code] for code in codes], np.uint8)
    return ColourMasks(np.array(codes, np.uint32), classes, source)


def index_masks(source: Path, class_map: ClassMap) -> IndexMasks:
    """Return the indices that codes.txt lists: a class name per line, from index 0."""
    known = CLASS_OF[class_map]
    classes = [_class(source, number, " ".join(fields), known) for number, fields in _rows(source)]
    if not classes:
        raise DataError(f"{source}: lists no class; fetch the file again")
    return IndexMasks(np.array(classes, np.uint8))


def _class(source: Path, number: int, name: str, known: dict[str, int]) -> int:
    if name not in known:
        raise DataError(f"{source}, line {number}: {unknown('CamVid class', name, known)}")
    return known[name]


def _rows(source: Path) -> list[tuple[int, list[str]]]:
    """Return number and stripped fields of each line that is not blank."""
    try:
        text = source.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{source}: cannot be read ({error}); fetch the file again") from None
    if source.suffix == ".csv":
        rows = [[field.strip() for field in row] for row in csv.reader(text.splitlines())]
    else:
        rows = [line.split() for line in text.splitlines()]
    return [(number, row) for number, row in enumerate(rows, 1) if any(row)]


def _format_colour(code: int) -> str:
    return f"({code >> 16}, {code >> 8 & 255}, {code & 255})"

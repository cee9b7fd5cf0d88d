"""A folder of images and masks as a data set, described by the [data] section of a profile.

No torch here.
"""

from __future__ import annotations

import colorsys
import re
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image

from bench.data.dataset import Entry, Sample, SegmentationDataset
from bench.data.folder.files import Pair, Tree, find_pairs, unused_masks
from bench.data.folder.labels import LabelReader
from bench.data.folder.pixels import EIGHT_BIT, open_image, oriented_as, to_rgb
from bench.data.grouping import shares_of
from bench.data.reading import check_sizes, some
from bench.data_spec import FOLD, HELD_OUT, DataSpec, group_of
from bench.errors import DataError, SpecError
from bench.iou import class_iou, mean_known, pixel_accuracy

SPLIT = "{split}"


def open_folder(spec: DataSpec, data_root: Path | None) -> Folder:
    """Return the images and masks that ``spec`` describes; no file is read yet.

    Raises:
        SpecError: A key is missing, or the splits are not described.
    """
    for key in ("images", "masks", "classes"):
        if not getattr(spec, key):
            raise SpecError(f"data.{key} is missing; segloss data init FOLDER writes a profile")
    folder = Folder(**described(spec), root=data_root)
    if not folder.names_splits and spec.evaluate not in (FOLD, HELD_OUT):
        raise SpecError(
            "data: nothing says which images are of which split: write {split} into images and "
            "masks, or give splits, lists or folds"
        )
    return folder


def described(spec: DataSpec) -> dict[str, Any]:
    """Return the fields of a data set that ``spec`` describes itself."""
    palette = spec.colours or distinct_colours(len(spec.classes))
    return {
        "name": spec.name,
        "class_names": spec.classes,
        "palette": np.array(palette, np.uint8).reshape(-1, 3),
        "mean": spec.mean,
        "std": spec.std,
        "metric_names": ("miou", "pixel_accuracy"),
        "thin_classes": spec.thin_classes,
        "spec": spec,
    }


def distinct_colours(count: int) -> list[tuple[int, int, int]]:
    """Return ``count`` different colours; the first, usually the background, is dark grey."""
    colours = [(60, 60, 60)]
    for number in range(count - 1):
        # Steps of the golden ratio keep hues apart; lightness changes from one to the next.
        hue, light = number * 0.618034 % 1, (0.55, 0.4, 0.7)[number % 3]
        red, green, blue = colorsys.hls_to_rgb(hue, light, 0.75 - 0.001 * (number // 3))
        colours.append((round(255 * red), round(255 * green), round(255 * blue)))
    return colours[:count]


@dataclass(frozen=True, eq=False)
class Described(SegmentationDataset):
    """A data set whose classes, colours and scores a profile describes."""

    spec: DataSpec

    @cached_property
    def labels(self) -> LabelReader:
        """The translation of stored labels into classes."""
        return LabelReader(self.spec)

    @property
    def names_splits(self) -> bool:
        """Whether paths, lists or rules tell the images of one split from those of another."""
        return bool(self.spec.splits)

    def splits(self) -> tuple[str, ...]:
        """Return the splits that the profile names."""
        named = (*self.spec.train, self.spec.evaluate)
        return tuple(
            dict.fromkeys(name for name in named if name not in (FOLD, HELD_OUT))
            if not self.spec.splits
            else dict(self.spec.splits)
        )

    def scores(self, matrix: Int64[np.ndarray, "k k"]) -> dict[str, float]:
        """Return mean IoU of all classes ("miou") and pixel accuracy."""
        return {"miou": mean_known(class_iou(matrix)), "pixel_accuracy": pixel_accuracy(matrix)}

    def chosen(self, split: str, ids: list[str]) -> list[str]:
        """Return the ids of a split by the rules of ``splits``; without rules all of them.

        Raises:
            DataError: A pattern matches no id, or an id matches the patterns of two splits.
            SpecError: A split would have no image.
        """
        rules = dict(self.spec.splits)
        if not rules:
            return ids
        if isinstance(rules[split], str):
            return _matching(split, {name: str(rule) for name, rule in rules.items()}, ids)
        groups = {id: group_of(self.spec.groups, id) for id in ids}
        split_of = shares_of(groups, {name: float(rule) for name, rule in rules.items()})
        return [id for id in ids if split_of.get(groups[id]) == split]


@dataclass(frozen=True, eq=False)
class Folder(Described):
    """Image and mask files in folders."""

    root: Path | None

    @property
    def names_splits(self) -> bool:
        """Whether paths, lists or rules tell the images of one split from those of another."""
        return super().names_splits or self._place("any") != ""

    def entries(self, split: str) -> list[Entry]:
        """Return image and mask pairs by id; raises DataError if a file is missing."""
        if split not in self.splits():
            raise DataError(f"{self.name}: {self.missing_split_message(split)}")
        pairs = self._pairs(split)
        ids = self.chosen(split, list(pairs))
        return [self._entry(id, pairs[id]) for id in ids]

    def _entry(self, id: str, pair: Pair) -> Entry:
        return Entry(id, pair, partial(self._read, id, pair), partial(self._check, pair))

    def notes(self) -> list[str]:
        """Return the folders, and masks that belong to no image; raises DataError."""
        lines = [f"images: {self.spec.images}, masks: {self.spec.masks}, in {self.root}"]
        for place, split in {self._place(split): split for split in self.splits()}.items():
            if unused := unused_masks(self.spec, split, self._tree):
                head = f"{place}: " if place else ""
                lines.append(f"{head}{len(unused)} masks belong to no image: {some(unused)}")
        if hidden := sorted(path.name for path in self._tree.hidden):
            lines.append(f"{len(hidden)} hidden files are left out: {some(hidden)}")
        return lines

    def _place(self, split: str) -> str:
        """Return the name that paths hold for a split; "" if all splits have the same paths."""
        templates = (self.spec.images, self.spec.masks, self.spec.lists or "")
        return split if any(SPLIT in template for template in templates) else ""

    def _pairs(self, split: str) -> dict[str, Pair]:
        place = self._place(split)
        if place not in self._paired:
            self._paired[place] = find_pairs(self.spec, split, self._tree)
        return self._paired[place]

    @cached_property
    def _paired(self) -> dict[str, dict[str, Pair]]:
        """The pairs by place, each place listed once."""
        return {}

    @cached_property
    def _tree(self) -> Tree:
        return Tree(self.root)

    def _read(self, id: str, pair: Pair) -> Sample:
        image, label = self._decoded(pair)
        return Sample(id, to_rgb(image, pair.image, self.spec.image_range), label)

    def _check(self, pair: Pair) -> UInt8[np.ndarray, "h w"]:
        image, label = self._decoded(pair)
        if image.mode not in EIGHT_BIT:  # to_rgb refuses some of the others
            to_rgb(image, pair.image, self.spec.image_range)
        return label

    def _decoded(self, pair: Pair) -> tuple[Image.Image, UInt8[np.ndarray, "h w"]]:
        label = self.labels.read(pair.mask)
        image = oriented_as(*open_image(pair.image), label.shape)
        check_sizes((image.height, image.width), pair.image, label, pair.mask)
        return image, label


def _matching(split: str, patterns: dict[str, str], ids: list[str]) -> list[str]:
    matches = {name: {id for id in ids if re.search(p, id)} for name, p in patterns.items()}
    for name, found in matches.items():
        if not found:
            raise DataError(
                f"data.splits: {name} = {patterns[name]!r} matches none of the {len(ids)} images, "
                f"which are called {', '.join(ids[:2])}, …"
            )
        if name != split and (both := sorted(found & matches[split])):
            raise DataError(
                f"data.splits: {both[0]} matches the patterns of {split} and of {name}; an image "
                "belongs to one split"
            )
    return [id for id in ids if id in matches[split]]

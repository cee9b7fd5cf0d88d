"""The forms in which CamVid is published, recognised by their folders. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bench.data.camvid.labels import (
    SEGNET_MASKS,
    ClassMap,
    ColourMasks,
    IndexMasks,
    colour_masks,
    index_masks,
)
from bench.data.camvid.split import SPLITS, segnet_stems
from bench.data.reading import IMAGE_SUFFIXES, by_stem, some
from bench.errors import DataError


class Pair(NamedTuple):
    """An image and its mask."""

    image: Path
    mask: Path


@dataclass(frozen=True)
class Layout:
    """One form: folders of images and masks, and how a mask is named and read."""

    name: str
    images: tuple[str, ...]
    masks: tuple[str, ...]
    ending: str = ""
    """Suffix of a mask's stem after its image's."""
    key: str = ""
    """The file that lists the classes of the masks; SegNet's form has none."""


SEGNET = Layout("SegNet", SPLITS, tuple(f"{split}annot" for split in SPLITS))
LAYOUTS = (
    SEGNET,
    Layout("Kaggle", SPLITS, tuple(f"{split}_labels" for split in SPLITS), "_L", "class_dict.csv"),
    Layout(
        "original", ("701_StillsRaw_full",), ("LabeledApproved_full",), "_L", "label_colors.txt"
    ),
    Layout("fast.ai", ("images",), ("labels",), "_P", "codes.txt"),
)


@dataclass(frozen=True)
class Copy:
    """A folder that holds CamVid in one of the forms."""

    folder: Path
    layout: Layout

    @property
    def key_files(self) -> tuple[Path, ...]:
        """The file that lists the classes of the masks; SegNet's form has none."""
        return () if self.layout is SEGNET else (self.folder / self.layout.key,)

    def pairs(self, split: str) -> dict[str, Pair]:
        """Return the images of a split sorted by stem; raises DataError if a mask is missing.

        SegNet's folders are its splits. The other forms have several splits or none; SegNet's lists
        decide there, so that all copies train and score the same images.
        """
        return self._own_pairs(split) if self.layout is SEGNET else self._listed_pairs(split)

    def masks(self, class_map: ClassMap) -> IndexMasks | ColourMasks:
        """Return the reader of masks; raises DataError if the list of classes is missing."""
        if self.layout is SEGNET:
            if class_map != "usual":
                raise DataError(
                    f"{self.folder}: data.class_map = {class_map!r} maps 32 classes, and "
                    "SegNet's form has its 11 already; leave it out"
                )
            return SEGNET_MASKS
        (key,) = self.key_files
        if not key.is_file():
            raise DataError(
                f"{key}: the file is missing; it lists the classes of the masks of CamVid's "
                f"{self.layout.name} form"
            )
        read_key = index_masks if key.name == "codes.txt" else colour_masks
        return read_key(key, class_map)

    def _own_pairs(self, split: str) -> dict[str, Pair]:
        images = by_stem(self.folder / split, IMAGE_SUFFIXES, "CamVid")
        masks = by_stem(self.folder / f"{split}annot", (".png",), "CamVid")
        if alone := sorted(images.keys() - masks.keys()):
            raise DataError(
                f"{images[alone[0]]}: no annotation {split}annot/{alone[0]}.png{_others(alone)}; "
                "add it or delete the image"
            )
        if alone := sorted(masks.keys() - images.keys()):
            raise DataError(
                f"{masks[alone[0]]}: no image {split}/{alone[0]} with "
                f"{', '.join(IMAGE_SUFFIXES)}{_others(alone)}; add it or delete the annotation"
            )
        return {stem: Pair(images[stem], masks[stem]) for stem in sorted(images)}

    def _listed_pairs(self, split: str) -> dict[str, Pair]:
        images, masks = self._pooled(self.layout.images), self._pooled(self.layout.masks)
        stems = segnet_stems(split)
        for kind, files, ending in (("image", images, ""), ("mask", masks, self.layout.ending)):
            if absent := [stem + ending for stem in stems if stem + ending not in files]:
                raise DataError(
                    f"{self.folder}: no {kind} for {len(absent)} of the {len(stems)} in SegNet's "
                    f"list of {split}: {some(absent)}; fetch the copy again"
                )
        return {stem: Pair(images[stem], masks[stem + self.layout.ending]) for stem in stems}

    def _pooled(self, folders: tuple[str, ...]) -> dict[str, Path]:
        """Return the files of several folders by stem; their folder does not matter."""
        files: dict[str, Path] = {}
        for folder in folders:
            if not (self.folder / folder).is_dir() and len(folders) > 1:
                continue
            for stem, path in by_stem(self.folder / folder, IMAGE_SUFFIXES, "CamVid").items():
                if stem in files:
                    raise DataError(
                        f"{path}: also in {files[stem].parent.name}; delete one of them"
                    )
                files[stem] = path
        return files


def find_copy(root: Path | None) -> Copy:
    """Return CamVid in or directly below ``root``; raises DataError if there is none."""
    way_out = "name the folder that holds CamVid with --data-root (its forms: docs/data.md)"
    if root is None:
        raise DataError(f"camvid: no data folder is given; {way_out}")
    if not root.is_dir():
        raise DataError(f"camvid: {root} is not a folder; {way_out}")
    places = (root / "camvid", root / "CamVid", root)
    for place in places:
        for layout in LAYOUTS:
            if any((place / folder).is_dir() for folder in layout.masks):
                return Copy(place, layout)
    folders = ", ".join(layout.masks[0] for layout in LAYOUTS)
    raise DataError(
        f"camvid: no folder of masks ({folders}) in {', '.join(map(str, places))}; {way_out}"
    )


def _others(stems: list[str]) -> str:
    return f" (and {len(stems) - 1} more like it)" if len(stems) > 1 else ""

"""CamVid in the form published with SegNet: street scenes in 11 classes and unlabelled pixels.

Brostow, Fauqueur, Cipolla, "Semantic object classes in video" (2008); Badrinarayanan, Kendall,
Cipolla, "SegNet" (2015). No torch here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image

from bench.errors import DataError
from bench.samples import (
    IGNORED,
    Entry,
    Sample,
    SegmentationDataset,
    class_iou,
    mean_known,
    pixel_accuracy,
)
from bench.spec import DataSpec, unknown

SPLITS = ("train", "val", "test")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
VOID = 11

# Colours as SegNet shows them.
COLOURS = {
    "sky": (128, 128, 128),
    "building": (128, 0, 0),
    "pole": (192, 192, 128),
    "road": (128, 64, 128),
    "pavement": (60, 40, 222),
    "tree": (128, 128, 0),
    "sign_symbol": (192, 128, 128),
    "fence": (64, 64, 128),
    "car": (64, 0, 128),
    "pedestrian": (64, 64, 0),
    "bicyclist": (0, 128, 192),
    "void": (0, 0, 0),
}


def open_camvid(spec: DataSpec, data_root: Path | None) -> CamVid:
    """CamVid below ``data_root`` with 11 classes, or 12 where ``spec.void`` makes void a class."""
    count = VOID + (spec.void == "class")
    return CamVid(
        name="camvid",
        class_names=tuple(COLOURS)[:count],
        palette=np.array(list(COLOURS.values())[:count], np.uint8),
        mean=(99.6, 103.3, 105.7),  # of train and val, measured
        std=(75.6, 77.8, 76.7),
        metric_names=("miou_11", "pixel_accuracy")
        if spec.void == "ignore"
        else ("miou_12", "miou_11", "pixel_accuracy"),
        thin_classes=("pole", "sign_symbol", "fence", "pedestrian", "bicyclist"),
        root=data_root,
        void=spec.void,
    )


@dataclass(frozen=True, eq=False)
class CamVid(SegmentationDataset):
    """Images {train,val,test}/STEM.png (.jpg, .jpeg, .webp), annotations {split}annot/STEM.png."""

    root: Path | None
    void: Literal["ignore", "class"]

    @property
    def num_objects(self) -> int:
        """All but void."""
        return VOID

    def splits(self) -> tuple[str, ...]:
        """train, val and test, as SegNet divides them."""
        return SPLITS

    def entries(self, split: str) -> list[Entry]:
        """Image and annotation pairs by stem; raises DataError where one lacks the other."""
        if split not in SPLITS:
            raise DataError(f"camvid: {unknown('split', split, SPLITS)}")
        folder = self._folder()
        images = _by_stem(folder / split, IMAGE_SUFFIXES)
        annotations = _by_stem(folder / f"{split}annot", (".png",))
        if alone := sorted(images.keys() - annotations.keys()):
            raise DataError(
                f"{images[alone[0]]}: no annotation {split}annot/{alone[0]}.png{_others(alone)}; "
                "add it or take the image away"
            )
        if alone := sorted(annotations.keys() - images.keys()):
            raise DataError(
                f"{annotations[alone[0]]}: no image {split}/{alone[0]} with "
                f"{', '.join(IMAGE_SUFFIXES)}{_others(alone)}; add it or take the annotation away"
            )
        classes = len(self.class_names)
        return [
            Entry(stem, partial(_read, stem, images[stem], annotations[stem], classes))
            for stem in sorted(images)
        ]

    def scores(self, matrix: Int64[np.ndarray, "k k"]) -> dict[str, float]:
        """Mean IoU of the 11 object classes ("miou_11") and accuracy over the counted pixels.

        With void as a class also "miou_12", the mean over all of them, as the RMI paper prints it;
        "miou_11" then is scored at labelled pixels alone, where a predicted void is a miss.
        """
        labelled = matrix.copy()
        labelled[VOID:] = 0
        values = {
            "miou_12": mean_known(class_iou(matrix)),
            "miou_11": mean_known(class_iou(labelled)[:VOID]),
            "pixel_accuracy": pixel_accuracy(matrix),
        }
        return {name: values[name] for name in self.metric_names}

    def _folder(self) -> Path:
        way_out = "name the folder that holds SegNet's CamVid with --data-root"
        if self.root is None:
            raise DataError(f"camvid: no data folder is given; {way_out}")
        if not self.root.is_dir():
            raise DataError(f"camvid: {self.root} is not a folder; {way_out}")
        places = (self.root / "camvid", self.root / "CamVid", self.root)
        for place in places:
            if any((place / f"{split}annot").is_dir() for split in SPLITS):
                return place
        raise DataError(
            f"camvid: no {{train,val,test}} and {{train,val,test}}annot folders in "
            f"{', '.join(map(str, places))}; {way_out}"
        )


def _by_stem(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    if not folder.is_dir():
        raise DataError(f"{folder}: the folder is missing; put CamVid's files for it there")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in suffixes or path.name.startswith("."):
            continue
        if path.stem in files:
            raise DataError(f"{path}: the same name as {files[path.stem].name}; take one away")
        files[path.stem] = path
    if not files:
        raise DataError(f"{folder}: holds no {', '.join(suffixes)} file; put CamVid's files there")
    return files


def _others(stems: list[str]) -> str:
    return f" (and {len(stems) - 1} more like it)" if len(stems) > 1 else ""


def _read(stem: str, image_path: Path, annotation_path: Path, classes: int) -> Sample:
    image = _decode(image_path)
    if image.mode not in ("RGB", "RGBA", "L", "P"):
        raise DataError(f"{image_path}: colour mode {image.mode} is not handled; save it as RGB")
    annotation = _decode(annotation_path)
    if annotation.mode not in ("L", "P"):
        hint = (
            "colour masks are not supported yet, convert it to class indices"
            if annotation.mode in ("RGB", "RGBA")
            else "save it as an 8-bit map of class indices"
        )
        raise DataError(f"{annotation_path}: colour mode {annotation.mode}; {hint}")
    if image.size != annotation.size:
        raise DataError(
            f"{annotation_path}: {annotation.width} x {annotation.height} pixels, its image "
            f"{image_path.name} has {image.width} x {image.height}; resize one to the other"
        )
    # A palette image ("P") is read as its indices, whatever colours they show.
    label = _class_indices(np.array(annotation), annotation_path, classes)
    return Sample(stem, np.array(image.convert("RGB")), label)


def _decode(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be decoded ({error}); fetch the file again") from None


def _class_indices(
    stored: UInt8[np.ndarray, "h w"], path: Path, classes: int
) -> UInt8[np.ndarray, "h w"]:
    meaning = np.full(256, IGNORED, np.uint8)
    meaning[:classes] = np.arange(classes)
    wrong = (stored > VOID) & (stored != IGNORED)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise DataError(
            f"{path}: label {stored[row, column]} at row {row}, column {column} "
            f"({wrong.sum()} pixels like it); allowed are 0 to {VOID} and {IGNORED} (ignored)"
        )
    return meaning[stored]

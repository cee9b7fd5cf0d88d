"""PASCAL VOC 2012: photographs in 20 classes and background, with SBD's masks as trainaug.

Everingham et al., "The PASCAL Visual Object Classes Challenge: a retrospective" (2015); Hariharan
et al., "Semantic contours from inverse detectors" (2011) for SBD. No torch here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from bench.data.dataset import Entry, Sample, SegmentationDataset
from bench.data.reading import IMAGE_SUFFIXES, by_stem, check_sizes, read_image, some
from bench.data.voc.devkit import LISTS, compare_with_published_list, find_devkit, read_ids
from bench.data.voc.masks import CLASSES, palette, read_mask
from bench.errors import DataError
from bench.iou import class_iou, mean_known, pixel_accuracy
from bench.spec import DataSpec

# The sets of images that make up each split; aug is SBD's share of trainaug.
IMAGE_SETS = {
    "train": frozenset({"train"}),
    "val": frozenset({"val"}),
    "trainval": frozenset({"train", "val"}),
    "trainaug": frozenset({"train", "aug"}),
    "aug": frozenset({"aug"}),
}
CLASS_NAMES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat"),
    *("chair", "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant"),
    *("sheep", "sofa", "train", "tvmonitor"),
)


def open_voc(spec: DataSpec, data_root: Path | None) -> VOC:
    """Return VOC 2012 in or below ``data_root``."""
    return VOC(
        name="voc",
        class_names=CLASS_NAMES,
        # Objects made of thin parts: frame and spokes, legs, leaves and stems.
        thin_classes=("bicycle", "chair", "diningtable", "pottedplant"),
        palette=palette(CLASSES),
        mean=(116.0, 113.0, 104.0),  # the constants in the code of the RMI paper's authors
        std=(69.58, 68.68, 72.67),
        metric_names=("miou_21", "pixel_accuracy"),
        root=data_root,
    )


@dataclass(frozen=True, eq=False)
class VOC(SegmentationDataset):
    """JPEGImages with the masks of SegmentationClass, SegmentationClassAug or SBD's .mat files."""

    root: Path | None

    def splits(self) -> tuple[str, ...]:
        """Return the splits with labels: VOC's own, trainaug, and aug (trainaug without train)."""
        return tuple(IMAGE_SETS)

    def image_sets(self, split: str) -> frozenset[str]:
        """Return the sets; train, val and aug share no image, the others are made of them."""
        return IMAGE_SETS[split]

    def missing_split_message(self, split: str) -> str:
        """Return the message that there is no such split; test's labels are not public."""
        if split == "test":
            return "the labels of VOC's test split are not public; score 'val'"
        return super().missing_split_message(split)

    def entries(self, split: str) -> list[Entry]:
        """Return image and mask pairs sorted by id; raises DataError if one is missing."""
        if split not in IMAGE_SETS:
            raise DataError(f"voc: {self.missing_split_message(split)}")
        files = find_devkit(self.root).files(split)
        return [Entry(id, pair, partial(_read, id, *pair)) for id, pair in files.items()]

    def notes(self) -> list[str]:
        """Return the folder, and for each list whether it is the published one."""
        devkit = find_devkit(self.root)
        lines = [f"layout: devkit in {devkit.folder}"]
        for split in ("train", "val", "trainaug"):
            try:
                lines.append(compare_with_published_list(split, devkit.ids(split)))
            except DataError as error:
                lines.append(f"{split}: not there: {error}")
        return lines

    def scores(self, matrix: Int64[np.ndarray, "k k"]) -> dict[str, float]:
        """Return mean IoU of the 21 classes, background included, and pixel accuracy."""
        return {"miou_21": mean_known(class_iou(matrix)), "pixel_accuracy": pixel_accuracy(matrix)}


def unlabelled_images(data_root: Path | None) -> dict[str, Path]:
    """Return the images of VOC's test split sorted by id; they have no labels.

    Raises DataError if the list or an image is missing.
    """
    folder = find_devkit(data_root).folder
    path = folder / LISTS / "test.txt"
    way_out = "VOC2012test.tar of the evaluation server holds them"
    if not path.is_file():
        raise DataError(f"{path}: the list of test images is missing; {way_out}")
    images, ids = by_stem(folder / "JPEGImages", IMAGE_SUFFIXES, "VOC 2012"), read_ids(path)
    if absent := [id for id in ids if id not in images]:
        raise DataError(
            f"{folder}: no image for {len(absent)} of the {len(ids)} ids of test: {some(absent)}; "
            f"{way_out}"
        )
    return {id: images[id] for id in ids}


def _read(id: str, image_path: Path, mask_path: Path) -> Sample:
    image, label = read_image(image_path), read_mask(mask_path)
    check_sizes(image.shape[:2], image_path, label, mask_path)
    return Sample(id, image, label)

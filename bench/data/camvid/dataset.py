"""CamVid: street scenes in SegNet's 11 classes and void, in any of its published forms.

Brostow, Fauqueur, Cipolla, "Semantic object classes in video" (2008); Badrinarayanan, Kendall,
Cipolla, "SegNet" (2015). No torch here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int64
from PIL import Image

from bench.data.camvid.labels import VOID, ClassMap, ColourMasks, IndexMasks
from bench.data.camvid.layouts import SEGNET, Copy, Pair, find_copy
from bench.data.camvid.split import SPLITS, segnet_stems
from bench.data.dataset import Entry, Sample, SegmentationDataset
from bench.data.reading import check_sizes, decode, read_image, resized
from bench.errors import DataError
from bench.iou import IGNORED, class_iou, mean_known, pixel_accuracy
from bench.spec import DataSpec

SIZE = (360, 480)
"""Height and width of SegNet's form, on which the paper reports its scores."""
FILMED_SIZE = (720, 960)

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
    """Return CamVid in ``data_root``, with 11 classes; 12 if ``spec.void`` makes void a class."""
    count = VOID + 1 if spec.void == "class" else VOID
    return CamVid(
        name="camvid",
        class_names=tuple(COLOURS)[:count],
        # Each covers less than 1.5 % of the training pixels; the next class, car, covers 4 %.
        thin_classes=("pole", "sign_symbol", "fence", "pedestrian", "bicyclist"),
        palette=np.array(list(COLOURS.values())[:count], np.uint8),
        mean=(99.6, 103.3, 105.7),  # of train and val, measured
        std=(75.6, 77.8, 76.7),
        metric_names=("miou_11", "pixel_accuracy")
        if spec.void == "ignore"
        else ("miou_12", "miou_11", "pixel_accuracy"),
        root=data_root,
        void=spec.void,
        class_map=spec.class_map,
    )


@dataclass(frozen=True, eq=False)
class CamVid(SegmentationDataset):
    """Images and masks of a copy on disk; masks of 32 classes are read as SegNet's 11 and void."""

    root: Path | None
    void: Literal["ignore", "class"]
    class_map: ClassMap

    @property
    def num_objects(self) -> int:
        """Number of classes without void."""
        return VOID

    def splits(self) -> tuple[str, ...]:
        """Return train, val and test, as SegNet divides them."""
        return SPLITS

    def entries(self, split: str) -> list[Entry]:
        """Return image and mask pairs by stem; raises DataError if one of a pair is missing."""
        if split not in SPLITS:
            raise DataError(f"camvid: {self.missing_split_message(split)}")
        copy = find_copy(self.root)
        masks, classes = copy.masks(self.class_map), len(self.class_names)
        shrink = copy.layout is not SEGNET
        return [
            Entry(
                stem, (*pair, *copy.key_files), partial(_read, stem, pair, masks, classes, shrink)
            )
            for stem, pair in copy.pairs(split).items()
        ]

    def group(self, id: str) -> str:
        """Return the drive on which a frame was filmed, such as "0006R0"."""
        return id.partition("_")[0]

    def notes(self) -> list[str]:
        """Return the copy's form, and whether its splits, classes and size are SegNet's."""
        copy = find_copy(self.root)
        stems = {split: found for split in SPLITS if (found := _stems(copy, split))}
        other = [split for split, found in stems.items() if found != segnet_stems(split)]
        lines = [
            f"layout: {copy.layout.name} in {copy.folder}",
            f"splits: {', '.join(other)} not SegNet's" if other else "splits: SegNet's lists",
        ]
        if copy.layout is not SEGNET:
            lines.append(
                f"classes: {copy.layout.key}, 32 to 11 by the {self.class_map} map; SegNet's form "
                "has labels of its own"
            )
        for split, found in list(stems.items())[:1]:
            width, height = decode(copy.pairs(split)[found[0]].image).size
            lines.append(_size_note((height, width), shrunk=copy.layout is not SEGNET))
        return lines

    def scores(self, matrix: Int64[np.ndarray, "k k"]) -> dict[str, float]:
        """Return mean IoU of the 11 object classes ("miou_11") and pixel accuracy.

        With void as a class also "miou_12", the mean over all 12, as the RMI paper prints it. Then
        "miou_11" counts labelled pixels only, and a prediction of void there is wrong.
        """
        labelled = matrix.copy()
        labelled[VOID:] = 0
        values = {
            "miou_12": mean_known(class_iou(matrix)),
            "miou_11": mean_known(class_iou(labelled)[:VOID]),
            "pixel_accuracy": pixel_accuracy(matrix),
        }
        return {name: values[name] for name in self.metric_names}


def _stems(copy: Copy, split: str) -> list[str]:
    """Return the stems of a split; none if it is missing or damaged, which a check reports."""
    try:
        return list(copy.pairs(split))
    except DataError:
        return []


def _size_note(size: tuple[int, int], *, shrunk: bool) -> str:
    height, width = size
    if size == SIZE:
        return "size: 480 x 360, SegNet's"
    if shrunk and size == FILMED_SIZE:
        return "size: 960 x 720, read at SegNet's 480 x 360"
    return f"size: {width} x {height}, not SegNet's 480 x 360; labels are scored at this size"


def _read(
    stem: str, pair: Pair, masks: IndexMasks | ColourMasks, classes: int, shrink: bool
) -> Sample:
    image, label = read_image(pair.image), masks.read(pair.mask)
    check_sizes(image.shape[:2], pair.image, label, pair.mask)
    if shrink and label.shape == FILMED_SIZE:
        image = resized(image, SIZE, Image.Resampling.BILINEAR)
        label = resized(label, SIZE, Image.Resampling.NEAREST)
    return Sample(stem, image, np.where(label < classes, label, np.uint8(IGNORED)))

"""Drawn street scenes: small images with thin, weakly contrasted structure, nothing to download.

A scene depends on its split and index alone. Every step is exact (integers, or single operations
on floats that IEEE 754 rounds one way), so its pixels are the same on every machine. No torch here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from bench.data.dataset import Entry, Sample, SegmentationDataset, camvid_only
from bench.data.scenes.canvas import CLASSES
from bench.data.scenes.painter import draw_scene
from bench.errors import DataError
from bench.iou import class_iou, mean_known, pixel_accuracy
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


def open_scenes(spec: DataSpec, data_root: Path | None) -> Scenes:
    """Return the drawn scenes, which need no files; raises SpecError for CamVid's options."""
    camvid_only(spec)
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

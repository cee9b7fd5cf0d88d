"""Pictures of a run's predictions, for eyes: the same images for every run of a data set."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from bench.data.dataset import SegmentationDataset, Split
from bench.files import write_whole
from bench.runs.rundir import RunDir

SHOWN_IMAGES = 4


class ShownImages:
    """A fixed list of images, evenly spaced over the split, whose predictions become pictures."""

    def __init__(self, split: Split, dataset: SegmentationDataset) -> None:
        count = min(SHOWN_IMAGES, len(split))
        self.indices = {(2 * pick + 1) * len(split) // (2 * count) for pick in range(count)}
        self.split = split
        # Whatever is not a class, the ignored label above all, is white.
        self.colours = np.full((256, 3), 255, np.uint8)
        self.colours[: len(dataset.palette)] = dataset.palette

    def keep(self, directory: RunDir, index: int, labels: UInt8[Tensor, "h w"]) -> None:
        """Write image, truth and prediction, if this image is one of the list."""
        if index not in self.indices:
            return
        pictures = {
            "image": self.split.images[index],
            "truth": self._coloured(self.split.labels[index]),
            "prediction": self._coloured(labels.cpu().numpy()),
        }
        for kind, pixels in pictures.items():
            path = directory.predictions / f"{self.split.ids[index]}.{kind}.png"
            write_whole(path, Image.fromarray(pixels).save)

    def _coloured(self, labels: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
        return self.colours[labels]

"""Example images: what a run predicts on a few images, the same for every run of a data set."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from bench.data.dataset import SegmentationDataset, Split, evenly_spaced
from bench.files import write_whole
from bench.runs.rundir import RunDir

EXAMPLES = 4


class ExampleImages:
    """A fixed list of images, evenly spaced over a split, whose predictions are written as PNGs."""

    def __init__(self, split: Split, dataset: SegmentationDataset) -> None:
        self.indices = set(evenly_spaced(len(split), EXAMPLES))
        self.split = split
        # Labels that are not a class, such as ignored pixels, are white.
        self.colours = np.full((256, 3), 255, np.uint8)
        self.colours[: len(dataset.palette)] = dataset.palette

    def write(self, directory: RunDir, index: int, labels: UInt8[Tensor, "h w"]) -> None:
        """Write image, truth and predicted ``labels`` if image ``index`` is one of the list."""
        if index not in self.indices:
            return
        maps = {
            "image": self.split.images[index],
            "truth": self._coloured(self.split.labels[index]),
            "prediction": self._coloured(labels.cpu().numpy()),
        }
        for kind, pixels in maps.items():
            path = directory.predictions / f"{self.split.ids[index]}.{kind}.png"
            write_whole(path, Image.fromarray(pixels).save)

    def _coloured(self, labels: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
        return self.colours[labels]

"""The predictions of example images that a run kept as files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.manifest import Row
from reports.model import Pixels


@dataclass(frozen=True)
class Predictions:
    """The folder of predictions that one run kept."""

    row: Row
    run_id: str
    folder: Path

    @property
    def image_ids(self) -> list[str]:
        """Ids of the images with true labels in the folder, sorted."""
        files = sorted(self.folder.glob("*.truth.png"))
        return [file.name.removesuffix(".truth.png") for file in files]

    def has(self, image_id: str, kind: str) -> bool:
        """Return whether the folder holds the "image", "truth" or "prediction" of an image."""
        return self._file(image_id, kind).exists()

    def read(self, image_id: str, kind: str) -> Pixels:
        """Return the pixels of the "image", "truth" or "prediction" of an image.

        Raises:
            OSError: The file is missing or damaged.
        """
        from PIL import Image

        with Image.open(self._file(image_id, kind)) as opened:
            return np.asarray(opened.convert("RGB"))

    def _file(self, image_id: str, kind: str) -> Path:
        return self.folder / f"{image_id}.{kind}.png"

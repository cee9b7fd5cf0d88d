"""A data set: its images with labels, its classes and its scores. No torch here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from bench.data_spec import DataSpec, group_of
from bench.errors import unknown


@dataclass(frozen=True)
class Sample:
    """One image (RGB) with its class indices, 255 where ignored."""

    id: str
    image: UInt8[np.ndarray, "h w 3"]
    label: UInt8[np.ndarray, "h w"]


Prepare = Callable[[Sample], Sample]


@dataclass(frozen=True)
class Entry:
    """One image of a split, not read yet.

    Attributes:
        id: Name of the image, unique within its data set.
        files: Every file that decides the pixels: the image, then its mask, then any other. Empty
            for a data set that draws its images.
        read: Reads image and label; raises DataError where a file is at fault.
        check: Decodes both files, raises as ``read`` and returns the label alone; None: ``read``.
    """

    id: str
    files: tuple[Path, ...]
    read: Callable[[], Sample]
    check: Callable[[], UInt8[np.ndarray, "h w"]] | None = None


def evenly_spaced(total: int, count: int) -> list[int]:
    """Return ``count`` indices of ``total``: the middles of equal shares; all of them if fewer."""
    count = min(count, total)
    return [(2 * pick + 1) * total // (2 * count) for pick in range(count)]


@dataclass(frozen=True)
class Split:
    """Images and labels in memory, in one fixed order."""

    ids: tuple[str, ...]
    images: list[UInt8[np.ndarray, "h w 3"]]
    labels: list[UInt8[np.ndarray, "h w"]]
    digest: str
    """Twelve hexadecimal digits of ids, pixels and labels at their stored size."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class SplitSummary:
    """Summary of a split: number of images, (height, width), pixels by label."""

    count: int
    size: tuple[int, int] | None
    """None if the images differ in size."""
    pixels: tuple[int, ...]
    """Number of pixels with the label 0, 1, … 255."""


@dataclass(frozen=True, eq=False)
class SegmentationDataset(ABC):
    """Names, colours and scores of a data set; only the entries that it returns read files."""

    name: str
    class_names: tuple[str, ...]
    palette: UInt8[np.ndarray, "k 3"]
    mean: tuple[float, float, float]
    """Mean of the training pixels per channel, 0..255; ``std`` likewise."""
    std: tuple[float, float, float]
    metric_names: tuple[str, ...]
    thin_classes: tuple[str, ...]
    """Classes whose objects are a few pixels wide: "thin_miou" is their mean IoU."""

    @property
    def num_objects(self) -> int:
        """Number of classes, the first ones, that are objects; the others are void."""
        return len(self.class_names)

    @abstractmethod
    def splits(self) -> tuple[str, ...]:
        """Return the names of the splits."""

    def image_sets(self, split: str) -> frozenset[str]:
        """Return the disjoint sets of images that make up a split, by name.

        Two splits share images if they share a set.
        """
        return frozenset({split})

    def missing_split_message(self, split: str) -> str:
        """Return the message that there is no such split, with the way out."""
        return unknown("split", split, self.splits())

    def notes(self) -> list[str]:
        """Return what a user should know about the files found, a line each; raises DataError."""
        return []

    @abstractmethod
    def entries(self, split: str) -> list[Entry]:
        """Return the images of a split in order, none read yet; raises DataError if missing."""

    @abstractmethod
    def scores(self, matrix: Int64[np.ndarray, "k k"]) -> dict[str, float]:
        """Return ``metric_names`` and values in [0, 1] from pixel counts [truth, prediction]."""

    def group(self, id: str) -> str:
        """Return the film that an image is a frame of; its own id if images stand alone."""
        return id


def groups_of(dataset: SegmentationDataset, spec: DataSpec, ids: Sequence[str]) -> dict[str, str]:
    """Return the group of each image: by the pattern of ``spec``, else as the data set knows it."""
    if spec.groups is None:
        return {id: dataset.group(id) for id in ids}
    return {id: group_of(spec.groups, id) for id in ids}

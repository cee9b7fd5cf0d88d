"""Images with their labels, and what all data sets do with them alike. No torch here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from bench.errors import SpecError
from bench.spec import DataSpec, unknown


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
    """

    id: str
    files: tuple[Path, ...]
    read: Callable[[], Sample]


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
    """What a check found: number of images, the digest that a loaded split has, (height, width)."""

    count: int
    digest: str
    size: tuple[int, int] | None
    """None where the images differ in size."""
    pixels: tuple[int, ...]
    """How many have the label 0, 1, … 255."""


@dataclass(frozen=True, eq=False)
class SegmentationDataset(ABC):
    """Names, colours and scores of a data set; its images are touched by load and check alone."""

    name: str
    class_names: tuple[str, ...]
    palette: UInt8[np.ndarray, "k 3"]
    mean: tuple[float, float, float]
    """Of the training pixels per channel, 0..255; ``std`` likewise."""
    std: tuple[float, float, float]
    metric_names: tuple[str, ...]
    thin_classes: tuple[str, ...]
    """Classes whose objects are but a few pixels wide: "thin_miou" is their mean IoU."""

    @property
    def num_objects(self) -> int:
        """How many classes, the first ones, are objects; those after them are void."""
        return len(self.class_names)

    @abstractmethod
    def splits(self) -> tuple[str, ...]:
        """Names of the splits."""

    def parts(self, split: str) -> frozenset[str]:
        """Names of the sets that a split is made of; splits that share none share no image."""
        return frozenset({split})

    def no_split(self, split: str) -> str:
        """Why there is no such split."""
        return unknown("split", split, self.splits())

    def about(self) -> list[str]:
        """What a user should know of the files at hand, a line each; raises DataError."""
        return []

    @abstractmethod
    def entries(self, split: str) -> list[Entry]:
        """The images of a split by id, none read yet; raises DataError where they are not there."""

    @abstractmethod
    def scores(self, matrix: Int64[np.ndarray, "k k"]) -> dict[str, float]:
        """``metric_names`` with their values in [0, 1] from pixel counts [truth, prediction]."""

    def sequence(self, id: str) -> str:
        """The film that an image is a frame of: itself, where images stand alone."""
        return id


def camvid_only(spec: DataSpec) -> None:
    """Raise SpecError where ``spec`` has an option that is CamVid's alone."""
    for key, default in (("void", "ignore"), ("class_map", "usual")):
        if (value := getattr(spec, key)) != default:
            raise SpecError(f"data.{key} = {value!r} is for camvid, not {spec.name}; leave it out")

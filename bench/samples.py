"""Images with their labels, and what all data sets do with them alike. No torch here."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Float64, Int64, UInt8

from bench.errors import DataError, SpecError
from bench.spec import DataSpec, unknown

IGNORED = 255
"""Label of a pixel that is neither trained on nor scored."""
TRIMAP_WIDTHS = (1, 3, 5, 10, 20)
"""In pixels to either side of a border of the labels."""
BORDER_METRICS = ("boundary_miou", *(f"trimap_miou_{width}" for width in TRIMAP_WIDTHS))
"""Scores that every data set has beside its own ``metric_names``."""

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Sample:
    """One image (RGB) with its class indices, 255 where ignored."""

    id: str
    image: UInt8[np.ndarray, "h w 3"]
    label: UInt8[np.ndarray, "h w"]


@dataclass(frozen=True)
class Entry:
    """One image of a split, not read yet; ``read`` raises DataError where a file is at fault."""

    id: str
    read: Callable[[], Sample]


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

    def load(self, split: str) -> Split:
        """All of a split, read and ready; raises DataError at the first fault."""
        return load_entries(self.entries(split))

    def check(self, splits: Sequence[str]) -> dict[str, SplitSummary]:
        """Read every image of ``splits`` once, keep none; raises DataError with the first fault."""
        entries = {split: self.entries(split) for split in splits}
        return {split: check_entries(split, found) for split, found in entries.items()}


def camvid_only(spec: DataSpec) -> None:
    """Raise SpecError where ``spec`` has an option that is CamVid's alone."""
    for key, default in (("void", "ignore"), ("class_map", "usual")):
        if (value := getattr(spec, key)) != default:
            raise SpecError(f"data.{key} = {value!r} is for camvid, not {spec.name}; leave it out")


def load_entries(
    entries: Sequence[Entry], prepare: Callable[[Sample], Sample] = lambda sample: sample
) -> Split:
    """Read ``entries`` into a Split in their order, each sample passed through ``prepare``.

    The digest is taken before ``prepare``; raises DataError at the first fault.
    """

    def read(entry: Entry) -> tuple[Sample, bytes]:
        sample = entry.read()
        return prepare(sample), _fingerprint(sample)

    read_all = list(_in_threads(read, entries))
    samples = [sample for sample, _ in read_all]
    return Split(
        ids=tuple(sample.id for sample in samples),
        images=[sample.image for sample in samples],
        labels=[sample.label for sample in samples],
        digest=_digest(fingerprint for _, fingerprint in read_all),
    )


def class_iou(matrix: Int64[np.ndarray, "k k"]) -> Float64[np.ndarray, " k"]:
    """IoU per class in [0, 1]; NaN where a class is neither true nor predicted."""
    hits = np.diagonal(matrix)
    return iou_of(hits, matrix.sum(0) + matrix.sum(1) - hits)


def iou_of(
    intersection: Int64[np.ndarray, " k"], union: Int64[np.ndarray, " k"]
) -> Float64[np.ndarray, " k"]:
    """Intersection over union; NaN where the union is empty."""
    return np.divide(intersection, union, out=np.full(len(union), np.nan), where=union > 0)


def mean_known(values: Float64[np.ndarray, " k"]) -> float:
    """Mean of the values that are not NaN; NaN where there is none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def pixel_accuracy(matrix: Int64[np.ndarray, "k k"]) -> float:
    """Share of the counted pixels whose prediction is true; NaN where none is counted."""
    total = int(matrix.sum())
    return int(np.trace(matrix)) / total if total else float("nan")


def check_entries(split: str, entries: Sequence[Entry]) -> SplitSummary:
    """Read ``entries`` of ``split`` once, keep none; raises DataError with the first fault."""

    def inspect(entry: Entry) -> tuple[bytes, tuple[int, int]] | DataError:
        try:
            sample = entry.read()
        except DataError as error:
            return error
        height, width = sample.label.shape
        return _fingerprint(sample), (height, width)

    found: list[tuple[bytes, tuple[int, int]]] = []
    faults: list[DataError] = []
    for outcome in _in_threads(inspect, entries):
        if isinstance(outcome, DataError):
            faults.append(outcome)
        else:
            found.append(outcome)
    if faults:
        more = f" ({len(faults) - 1} more of {split!r} have faults)" if len(faults) > 1 else ""
        raise DataError(f"{faults[0]}{more}")
    sizes = {size for _, size in found}
    return SplitSummary(
        count=len(found),
        digest=_digest(fingerprint for fingerprint, _ in found),
        size=sizes.pop() if len(sizes) == 1 else None,
    )


def _in_threads(function: Callable[[T], U], items: Sequence[T]) -> Iterator[U]:
    """``function`` of every item, in their order: PIL decodes outside of Python's lock."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        yield from pool.map(function, items)


def _fingerprint(sample: Sample) -> bytes:
    name = f"{sample.id} {sample.label.shape}".encode()
    content = hashlib.sha256(np.ascontiguousarray(sample.image).data)
    content.update(np.ascontiguousarray(sample.label).data)
    return hashlib.sha256(name + content.digest()).digest()


def _digest(fingerprints: Iterator[bytes]) -> str:
    return hashlib.sha256(b"".join(fingerprints)).hexdigest()[:12]

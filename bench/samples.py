"""Images with their labels, and what all data sets do with them alike. No torch here."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

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


Prepare = Callable[[Sample], Sample]


@dataclass(frozen=True)
class Entry:
    """One image of a split, not read yet; ``read`` raises DataError where a file is at fault.

    It can be pickled, and each file is a Path in it, the image's first: so it tells what decides
    the pixels.
    """

    id: str
    read: Callable[[], Sample]

    @property
    def image_file(self) -> Path:
        """The file of the image, for a data set that has files."""
        return described(self.read)[1][0]


class _Describer(pickle.Pickler):
    """Notes every path on the way."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.paths: list[Path] = []

    def persistent_id(self, obj: object) -> str | None:
        if not isinstance(obj, Path):
            return None
        self.paths.append(obj)
        return str(obj)


def described(what: object) -> tuple[bytes, list[Path]]:
    """Bytes that tell all of ``what``, and the paths in it; raises what pickle raises."""
    stream = io.BytesIO()
    describer = _Describer(stream)
    describer.dump(what)
    return stream.getvalue(), describer.paths


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


def as_stored(sample: Sample) -> Sample:
    """The sample itself."""
    return sample


def load_entries(entries: Sequence[Entry], prepare: Prepare = as_stored) -> Split:
    """Read ``entries`` into a Split in their order, each sample passed through ``prepare``.

    The digest is taken before ``prepare``; raises DataError at the first fault.
    """
    read_all = list(read_entries(entries, prepare))
    samples = [sample for sample, _ in read_all]
    return Split(
        ids=tuple(sample.id for sample in samples),
        images=[sample.image for sample in samples],
        labels=[sample.label for sample in samples],
        digest=split_digest(fingerprint for _, fingerprint in read_all),
    )


def read_entries(entries: Sequence[Entry], prepare: Prepare) -> Iterator[tuple[Sample, bytes]]:
    """Each sample after ``prepare`` with its fingerprint before, in order, few at a time.

    Raises DataError at the first fault.
    """

    def read(entry: Entry) -> tuple[Sample, bytes]:
        sample = entry.read()
        return prepare(sample), _fingerprint(sample)

    return _in_threads(read, entries)


def split_digest(fingerprints: Iterable[bytes]) -> str:
    """The digest of a Split from the fingerprints of its samples, in order."""
    return hashlib.sha256(b"".join(fingerprints)).hexdigest()[:12]


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
    summary, faults = inspect(entries)
    if faults:
        others = f" ({len(faults) - 1} more of {split!r} have faults)" if len(faults) > 1 else ""
        raise DataError(f"{faults[0]}{others}")
    return summary


def inspect(entries: Sequence[Entry]) -> tuple[SplitSummary, list[DataError]]:
    """Read every image once, keep none: what is there, and each fault that was met."""

    def look(entry: Entry) -> tuple[bytes, tuple[int, int], Int64[np.ndarray, 256]] | DataError:
        try:
            sample = entry.read()
        except DataError as error:
            return error
        height, width = sample.label.shape
        pixels = np.bincount(sample.label.ravel(), minlength=IGNORED + 1)
        return _fingerprint(sample), (height, width), pixels

    found = list(_in_threads(look, entries))
    sound = [outcome for outcome in found if not isinstance(outcome, DataError)]
    sizes = {size for _, size, _ in sound}
    summary = SplitSummary(
        count=len(sound),
        digest=split_digest(fingerprint for fingerprint, _, _ in sound),
        size=sizes.pop() if len(sizes) == 1 else None,
        pixels=tuple(sum((pixels for _, _, pixels in sound), np.zeros(256, int)).tolist()),
    )
    return summary, [outcome for outcome in found if isinstance(outcome, DataError)]


def _in_threads(function: Callable[[T], U], items: Sequence[T]) -> Iterator[U]:
    """``function`` of every item, in their order: PIL decodes outside of Python's lock."""
    threads = min(8, os.cpu_count() or 1)
    under_way: deque[Future[U]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            under_way.append(pool.submit(function, item))
            # No more ahead than that, for a split may be larger than the memory.
            if len(under_way) > 4 * threads:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def _fingerprint(sample: Sample) -> bytes:
    name = f"{sample.id} {sample.label.shape}".encode()
    content = hashlib.sha256(np.ascontiguousarray(sample.image).data)
    content.update(np.ascontiguousarray(sample.label).data)
    return hashlib.sha256(name + content.digest()).digest()

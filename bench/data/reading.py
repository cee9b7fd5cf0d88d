"""Read images and masks, one file or the whole split in order; a message names every fault.

No torch here.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image

from bench.data.dataset import Entry, Prepare, Sample, Split, SplitSummary
from bench.errors import DataError
from bench.iou import IGNORED

T = TypeVar("T")
U = TypeVar("U")

BUNDLE = 4
"""Number of items that a thread takes at a time: fewer turns of Python's lock."""
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def by_stem(folder: Path, suffixes: tuple[str, ...], owner: str) -> dict[str, Path]:
    """Return the files of a folder by stem, in order; raises DataError for none or a duplicate."""
    if not folder.is_dir():
        raise DataError(f"{folder}: the folder is missing; put {owner}'s files for it there")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in suffixes or path.name.startswith("."):
            continue
        if path.stem in files:
            raise DataError(f"{path}: the same name as {files[path.stem].name}; delete one of them")
        files[path.stem] = path
    if not files:
        raise DataError(f"{folder}: has no {', '.join(suffixes)} file; put {owner}'s files there")
    return files


def decode(path: Path) -> Image.Image:
    """Return the decoded image in its own mode; raises DataError if the file is damaged."""
    try:
        refuse_special(path)
        with Image.open(path) as image:
            image.load()
            return image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be decoded ({error}); fetch the file again") from None


def refuse_special(path: Path) -> None:
    """Raise DataError for a pipe or a device, which a reader would wait for without end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise DataError(f"{path}: is a pipe, a device or a folder; replace it by an image")


def read_image(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """Return the pixels as RGB; raises DataError for a damaged file or an unusual mode."""
    image = decode(path)
    if image.mode not in ("RGB", "RGBA", "L", "P"):
        raise DataError(f"{path}: colour mode {image.mode} is not supported; save it as RGB")
    return np.array(image.convert("RGB"))


def check_sizes(
    size: tuple[int, ...], image_path: Path, label: UInt8[np.ndarray, "h w"], path: Path
) -> None:
    """Raise DataError if an image of ``size`` and the label in ``path`` differ in size."""
    if size != label.shape:
        (height, width), (tall, wide) = label.shape, size
        raise DataError(
            f"{path}: {width} x {height} pixels, its image {image_path.name} has {wide} x {tall}; "
            "resize one to the other"
        )


def check_labels(stored: UInt8[np.ndarray, "h w"], path: Path, last: int, hint: str = "") -> None:
    """Raise DataError if a value is neither 0 to ``last`` nor 255; ``hint`` ends the message."""
    wrong = (stored > last) & (stored != IGNORED)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise DataError(
            f"{path}: label {stored[row, column]} at row {row}, column {column} "
            f"({wrong.sum()} pixels like it); allowed are 0 to {last} and {IGNORED} (ignored){hint}"
        )


def resized(
    pixels: UInt8[np.ndarray, "*shape"], size: tuple[int, int] | None, method: Image.Resampling
) -> UInt8[np.ndarray, "*other_shape"]:
    """Return the pixels at ``size`` (height, width); unchanged if it is None."""
    if size is None or pixels.shape[:2] == size:
        return pixels
    height, width = size
    # PIL widens its filter where it shrinks, so a bilinear image is antialiased.
    return np.array(Image.fromarray(pixels).resize((width, height), method))


def some(names: list[str]) -> str:
    """Return the first three names, with an ellipsis if there are more."""
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def as_stored(sample: Sample) -> Sample:
    """Return the sample unchanged."""
    return sample


def load_entries(entries: Sequence[Entry], prepare: Prepare = as_stored) -> Split:
    """Return ``entries`` as a Split in their order, each sample passed through ``prepare``.

    The digest is taken before ``prepare``. Raises DataError at the first fault.
    """
    read_all = list(read_entries(entries, prepare))
    samples = [sample for sample, _ in read_all]
    # Torch needs writable memory, and arrays of decoded images are not.
    return Split(
        ids=tuple(sample.id for sample in samples),
        images=[np.require(sample.image, requirements="W") for sample in samples],
        labels=[np.require(sample.label, requirements="W") for sample in samples],
        digest=split_digest(fingerprint for _, fingerprint in read_all),
    )


def read_entries(entries: Sequence[Entry], prepare: Prepare) -> Iterator[tuple[Sample, bytes]]:
    """Yield each sample after ``prepare`` and its fingerprint before, a few ahead of the reader.

    Raises DataError at the first fault.
    """

    def read(entry: Entry) -> tuple[Sample, bytes]:
        sample = entry.read()
        return prepare(sample), _fingerprint(sample)

    return in_threads(read, entries)


def split_digest(fingerprints: Iterable[bytes]) -> str:
    """Return the digest of a Split from the fingerprints of its samples, in order."""
    return hashlib.sha256(b"".join(fingerprints)).hexdigest()[:12]


def check_entries(split: str, entries: Sequence[Entry]) -> SplitSummary:
    """Read all ``entries`` of ``split``, keep none; raises DataError with the first fault."""
    summary, faults = inspect(entries)
    if faults:
        others = f" ({len(faults) - 1} more of {split!r} have faults)" if len(faults) > 1 else ""
        raise DataError(f"{faults[0]}{others}")
    return summary


def inspect(entries: Sequence[Entry]) -> tuple[SplitSummary, list[DataError]]:
    """Read all ``entries``, keep none; return a summary of the sound ones and every fault."""

    def examine(entry: Entry) -> tuple[tuple[int, int], Int64[np.ndarray, " 256"]] | DataError:
        try:
            label = entry.check() if entry.check else entry.read().label
        except DataError as error:
            return error
        height, width = label.shape
        return (height, width), label_counts(label)

    count = 0
    sizes: set[tuple[int, int]] = set()
    pixels = np.zeros(IGNORED + 1, np.int64)
    faults: list[DataError] = []
    for outcome in in_threads(examine, entries):
        if isinstance(outcome, DataError):
            faults.append(outcome)
            continue
        size, counts = outcome
        count += 1
        sizes.add(size)
        pixels += counts
    summary = SplitSummary(
        count=count,
        size=sizes.pop() if len(sizes) == 1 else None,
        pixels=tuple(pixels.tolist()),
    )
    return summary, faults


def label_pixels(split: Split, classes: int) -> list[int]:
    """Return pixels by label, 0 to 255; counting stops once two classes have been seen."""
    pixels = np.zeros(IGNORED + 1, np.int64)
    for label in split.labels:
        pixels += label_counts(label)
        if np.count_nonzero(pixels[:classes]) > 1:
            break
    return pixels.tolist()


def label_counts(label: UInt8[np.ndarray, "h w"]) -> Int64[np.ndarray, " 256"]:
    """Return the number of pixels with the label 0, 1, … 255."""
    flat = label.ravel()
    # Neighbours are mostly alike, so there are far fewer runs of equal labels than pixels.
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    ends = np.concatenate(([-1], changes, [flat.size - 1]))
    return np.bincount(flat[ends[1:]], ends[1:] - ends[:-1], IGNORED + 1).astype(np.int64)


def in_threads(function: Callable[[T], U], items: Sequence[T]) -> Iterator[U]:
    """Yield ``function`` of every item in order; threads help, as PIL releases Python's lock."""
    threads = min(8, os.cpu_count() or 1)
    running: deque[Future[list[U]]] = deque()

    def work(start: int) -> list[U]:
        return [function(item) for item in items[start : start + BUNDLE]]

    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(items), BUNDLE):
            running.append(pool.submit(work, start))
            # A limit, because a split may be larger than the memory.
            if len(running) > threads:
                yield from running.popleft().result()
        while running:
            yield from running.popleft().result()


def _fingerprint(sample: Sample) -> bytes:
    name = f"{sample.id} {sample.label.shape}".encode()
    content = hashlib.sha256(np.ascontiguousarray(sample.image).data)
    content.update(np.ascontiguousarray(sample.label).data)
    return hashlib.sha256(name + content.digest()).digest()

"""Read the images of a split in order, with a digest of ids, pixels and labels. No torch here."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from jaxtyping import Int64

from bench.data.dataset import Entry, Prepare, Sample, Split, SplitSummary
from bench.errors import DataError
from bench.iou import IGNORED

T = TypeVar("T")
U = TypeVar("U")


def as_stored(sample: Sample) -> Sample:
    """Return the sample unchanged."""
    return sample


def load_entries(entries: Sequence[Entry], prepare: Prepare = as_stored) -> Split:
    """Return ``entries`` as a Split in their order, each sample passed through ``prepare``.

    The digest is taken before ``prepare``. Raises DataError at the first fault.
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
    """Yield each sample after ``prepare`` and its fingerprint before, a few ahead of the reader.

    Raises DataError at the first fault.
    """

    def read(entry: Entry) -> tuple[Sample, bytes]:
        sample = entry.read()
        return prepare(sample), _fingerprint(sample)

    return _in_threads(read, entries)


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

    def examine(entry: Entry) -> tuple[bytes, tuple[int, int], Int64[np.ndarray, 256]] | DataError:
        try:
            sample = entry.read()
        except DataError as error:
            return error
        height, width = sample.label.shape
        pixels = np.bincount(sample.label.ravel(), minlength=IGNORED + 1)
        return _fingerprint(sample), (height, width), pixels

    outcomes = list(_in_threads(examine, entries))
    sound = [outcome for outcome in outcomes if not isinstance(outcome, DataError)]
    sizes = {size for _, size, _ in sound}
    summary = SplitSummary(
        count=len(sound),
        digest=split_digest(fingerprint for fingerprint, _, _ in sound),
        size=sizes.pop() if len(sizes) == 1 else None,
        pixels=tuple(sum((pixels for _, _, pixels in sound), np.zeros(256, int)).tolist()),
    )
    return summary, [outcome for outcome in outcomes if isinstance(outcome, DataError)]


def _in_threads(function: Callable[[T], U], items: Sequence[T]) -> Iterator[U]:
    """Yield ``function`` of every item in order; threads help, as PIL releases Python's lock."""
    threads = min(8, os.cpu_count() or 1)
    running: deque[Future[U]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            running.append(pool.submit(function, item))
            # A limit, because a split may be larger than the memory.
            if len(running) > 4 * threads:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def _fingerprint(sample: Sample) -> bytes:
    name = f"{sample.id} {sample.label.shape}".encode()
    content = hashlib.sha256(np.ascontiguousarray(sample.image).data)
    content.update(np.ascontiguousarray(sample.label).data)
    return hashlib.sha256(name + content.digest()).digest()

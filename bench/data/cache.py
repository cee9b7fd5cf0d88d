"""Decoded cache: the pixels of a split in files that are mapped into memory.

A folder holds the bytes of all images in one file, those of all labels in another, and index.json,
which is written last. It is built again if anything that decides the pixels has changed, or if a
file does not match the index. No torch here.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from filelock import FileLock, Timeout
from jaxtyping import UInt8

from bench.data.dataset import Entry, Prepare, Split
from bench.data.reading import load_entries, read_entries, split_digest
from bench.errors import DataError, SpecError
from bench.files import Strict, parse, read_json, write_json
from bench.spec import digest

INDEX = "index.json"
LOCK = "lock"
LEAVE_BYTES = 2**30
"""Space on the disk that is left for the files of the runs."""
WAIT_SECONDS = 600.0
"""How long a process waits for another that builds the same split; then it decodes the files."""


class Index(Strict):
    """Content of the two files of pixels, in order and without gaps."""

    source: str
    digest: str
    """Digest of the split, taken from the pixels at their stored size."""
    content: str
    """Digests of the bytes of both files, one after the other."""
    ids: tuple[str, ...]
    images: tuple[tuple[int, int], ...]
    """(height, width) of each."""
    labels: tuple[tuple[int, int], ...]


def _no_bar(done: object, all_: object) -> None:
    """Show no progress; unlike a lambda, this can be sent to another process."""


@dataclass(frozen=True)
class Cache:
    """Decoded splits in ``folder``; without one the files are decoded.

    Attributes:
        folder: Holds a folder for each split.
        log: Receives a line if the cache cannot be used, with the reason.
        verify: Whether every byte is compared with its digest; else the sizes of the files are.
        progress: Receives the number of images that are decoded, and of all.
    """

    folder: Path
    log: Callable[[str], None]
    verify: bool = False
    progress: Callable[[int, int], None] = _no_bar

    def load(
        self, name: str, options: Mapping[str, Any], entries: Sequence[Entry], prepare: Prepare
    ) -> Split:
        """Return the Split of ``load_entries``, mapped from ``folder`` and built there if need be.

        Args:
            name: The data set; the folder of the split begins with it.
            options: Everything besides the files that decides the pixels, JSON-shaped.
            entries: The images in their order.
            prepare: What is done with each sample once it is read.

        Raises:
            DataError: A file of the data set is missing or broken; the first one is named.
        """
        place = self._place(name, options, entries)
        try:
            source = _source(entries)
            if found := self._open(place, source):
                return found
            place.mkdir(parents=True, exist_ok=True)
            with FileLock(place / LOCK, WAIT_SECONDS, fallback_to_soft=False):
                if found := self._open(place, source):  # another process has built it meanwhile
                    return found
                if (torn := _index(place)) and torn.source == source:
                    self.log(f"{place}: the decoded cache is damaged; decoding the files again")
                index = _build(place, source, entries, prepare, self.progress)
            return _mapped(place, index)
        except OSError as error:
            why = "another process builds it" if isinstance(error, Timeout) else error.strerror
            self.log(f"{place}: no decoded cache ({why or error}); decoding the files instead")
            return load_entries(entries, prepare)

    def _place(self, name: str, options: Mapping[str, Any], entries: Sequence[Entry]) -> Path:
        images = [(entry.id, *map(str, entry.files)) for entry in entries]
        return self.folder / f"{name}-{digest([options, images])}"

    def _open(self, place: Path, source: str) -> Split | None:
        index = _index(place)
        if index is None or index.source != source:
            return None
        try:
            split = _mapped(place, index)
        except FileNotFoundError:
            return None
        return None if self.verify and _content(split) != index.content else split


class NotDecodedError(DataError):
    """The decoded cache does not hold a split."""


class KnownSplits(Cache):
    """The decoded cache as it is: a split that it does not hold is not decoded."""

    def load(
        self, name: str, options: Mapping[str, Any], entries: Sequence[Entry], prepare: Prepare
    ) -> Split:
        """Return the Split, mapped from ``folder``; raises NotDecodedError if it is not there."""
        split = None
        with contextlib.suppress(OSError):
            split = self._open(self._place(name, options, entries), _source(entries))
        if split is None:
            raise NotDecodedError(f"{name}: not in the decoded cache {self.folder}")
        return split


def _source(entries: Sequence[Entry]) -> str:
    """Return a digest of the files' sizes and times, the decoder and the code of this room."""
    content = hashlib.sha256(f"{PIL.__version__} {np.__version__} {_code()}".encode())
    for file in dict.fromkeys(file for entry in entries for file in entry.files):
        found = file.stat()
        content.update(f"{found.st_size} {found.st_mtime_ns}\n".encode())
    return content.hexdigest()[:12]


@cache
def _code() -> str:
    # The whole room, so that nobody who changes how pixels are read has to think of the cache.
    files = sorted(Path(__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def _index(place: Path) -> Index | None:
    try:
        data = read_json(place / INDEX)
        return None if data is None else parse(Index, data, where=INDEX)
    except (SpecError, UnicodeDecodeError):
        return None


def _build(
    place: Path,
    source: str,
    entries: Sequence[Entry],
    prepare: Prepare,
    progress: Callable[[int, int], None],
) -> Index:
    """Decode ``entries`` into ``place``, which the caller has locked, and return the index."""
    for old in place.iterdir():
        if old.name != LOCK:
            old.unlink()  # never overwritten: another process may have it mapped
    paths = _paths(place, source)
    try:
        index = _write(paths, source, entries, prepare, progress)
        write_json(place / INDEX, index.model_dump(mode="json"))
    except BaseException:
        for path in paths:
            path.unlink(missing_ok=True)
        raise
    return index


def _write(
    paths: tuple[Path, Path],
    source: str,
    entries: Sequence[Entry],
    prepare: Prepare,
    progress: Callable[[int, int], None],
) -> Index:
    ids: list[str] = []
    fingerprints: list[bytes] = []
    sizes: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
    with paths[0].open("xb") as images, paths[1].open("xb") as labels:
        files, contents = (images, labels), (hashlib.sha256(), hashlib.sha256())
        for sample, fingerprint in read_entries(entries, prepare):
            if shutil.disk_usage(paths[0].parent).free < LEAVE_BYTES:
                raise OSError(errno.ENOSPC, "the disk is nearly full")
            ids.append(sample.id)
            progress(len(ids), len(entries))
            fingerprints.append(fingerprint)
            for kind, pixels in enumerate((sample.image, sample.label)):
                stored = np.ascontiguousarray(pixels).data
                files[kind].write(stored)
                contents[kind].update(stored)
                sizes[kind].append(pixels.shape[:2])
        for file in files:
            file.flush()
            os.fsync(file.fileno())
    return Index(
        source=source,
        digest=split_digest(fingerprints),
        content="".join(content.hexdigest() for content in contents),
        ids=tuple(ids),
        images=tuple(sizes[0]),
        labels=tuple(sizes[1]),
    )


def _mapped(place: Path, index: Index) -> Split:
    """Return the split of ``index``; raises FileNotFoundError if a file's size is wrong."""
    images, labels = _paths(place, index.source)
    return Split(
        ids=index.ids,
        images=_arrays(images, [(*size, 3) for size in index.images]),
        labels=_arrays(labels, list(index.labels)),
        digest=index.digest,
    )


def _arrays(path: Path, shapes: Sequence[tuple[int, ...]]) -> list[UInt8[np.ndarray, ...]]:
    lengths = [math.prod(shape) for shape in shapes]
    if path.stat().st_size != sum(lengths):
        raise FileNotFoundError(errno.ENOENT, "it has another length", str(path))
    # Copy on write: torch needs writable memory, and no write may reach the file.
    pixels = np.asarray(np.memmap(path, np.uint8, mode="c"))
    ends = np.cumsum(lengths).tolist()
    return [
        pixels[end - length : end].reshape(shape)
        for shape, length, end in zip(shapes, lengths, ends, strict=True)
    ]


def _content(split: Split) -> str:
    """Return the digests of the bytes of both files, one after the other."""
    contents = (hashlib.sha256(), hashlib.sha256())
    for content, arrays in zip(contents, (split.images, split.labels), strict=True):
        for array in arrays:
            content.update(array.data)
    return "".join(content.hexdigest() for content in contents)


def _paths(place: Path, source: str) -> tuple[Path, Path]:
    # The source is in the name, so that an index never describes other files.
    return place / f"{source}.images", place / f"{source}.labels"

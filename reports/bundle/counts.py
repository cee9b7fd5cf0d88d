"""The pixel counts of a run as text, a JSON object on each line: readable, and safe to read.

Of an image: ``image``, ``group`` (a film, a patient; or null), ``pixels`` with a list for each true
class that occurs, by its number: how many of its pixels each class was predicted for; and for each
object ``intersection`` and ``union`` of Boundary IoU's bands. An image of an imported run has no
``pixels``; intersection and union are its own, or its score and 1. ``trimap`` names the width of a
trimap, whose ``pixels`` are those of all images. ``check`` is a digest of the line.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Int64, Real

from bench.errors import DataError
from bench.files import write_whole
from bench.runs.rundir import RunDir
from bench.spec import digest
from reports.bundle.files import BundleError, parse_json

MOST_CLASSES = 256
"""A mask holds 255 classes and the ignored label."""
MOST_CELLS = 2**27
"""Largest number of cells of all matrices together, 1 GB; ADE20K's 2,000 images have 2**25.4."""
MOST_PIXELS = 2**31 - 1
"""Largest count: that of an int32, as the run directories keep them."""

BANDS = ("intersection", "union")
Line = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Counts:
    """The counts of one run's images."""

    ids: tuple[str, ...]
    groups: tuple[str, ...] | None
    matrices: Int64[np.ndarray, "n k k"] | None
    """[truth, prediction]; None for an imported run."""
    intersection: Real[np.ndarray, "n m"]
    """Of Boundary IoU's bands; of an imported run its own, or its scores."""
    union: Real[np.ndarray, "n m"]
    trimaps: dict[int, Int64[np.ndarray, "k k"]] = field(default_factory=dict)
    """By width, over all images."""


def counts_of(directory: RunDir) -> Counts | None:
    """Return the counts that a run left; None if it left none.

    Raises DataError if a file is damaged.
    """
    try:
        if directory.counts.exists():
            return _imported(directory.counts)
        return _trained(directory) if directory.confusion.exists() else None
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise DataError(f"{directory.path}: its counts are damaged: {error}") from None


def _imported(file: Path) -> Counts:
    with np.load(file) as stored:
        groups = tuple(map(str, stored["groups"])) if "groups" in stored else None
        ids = tuple(map(str, stored["ids"]))
        return Counts(ids, groups, None, stored["hits"], stored["unions"])


def _trained(directory: RunDir) -> Counts:
    with np.load(directory.confusion) as stored:
        ids = tuple(map(str, stored["ids"]))
        groups = tuple(map(str, stored["groups"])) if "groups" in stored else None
        matrices = stored["matrices"].astype(np.int64)
    intersection = union = np.zeros((len(ids), 0), np.int64)
    trimaps: dict[int, np.ndarray] = {}
    if directory.boundaries.exists():
        with np.load(directory.boundaries) as stored:
            intersection, union = (stored[name].astype(np.int64) for name in BANDS)
            sums = stored["trimap"].astype(np.int64).sum(0)
            trimaps = {int(width): sums[i] for i, width in enumerate(stored["widths"])}
    return Counts(ids, groups, matrices, intersection, union, trimaps)


def text_of(counts: Counts) -> str:
    """Return the counts as the text of a file."""
    lines: list[Line] = []
    for i, name in enumerate(counts.ids):
        line: Line = {"image": name, "group": counts.groups[i] if counts.groups else None}
        if counts.matrices is not None:
            line["pixels"] = _rows(counts.matrices[i])
        lines.append(
            line
            | {"intersection": counts.intersection[i].tolist(), "union": counts.union[i].tolist()}
        )
    lines += [{"trimap": w, "pixels": _rows(m)} for w, m in counts.trimaps.items()]
    texts = (json.dumps(_with_check(line), separators=(",", ":")) for line in lines)
    return "".join(f"{text}\n" for text in texts)


def _with_check(line: Line) -> Line:
    return {**line, "check": digest(line)[:8]}


def _rows(matrix: Int64[np.ndarray, "k k"]) -> dict[str, list[int]]:
    return {str(truth): matrix[truth].tolist() for truth in np.flatnonzero(matrix.any(1))}


def parse_counts(text: str, classes: int, where: str) -> Counts:
    """Return the counts that a text holds.

    Args:
        text: Content of the file.
        classes: Number of classes of the run.
        where: Name of the file, for messages.

    Raises:
        BundleError: A line is not what it should be; the message names the line.
    """
    lines = [_line(line, f"{where}, line {n}") for n, line in enumerate(text.splitlines(), 1)]
    images = [line for line in lines if "image" in line]
    trained = [line for line in images if "pixels" in line]
    if not images or len(trained) not in (0, len(images)):
        raise BundleError(f"{where}: needs images, all with pixels or all without")
    if classes > MOST_CLASSES or len(trained) * classes**2 > MOST_CELLS:
        raise BundleError(f"{where}: {len(images)} images of {classes} classes are too many")
    names = [_name(line["image"], where) for line in images]
    if len(set(names)) < len(names):
        raise BundleError(f"{where}: an image stands there twice")
    groups = [line.get("group") for line in images]
    grouped = any(group is not None for group in groups)
    matrices = np.zeros((len(trained), classes, classes), np.int64)
    for i, line in enumerate(trained):
        _fill(matrices[i], line["pixels"], f"{where}, image {names[i]!r}")
    trimaps = {}
    for line in lines:
        if "trimap" in line:
            width = _width(line["trimap"], where)
            trimaps[width] = np.zeros((classes, classes), np.int64)
            _fill(trimaps[width], line.get("pixels"), f"{where}, trimap {width}")
    intersection, union = (_bands([line.get(key) for line in images], where) for key in BANDS)
    if intersection.shape != union.shape:
        raise BundleError(f"{where}: intersection and union have different numbers of classes")
    names_of_groups = tuple(_name(group, where) for group in groups) if grouped else None
    kept = matrices if trained else None
    return Counts(tuple(names), names_of_groups, kept, intersection, union, trimaps)


def _line(text: str, where: str) -> Line:
    line = parse_json(text, where)
    check = line.pop("check", None)
    if digest(line)[:8] != check:
        name = str(line.get("image", line.get("trimap")))[:80]
        raise BundleError(f"{where}: the counts of {name!r} are not those of its check")
    return line


def _name(value: Any, where: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 1000:
        raise BundleError(f"{where}: {str(value)[:80]!r} is not the name of an image or a group")
    return value


def _width(value: Any, where: str) -> int:
    if type(value) is not int or not 0 < value < 10_000:
        raise BundleError(f"{where}: {str(value)[:80]!r} is not the width of a trimap")
    return value


def _fill(matrix: Int64[np.ndarray, "k k"], rows: Any, where: str) -> None:
    if not isinstance(rows, dict):
        raise BundleError(f"{where}: pixels are not lists of counts by true class")
    for truth, row in rows.items():
        known = truth.isascii() and truth.isdecimal() and len(truth) <= 3
        if not known or int(truth) >= len(matrix):
            raise BundleError(f"{where}: {truth[:40]!r} is not a class, 0..{len(matrix) - 1}")
        counts = _array(row, where)
        if counts.dtype.kind != "i" or counts.shape != (len(matrix),):
            raise BundleError(f"{where}: class {truth} has not {len(matrix)} counts")
        if counts.min() < 0 or counts.max() > MOST_PIXELS:
            raise BundleError(f"{where}: class {truth} has a count outside 0..{MOST_PIXELS:,}")
        matrix[int(truth)] = counts


def _bands(rows: list[Any], where: str) -> Real[np.ndarray, "n m"]:
    found = _array(rows, where)
    if found.dtype.kind not in "if" or found.ndim != 2 or found.shape[1] > MOST_CLASSES:
        raise BundleError(f"{where}: intersection and union are not lists of one length")
    if found.size and not (np.isfinite(found).all() and found.min() >= 0):
        raise BundleError(f"{where}: a number of intersection or union is below 0 or not finite")
    return found


def _array(value: Any, where: str) -> np.ndarray:
    try:
        return np.array(value)
    except (ValueError, OverflowError) as error:
        raise BundleError(f"{where}: {str(error)[:200]}") from None


def leave_counts(counts: Counts, directory: RunDir) -> None:
    """Write the counts into a run directory, where reports read them."""
    named: dict[str, Any] = {"ids": np.array(counts.ids)}
    if counts.groups is not None:
        named["groups"] = np.array(counts.groups)
    if counts.matrices is None:
        arrays = {**named, "hits": counts.intersection, "unions": counts.union}
        write_whole(directory.counts, lambda path: np.savez_compressed(path, **arrays))
    else:
        arrays = {**named, "matrices": counts.matrices.astype(np.int32)}
        write_whole(directory.confusion, lambda path: np.savez_compressed(path, **arrays))

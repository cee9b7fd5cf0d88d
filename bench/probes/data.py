"""Numbers that show which images and labels a training sees: all names, and some or all pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from bench.data.cache import Cache
from bench.data.dataset import SegmentationDataset, Split
from bench.data.registry import (
    evaluation_entries,
    evaluation_split,
    open_dataset,
    training_entries,
    training_split,
)
from bench.probes.numbers import EXACT, SINGLE, Numbers, as_number, group, shares
from bench.spec import DataSpec, digest

IMAGES = 2
"""Images of a split of which every pixel is looked at."""


def data_numbers(data: DataSpec, data_root: Path | None) -> Numbers:
    """Return the names of images and classes as numbers, and pixels of a few images.

    Raises:
        DataError: A file is missing or damaged.
    """
    dataset = open_dataset(data, data_root)
    numbers = {"colours": group(EXACT, [*dataset.mean, *dataset.std])}
    for name, ids in _ids(dataset, data).items():
        numbers[f"names: {name}"] = group(0.0, [as_number([ids, dataset.class_names])])
    for name, split in _splits(dataset, _sample(data), data).items():
        means = [float(x) / 255 for image in split.images for x in image.mean((0, 1))]
        numbers[f"images: {name}"] = group(SINGLE, means)
        labels = [x for label in split.labels for x in shares(torch.from_numpy(label))]
        numbers[f"labels: {name}"] = group(EXACT, labels)
    return numbers


def pixel_numbers(data: DataSpec, data_root: Path | None, cache: Cache) -> Numbers:
    """Return the digests of all pixels as numbers.

    Raises:
        DataError: A file is missing or damaged, or ``cache`` is KnownSplits and lacks a split.
    """
    dataset = open_dataset(data, data_root)
    splits = _splits(dataset, data, data, cache)
    return {
        f"pixels: {name}": group(0.0, [int(split.digest, 16)]) for name, split in splits.items()
    }


def data_stamp(data: DataSpec, data_root: Path | None) -> str:
    """Return a digest that changes with the names of images and the files of ``data_numbers``."""
    dataset = open_dataset(data, data_root)
    found: list[Any] = [_ids(dataset, data), dataset.class_names, dataset.mean, dataset.std]
    for entries in (training_entries, evaluation_entries):
        for entry in entries(dataset, _sample(data)):
            stats = [file.stat() for file in entry.files]
            found.append([(stat.st_size, stat.st_mtime_ns) for stat in stats])
    return digest(found)


def _ids(dataset: SegmentationDataset, data: DataSpec) -> dict[str, list[str]]:
    trained, scored = _names(data)
    return {
        trained: [entry.id for entry in training_entries(dataset, data)],
        scored: [entry.id for entry in evaluation_entries(dataset, data)],
    }


def _splits(
    dataset: SegmentationDataset, data: DataSpec, named: DataSpec, cache: Cache | None = None
) -> dict[str, Split]:
    trained, scored = _names(named)
    return {
        trained: training_split(dataset, data, cache),
        scored: evaluation_split(dataset, data, cache),
    }


def _names(data: DataSpec) -> tuple[str, str]:
    # One training may serve evaluations of two splits; only equal ones are compared.
    return "to train on", f"scored, {data.evaluate} {data.evaluate_images or ''}"


def _sample(data: DataSpec) -> DataSpec:
    return data.model_copy(update={"train_images": IMAGES, "evaluate_images": IMAGES})

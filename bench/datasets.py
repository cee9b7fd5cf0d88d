"""The data sets by name, and the splits that a DataSpec asks for. No torch here.

A new data set is one file with one SegmentationDataset and one line in DATASETS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from bench.cache import Cache
from bench.camvid import open_camvid
from bench.errors import SpecError
from bench.samples import (
    IGNORED,
    Entry,
    Prepare,
    Sample,
    SegmentationDataset,
    Split,
    SplitSummary,
    load_entries,
)
from bench.scenes import open_scenes
from bench.spec import DataSpec, unknown

__all__ = [
    "DATASETS",
    "IGNORED",
    "Sample",
    "SegmentationDataset",
    "Split",
    "SplitSummary",
    "evaluation_split",
    "open_dataset",
    "training_split",
]

DATASETS: Mapping[str, Callable[[DataSpec, Path | None], SegmentationDataset]] = {
    "camvid": open_camvid,
    "scenes": open_scenes,
}


def open_dataset(spec: DataSpec, data_root: Path | None) -> SegmentationDataset:
    """The data set that ``spec`` names, no file touched yet.

    Raises SpecError where the name, a split or an option is not known to it.
    """
    if spec.name not in DATASETS:
        raise SpecError(f"data.name: {unknown('data set', spec.name, DATASETS)}")
    dataset = DATASETS[spec.name](spec, data_root)
    for key, split in [
        *(("data.train", split) for split in spec.train),
        ("data.evaluate", spec.evaluate),
    ]:
        if split not in dataset.splits():
            raise SpecError(f"{key}: {unknown('split', split, dataset.splits())}")
    if len(set(spec.train)) < len(spec.train):
        raise SpecError(f"data.train names a split twice: {', '.join(spec.train)}")
    return dataset


def training_split(
    dataset: SegmentationDataset, spec: DataSpec, cache: Cache | None = None
) -> Split:
    """The images to train on: splits joined in order, thinned out, both image and label resized.

    Raises DataError where a file is at fault.
    """
    entries = [entry for split in spec.train for entry in dataset.entries(split)]
    prepare = partial(_resized, image_size=spec.image_size, label_size=spec.image_size)
    return _load(dataset, _evenly_spaced(entries, spec.train_images), prepare, cache)


def evaluation_split(
    dataset: SegmentationDataset, spec: DataSpec, cache: Cache | None = None
) -> Split:
    """The images to score: resized as in training, each label at its stored size.

    Raises DataError where a file is at fault.
    """
    entries = dataset.entries(spec.evaluate)
    prepare = partial(_resized, image_size=spec.image_size, label_size=None)
    return _load(dataset, _evenly_spaced(entries, spec.evaluate_images), prepare, cache)


def _load(
    dataset: SegmentationDataset, entries: list[Entry], prepare: Prepare, cache: Cache | None
) -> Split:
    if cache is None:
        return load_entries(entries, prepare)
    return cache.load(dataset.name, entries, prepare)


def _evenly_spaced(entries: list[Entry], limit: int | None) -> list[Entry]:
    """At most ``limit`` entries, each from the middle of an equal share of the list."""
    count = len(entries)
    if limit is None or limit >= count:
        return entries
    return [entries[(2 * pick + 1) * count // (2 * limit)] for pick in range(limit)]


def _resized(
    sample: Sample, *, image_size: tuple[int, int] | None, label_size: tuple[int, int] | None
) -> Sample:
    return Sample(
        sample.id,
        _resize(sample.image, image_size, Image.Resampling.BILINEAR),
        _resize(sample.label, label_size, Image.Resampling.NEAREST),
    )


def _resize(
    pixels: UInt8[np.ndarray, "*shape"], size: tuple[int, int] | None, method: Image.Resampling
) -> UInt8[np.ndarray, "*shape"]:
    if size is None or pixels.shape[:2] == size:
        return pixels
    height, width = size
    # PIL widens its filter where it shrinks, so a bilinear image is antialiased.
    return np.array(Image.fromarray(pixels).resize((width, height), method))

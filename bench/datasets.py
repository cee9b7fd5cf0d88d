"""The data sets by name, and the splits that a DataSpec asks for. No torch here.

A new data set is one file with one SegmentationDataset and one line in DATASETS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from bench.camvid import open_camvid
from bench.errors import SpecError
from bench.samples import (
    IGNORED,
    Entry,
    Sample,
    SegmentationDataset,
    Split,
    SplitSummary,
    check_entries,
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
    "check_splits",
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


def training_split(dataset: SegmentationDataset, spec: DataSpec) -> Split:
    """The images to train on: splits joined in order, thinned out, both image and label resized.

    Raises DataError where a file is at fault.
    """

    def prepare(sample: Sample) -> Sample:
        return Sample(
            sample.id,
            _resized(sample.image, spec.image_size, Image.Resampling.BILINEAR),
            _resized(sample.label, spec.image_size, Image.Resampling.NEAREST),
        )

    return load_entries(_training_entries(dataset, spec), prepare)


def evaluation_split(dataset: SegmentationDataset, spec: DataSpec) -> Split:
    """The images to score: resized as in training, each label at its stored size.

    Raises DataError where a file is at fault.
    """

    def prepare(sample: Sample) -> Sample:
        image = _resized(sample.image, spec.image_size, Image.Resampling.BILINEAR)
        return Sample(sample.id, image, sample.label)

    return load_entries(_evaluation_entries(dataset, spec), prepare)


def check_splits(dataset: SegmentationDataset, spec: DataSpec) -> dict[str, SplitSummary]:
    """What is found where every image that a run reads is read once, and none kept.

    By the names of the splits; raises DataError with the first fault.
    """
    wanted = {
        " + ".join(spec.train): _training_entries(dataset, spec),
        spec.evaluate: _evaluation_entries(dataset, spec),
    }
    return {name: check_entries(name, entries) for name, entries in wanted.items()}


def _training_entries(dataset: SegmentationDataset, spec: DataSpec) -> list[Entry]:
    entries = [entry for split in spec.train for entry in dataset.entries(split)]
    return _evenly_spaced(entries, spec.train_images)


def _evaluation_entries(dataset: SegmentationDataset, spec: DataSpec) -> list[Entry]:
    return _evenly_spaced(dataset.entries(spec.evaluate), spec.evaluate_images)


def _evenly_spaced(entries: list[Entry], limit: int | None) -> list[Entry]:
    """At most ``limit`` entries, each from the middle of an equal share of the list."""
    count = len(entries)
    if limit is None or limit >= count:
        return entries
    return [entries[(2 * pick + 1) * count // (2 * limit)] for pick in range(limit)]


def _resized(
    pixels: UInt8[np.ndarray, "*shape"], size: tuple[int, int] | None, method: Image.Resampling
) -> UInt8[np.ndarray, "*shape"]:
    if size is None or pixels.shape[:2] == size:
        return pixels
    height, width = size
    # PIL widens its filter where it shrinks, so a bilinear image is antialiased.
    return np.array(Image.fromarray(pixels).resize((width, height), method))

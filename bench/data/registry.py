"""The data sets by name, and the splits that a DataSpec asks for. No torch here.

A new data set is one file with one SegmentationDataset and one line in DATASETS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from PIL import Image

from bench.data.cache import Cache
from bench.data.camvid.dataset import open_camvid
from bench.data.dataset import (
    Entry,
    Sample,
    SegmentationDataset,
    Split,
    SplitSummary,
    evenly_spaced,
)
from bench.data.held_out import divided
from bench.data.image_files import resized
from bench.data.reading import check_entries, load_entries
from bench.data.scenes.dataset import open_scenes
from bench.data.voc.dataset import open_voc
from bench.errors import SpecError
from bench.iou import IGNORED
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
    "look_at",
    "open_dataset",
    "training_split",
]

DATASETS: Mapping[str, Callable[[DataSpec, Path | None], SegmentationDataset]] = {
    "camvid": open_camvid,
    "scenes": open_scenes,
    "voc": open_voc,
}
CHOOSE_IMAGES = {
    "train",
    "evaluate",
    "train_images",
    "evaluate_images",
    "held_out",
    "held_out_share",
}
"""Fields of a DataSpec that say which images are read, not which pixels they have."""


def open_dataset(spec: DataSpec, data_root: Path | None) -> SegmentationDataset:
    """The data set that ``spec`` names, no file touched yet.

    Raises SpecError where the name, a split or an option is not known to it.
    """
    dataset = divided(_find(spec.name)(spec, data_root), spec)
    for key, split in [
        *(("data.train", split) for split in spec.train),
        ("data.evaluate", spec.evaluate),
    ]:
        if split not in dataset.splits():
            raise SpecError(f"{key}: {dataset.no_split(split)}")
    parts = [part for split in spec.train for part in dataset.parts(split)]
    if len(set(parts)) < len(parts):
        raise SpecError(f"data.train holds images twice: {', '.join(spec.train)}")
    if dataset.parts(spec.evaluate) & set(parts):
        raise SpecError(
            f"data.evaluate = {spec.evaluate!r} shares images with {', '.join(spec.train)}, which "
            "is trained on"
        )
    return dataset


def look_at(name: str, data_root: Path | None) -> SegmentationDataset:
    """The data set of that name, none of its splits chosen; raises SpecError where unknown."""
    return _find(name)(DataSpec(name=name), data_root)


def _find(name: str) -> Callable[[DataSpec, Path | None], SegmentationDataset]:
    if name not in DATASETS:
        raise SpecError(f"data.name: {unknown('data set', name, DATASETS)}")
    return DATASETS[name]


def training_split(
    dataset: SegmentationDataset, spec: DataSpec, cache: Cache | None = None
) -> Split:
    """The images to train on: splits joined in order, thinned out, both image and label resized.

    Raises DataError where a file is at fault.
    """
    return _load(_training_entries(dataset, spec), spec, spec.image_size, cache)


def evaluation_split(
    dataset: SegmentationDataset, spec: DataSpec, cache: Cache | None = None
) -> Split:
    """The images to score: resized as in training, each label at its stored size.

    Raises DataError where a file is at fault.
    """
    return _load(_evaluation_entries(dataset, spec), spec, None, cache)


def check_splits(dataset: SegmentationDataset, spec: DataSpec) -> dict[str, SplitSummary]:
    """What is found where every image that a run reads is read once, and none kept.

    By the names of the splits; raises DataError with the first fault.
    """
    wanted = {
        " + ".join(spec.train): _training_entries(dataset, spec),
        spec.evaluate: _evaluation_entries(dataset, spec),
    }
    return {name: check_entries(name, entries) for name, entries in wanted.items()}


def _load(
    entries: list[Entry], spec: DataSpec, label_size: tuple[int, int] | None, cache: Cache | None
) -> Split:
    prepare = partial(_resized, image_size=spec.image_size, label_size=label_size)
    if cache is None:
        return load_entries(entries, prepare)
    options = spec.model_dump(mode="json", exclude=CHOOSE_IMAGES)
    return cache.load(spec.name, {**options, "label_size": label_size}, entries, prepare)


def _training_entries(dataset: SegmentationDataset, spec: DataSpec) -> list[Entry]:
    entries = [entry for split in spec.train for entry in dataset.entries(split)]
    return _thinned_out(entries, spec.train_images)


def _evaluation_entries(dataset: SegmentationDataset, spec: DataSpec) -> list[Entry]:
    return _thinned_out(dataset.entries(spec.evaluate), spec.evaluate_images)


def _thinned_out(entries: list[Entry], limit: int | None) -> list[Entry]:
    if limit is None:
        return entries
    return [entries[index] for index in evenly_spaced(len(entries), limit)]


def _resized(
    sample: Sample, *, image_size: tuple[int, int] | None, label_size: tuple[int, int] | None
) -> Sample:
    return Sample(
        sample.id,
        resized(sample.image, image_size, Image.Resampling.BILINEAR),
        resized(sample.label, label_size, Image.Resampling.NEAREST),
    )

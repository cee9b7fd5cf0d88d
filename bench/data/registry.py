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
from bench.data.reading import check_entries, load_entries, resized
from bench.data.scenes.dataset import open_scenes
from bench.data.tuning_split import tuning_ids
from bench.data.voc.dataset import open_voc
from bench.errors import SpecError, unknown
from bench.iou import IGNORED
from bench.spec import HELD_OUT, DataSpec

__all__ = [
    "DATASETS",
    "IGNORED",
    "Sample",
    "SegmentationDataset",
    "Split",
    "SplitSummary",
    "check_splits",
    "evaluation_entries",
    "evaluation_split",
    "open_by_name",
    "open_dataset",
    "training_entries",
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
"""Fields of a DataSpec that choose images; the others decide their pixels."""


def open_dataset(spec: DataSpec, data_root: Path | None) -> SegmentationDataset:
    """Return the data set that ``spec`` names; no file is read yet.

    Args:
        spec: The data set, its options, and the splits to train on and to score.
        data_root: Folder that holds the data sets; None for one that needs no files.

    Raises:
        SpecError: The name, a split or an option is unknown, or two splits share images.
    """
    dataset = _find(spec.name)(spec, data_root)
    scored = () if spec.evaluate == HELD_OUT else (spec.evaluate,)
    for key, splits in (("data.train", spec.train), ("data.evaluate", scored)):
        for split in splits:
            if split not in dataset.splits():
                raise SpecError(f"{key}: {dataset.missing_split_message(split)}")
    trained = [name for split in spec.train for name in dataset.image_sets(split)]
    if len(set(trained)) < len(trained):
        raise SpecError(f"data.train holds images twice: {', '.join(spec.train)}")
    for split in scored:
        if dataset.image_sets(split) & set(trained):
            raise SpecError(
                f"data.evaluate = {split!r} shares images with {', '.join(spec.train)}, which "
                "is trained on"
            )
    return dataset


def open_by_name(name: str, data_root: Path | None) -> SegmentationDataset:
    """Return the data set of that name, no splits chosen; raises SpecError if it is unknown."""
    return _find(name)(DataSpec(name=name), data_root)


def _find(name: str) -> Callable[[DataSpec, Path | None], SegmentationDataset]:
    if name not in DATASETS:
        raise SpecError(f"data.name: {unknown('data set', name, DATASETS)}")
    return DATASETS[name]


def training_split(
    dataset: SegmentationDataset, spec: DataSpec, cache: Cache | None = None
) -> Split:
    """Return the images to train on, image and label resized; raises DataError."""
    return _load(training_entries(dataset, spec), spec, spec.image_size, cache)


def evaluation_split(
    dataset: SegmentationDataset, spec: DataSpec, cache: Cache | None = None
) -> Split:
    """Return the images to score, resized as in training, each label at its stored size.

    Raises DataError if a file is missing or damaged.
    """
    return _load(evaluation_entries(dataset, spec), spec, None, cache)


def training_entries(dataset: SegmentationDataset, spec: DataSpec) -> list[Entry]:
    """Return the images to train on: the splits in order, without the tuning split, thinned out.

    Raises:
        DataError: A folder or a list of the data set is missing.
        SpecError: The tuning split cannot be made as ``spec`` says.
    """
    entries = _entries_to_train(dataset, spec)
    if spec.evaluate == HELD_OUT:
        held_out = tuning_ids(dataset, spec, [entry.id for entry in entries])
        entries = [entry for entry in entries if entry.id not in held_out]
    return _thinned_out(entries, spec.train_images)


def evaluation_entries(dataset: SegmentationDataset, spec: DataSpec) -> list[Entry]:
    """Return the images to score, thinned out; raises as ``training_entries``."""
    if spec.evaluate != HELD_OUT:
        return _thinned_out(dataset.entries(spec.evaluate), spec.evaluate_images)
    entries = _entries_to_train(dataset, spec)
    held_out = tuning_ids(dataset, spec, [entry.id for entry in entries])
    entries = [entry for entry in entries if entry.id in held_out]
    return _thinned_out(entries, spec.evaluate_images)


def check_splits(dataset: SegmentationDataset, spec: DataSpec) -> dict[str, SplitSummary]:
    """Read every image that a run needs, keep none, and return a summary of each split.

    The names of training splits are joined by " + ". Raises DataError with the first fault.
    """
    entries_of = {
        " + ".join(spec.train): training_entries(dataset, spec),
        spec.evaluate: evaluation_entries(dataset, spec),
    }
    return {name: check_entries(name, entries) for name, entries in entries_of.items()}


def _entries_to_train(dataset: SegmentationDataset, spec: DataSpec) -> list[Entry]:
    return [entry for split in spec.train for entry in dataset.entries(split)]


def _load(
    entries: list[Entry], spec: DataSpec, label_size: tuple[int, int] | None, cache: Cache | None
) -> Split:
    prepare = partial(_resized, image_size=spec.image_size, label_size=label_size)
    if cache is None:
        return load_entries(entries, prepare)
    options = spec.model_dump(mode="json", exclude=CHOOSE_IMAGES)
    return cache.load(spec.name, {**options, "label_size": label_size}, entries, prepare)


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

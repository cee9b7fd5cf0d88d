"""The data sets by name, and the splits that a DataSpec asks for. No torch here.

A new data set is one file with one SegmentationDataset and one line in DATASETS, or an installed
package with an entry point in the group "segloss.datasets".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path
from pkgutil import resolve_name

from PIL import Image

from bench.data.cache import Cache
from bench.data.dataset import (
    Entry,
    Sample,
    SegmentationDataset,
    Split,
    SplitSummary,
    evenly_spaced,
    groups_of,
)
from bench.data.grouping import held_out_ids
from bench.data.reading import check_entries, load_entries, resized, some
from bench.data_spec import FOLD, HELD_OUT, OWN, OWN_FIELDS, DataSpec
from bench.errors import DataError, SpecError, format_error, unknown
from bench.iou import IGNORED

__all__ = [
    "DATASETS",
    "IGNORED",
    "Sample",
    "SegmentationDataset",
    "Split",
    "SplitSummary",
    "check_disjoint",
    "check_splits",
    "dataset_names",
    "evaluation_entries",
    "evaluation_split",
    "open_by_name",
    "open_dataset",
    "shared_groups",
    "training_entries",
    "training_split",
]

Open = Callable[[DataSpec, Path | None], SegmentationDataset]
"""Returns the data set of a specification; reads no file."""
# By import path, so that a run imports the code of its own data set alone.
DATASETS: Mapping[str, str] = {
    "camvid": "bench.data.camvid.dataset:open_camvid",
    "folder": "bench.data.folder.dataset:open_folder",
    "huggingface": "bench.data.folder.huggingface:open_huggingface",
    "scenes": "bench.data.scenes.dataset:open_scenes",
    "voc": "bench.data.voc.dataset:open_voc",
}
ENTRY_POINT_GROUP = "segloss.datasets"
FIELDS_OF = {
    **dict.fromkeys(("void", "class_map"), ("camvid",)),
    **dict.fromkeys(OWN_FIELDS - {"groups", "folds", "fold"}, OWN),
}
"""Fields of a DataSpec that only these of DATASETS have."""
CHOOSE_IMAGES = {
    "train",
    "evaluate",
    "train_images",
    "evaluate_images",
    "held_out",
    "held_out_share",
    "lists",
    "splits",
    "groups",
    "folds",
    "fold",
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
    dataset = _opened(spec, data_root)
    scored = () if spec.evaluate in (HELD_OUT, FOLD) else (spec.evaluate,)
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
    return _opened(DataSpec(name=name), data_root)


def dataset_names() -> list[str]:
    """Return the names of all data sets: those of DATASETS, then those of installed packages."""
    return [*DATASETS, *(name for name in sorted(_plugins().names) if name not in DATASETS)]


def _opened(spec: DataSpec, data_root: Path | None) -> SegmentationDataset:
    open_it = _opener(spec.name)
    for field, owners in FIELDS_OF.items():
        value = getattr(spec, field)
        if spec.name in DATASETS and spec.name not in owners and value != DataSpec.default(field):
            shown = list(value) if isinstance(value, tuple) else value
            raise SpecError(
                f"data.{field} = {shown!r} is for {' and '.join(owners)}, not {spec.name}; "
                "leave it out"
            )
    return open_it(spec, data_root)


def _opener(name: str) -> Open:
    if name in DATASETS:
        return resolve_name(DATASETS[name])
    if name not in _plugins().names:
        raise SpecError(f"data.name: {unknown('data set', name, dataset_names())}")
    try:
        return _plugins()[name].load()
    except Exception as error:  # a plug-in may raise anything
        raise SpecError(
            f"data.name: the plug-in {name!r} cannot be loaded: {format_error(error)}"
        ) from None


@cache
def _plugins() -> EntryPoints:
    return entry_points(group=ENTRY_POINT_GROUP)


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
    """Return the images to train on: the splits in order, without what is held out, thinned out.

    Raises:
        DataError: A folder or a list of the data set is missing.
        SpecError: The tuning split or a fold cannot be made as ``spec`` says.
    """
    entries = _entries_to_train(dataset, spec)
    if spec.evaluate in (HELD_OUT, FOLD):
        held_out = held_out_ids(dataset, spec, [entry.id for entry in entries])
        entries = [entry for entry in entries if entry.id not in held_out]
    return _thinned_out(entries, spec.train_images)


def evaluation_entries(dataset: SegmentationDataset, spec: DataSpec) -> list[Entry]:
    """Return the images to score, thinned out; raises as ``training_entries``."""
    if spec.evaluate not in (HELD_OUT, FOLD):
        return _thinned_out(dataset.entries(spec.evaluate), spec.evaluate_images)
    entries = _entries_to_train(dataset, spec)
    held_out = held_out_ids(dataset, spec, [entry.id for entry in entries])
    entries = [entry for entry in entries if entry.id in held_out]
    return _thinned_out(entries, spec.evaluate_images)


def check_splits(dataset: SegmentationDataset, spec: DataSpec) -> dict[str, SplitSummary]:
    """Read every image that a run needs, keep none, and return a summary of each split.

    The names of training splits are joined by " + ". Raises DataError with the first fault.
    """
    check_disjoint(dataset, spec)
    entries_of = {
        " + ".join(spec.train): training_entries(dataset, spec),
        spec.evaluate: evaluation_entries(dataset, spec),
    }
    return {name: check_entries(name, entries) for name, entries in entries_of.items()}


def check_disjoint(dataset: SegmentationDataset, spec: DataSpec) -> None:
    """Raise DataError if an image is both trained on and scored, as two lists may name it."""
    # Splits in folders of their own may number their images alike.
    trained = {entry.files[:1] or entry.id for entry in training_entries(dataset, spec)}
    scored = evaluation_entries(dataset, spec)
    if both := [entry.id for entry in scored if (entry.files[:1] or entry.id) in trained]:
        raise DataError(
            f"{spec.name}: {len(both)} images of {spec.evaluate!r} are trained on too: "
            f"{some(both)}; name each image in one split"
        )


def shared_groups(dataset: SegmentationDataset, spec: DataSpec) -> list[str]:
    """Return the groups that have images both in training and among the scored images."""
    trained, scored = (
        groups_of(dataset, spec, [entry.id for entry in entries])
        for entries in (training_entries(dataset, spec), evaluation_entries(dataset, spec))
    )
    grouped = {group for id, group in (*trained.items(), *scored.items()) if group != id}
    return sorted(grouped & {*trained.values()} & {*scored.values()})


def _entries_to_train(dataset: SegmentationDataset, spec: DataSpec) -> list[Entry]:
    entries = [entry for split in spec.train for entry in dataset.entries(split)]
    known: dict[str, Entry] = {}
    for entry in entries:
        if known.setdefault(entry.id, entry) is not entry:
            raise DataError(
                f"data.train: {' and '.join(spec.train)} both have an image called {entry.id}; "
                "rename one of them"
            )
    return entries


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

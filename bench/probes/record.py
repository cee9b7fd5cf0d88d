"""The record of a run's parts: the files that each consists of, and numbers of how it behaves.

A worker writes it when a training starts. A later session makes it again from the code and the data
at hand and compares the two (studies/behaviour.py).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import timm
import torch

from bench.data.cache import Cache, KnownSplits, NotDecodedError
from bench.data.dataset import SegmentationDataset, Split
from bench.data.registry import (
    evaluation_entries,
    evaluation_split,
    open_dataset,
    training_entries,
    training_split,
)
from bench.errors import SeglossError, format_error
from bench.files import read_json, write_json
from bench.models.deeplab import build_model
from bench.models.pretrained import find_weights
from bench.probes.numbers import (
    EXACT,
    SINGLE,
    Numbers,
    as_number,
    group,
    loss_numbers,
    network_numbers,
    recipe_numbers,
    shares,
)
from bench.runs.rundir import RunDir, run_dir
from bench.runs.source_code import Text, installed_version, text_of
from bench.spec import DataSpec, LossSpec, ModelSpec, RecipeSpec, RunSpec, digest
from bench.training.trainer import Training
from losses import loss_from, loss_modules

FORM = 1
"""To be raised when a probe is made in another way: records of another form are not compared."""
SMP_MODULE = "segmentation_models_pytorch"
NETWORK = ("bench.models", "bench.seeding", "timm", "torch")
RECIPE = ("bench.training", "bench.data.augmentation", "bench.seeding", "torch", "numpy")
DATA = ("bench.data", "numpy", "PIL")
"""Beginnings of the names of modules and packages that a part consists of."""

IMAGES = 2
"""Images of each split of which planning looks at every pixel."""

Part = dict[str, Any]
"""{"text": …, "numbers": …}; where a part cannot be tried, {"text": …, "fault": message}."""


@dataclass(frozen=True)
class Prober:
    """Records the parts of the code and the data at hand, each once.

    Attributes:
        root: Output folder: holds ImageNet weights, and keeps what takes longer than milliseconds.
        data_root: Folder that holds the data sets.
        decode: Whether to decode a data set that the root's cache does not hold; without, its
            pixels are compared on a few images only.
    """

    root: Path
    data_root: Path | None = None
    decode: bool = False
    _made: dict[str, Part] = field(default_factory=dict, compare=False)

    def record(self, spec: RunSpec) -> dict[str, Any]:
        """Return the record of a training: {"form": number, "parts": {name: Part}}."""
        parts = {
            "loss": self._once(spec.loss, self._loss),
            "network": self._once((spec.model, spec.data), self._network),
            "recipe": self._once(spec.recipe, self._recipe),
            "data": self._once(spec.data, self._data),
        }
        return {"form": FORM, "parts": parts}

    def _once(self, settings: Any, make: Callable[[Any], Part]) -> Part:
        key = f"{make.__name__} {settings!r}"
        if key not in self._made:
            self._made[key] = make(settings)
        return self._made[key]

    def _loss(self, loss: LossSpec) -> Part:
        text = text_of(*loss_modules(loss))
        return _part(text, lambda: loss_numbers(lambda: loss_from(loss)))

    def _network(self, settings: tuple[ModelSpec, DataSpec]) -> Part:
        model, data = settings
        text = network_text(model)
        classes = len(open_dataset(data, None).class_names)
        weights = _weights_at_hand(self.root, model)
        key = [model.model_dump(mode="json"), classes, text, _timm_stamp(), weights is None]
        return _part(
            text, lambda: self._kept(key, lambda: network_numbers(model, classes, weights))
        )

    def _recipe(self, recipe: RecipeSpec) -> Part:
        text = text_of(Training.__module__, within=RECIPE)
        return _part(text, lambda: recipe_numbers(recipe))

    def _data(self, data: DataSpec) -> Part:
        root, own = self.data_root, type(open_dataset(data, None)).__module__
        of_plugin = () if own.startswith("bench.") else (own.partition(".")[0],)
        text = text_of(open_dataset.__module__, own, within=(*DATA, *of_plugin))
        key = [data.model_dump(mode="json"), text]

        def numbers() -> Numbers:
            some = self._kept([*key, data_stamp(data, root)], lambda: data_numbers(data, root))
            with suppress(NotDecodedError):
                return some | pixel_numbers(data, root, self._decoded())
            return some

        return _part(text, numbers)

    def _decoded(self) -> Cache:
        cache = Cache if self.decode else KnownSplits
        return cache(self.root / "cache", lambda line: None)

    def _kept(self, key: list[Any], make: Callable[[], Numbers]) -> Numbers:
        """Return the numbers from the root's cache, or make and keep them."""
        path = self.root / "cache" / "probes" / f"{digest([FORM, *key])}.json"
        if (kept := read_json(path)) is not None:
            return kept
        numbers = make()
        if self.root.is_dir():
            with suppress(OSError):  # a full disk, or a root of another user
                write_json(path, numbers)
        return numbers


def write_records(directories: Sequence[RunDir], spec: RunSpec, data_root: Path | None) -> None:
    """Write the record of a training; evaluations repeat that of theirs, if it has one.

    Args:
        directories: The runs of one worker.
        spec: The first of them.
        data_root: Folder that holds the data sets.
    """
    root = directories[0].root
    if root.parent.name == "canaries":
        return  # compared with each other at once, and never again
    if spec.trains:
        record = Prober(root, data_root).record(spec)
    else:
        record = read_json(run_dir(root, spec.source.run_id).probes)
    for directory in directories:
        if record is not None:
            write_json(directory.probes, record)


def network_text(model: ModelSpec) -> Text:
    """Return the files and packages that a network consists of."""
    builder = build_model.__module__
    if model.is_deeplab:
        return text_of(builder, within=NETWORK)
    module = model.head.partition(":")[0] if model.is_imported else SMP_MODULE
    package = module.partition(".")[0]
    if version := installed_version(package):
        text = text_of(builder, within=NETWORK)
        text["packages"][package] = version
        return text
    return text_of(builder, module, within=(*NETWORK, package))  # editable: every file counts


def _part(text: Text, numbers: Callable[[], Numbers]) -> Part:
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        try:
            return {"text": text, "numbers": numbers()}
        except Exception as error:  # a plug-in loss or a library may raise anything
            return {"text": text, "fault": format_error(error)}


def _weights_at_hand(root: Path, model: ModelSpec) -> Path | None:
    try:
        return find_weights(root / "runs" / "any", model)
    except SeglossError:
        return None


@cache
def _timm_stamp() -> str:
    """Return a digest of the sizes and times of timm's files, which somebody may have edited."""
    files = sorted(Path(timm.__file__).parent.rglob("*.py"))
    stats = [(str(file), file.stat()) for file in files]
    return digest([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])


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

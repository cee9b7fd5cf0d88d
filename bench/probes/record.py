"""The record of a run's parts: the files that each consists of, and numbers of how it behaves.

A worker writes it when a training starts. A later session makes it again from the code and the data
at hand and compares the two (studies/behaviour.py). Torch is imported for the parts that the root
does not keep for this code and these packages (``bench.probes.kept``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
from bench.models.pretrained import find_weights
from bench.probes.groups import EXACT, SINGLE, Numbers, as_number, group
from bench.probes.kept import at_hand, keep, kept, recall
from bench.runs.rundir import RunDir, run_dir
from bench.runs.source_code import text_of
from bench.spec import DataSpec, LossSpec, ModelSpec, RecipeSpec, RunSpec, digest

FORM = 1
"""To be raised when a probe is made in another way: records of another form are not compared."""
DATA = ("bench.data", "numpy", "PIL")
"""Beginnings of the names of modules and packages that the data consist of."""

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
        def part() -> Part:
            from bench.probes.parts import loss_part

            return loss_part(loss)

        names = [term.name for term in loss.terms or (loss,)]
        modules = [name.partition(":")[0] for name in names if ":" in name]
        return self._tried(["loss", loss.model_dump(mode="json")], modules, part)

    def _network(self, settings: tuple[ModelSpec, DataSpec]) -> Part:
        model, data = settings
        classes = len(open_dataset(data, None).class_names)
        weights = _weights_at_hand(self.root, model)

        def part() -> Part:
            from bench.probes.parts import network_part

            return network_part(model, classes, weights, self.root)

        key = ["network", model.model_dump(mode="json"), classes, weights is None]
        return self._tried(key, () if model.is_deeplab else (model.module,), part)

    def _recipe(self, recipe: RecipeSpec) -> Part:
        def part() -> Part:
            from bench.probes.parts import recipe_part

            return recipe_part(recipe)

        return self._tried(["recipe", recipe.model_dump(mode="json")], (), part)

    def _tried(self, settings: list[Any], modules: Sequence[str], make: Callable[[], Part]) -> Part:
        """Return a part from the root's cache, or try it; one that has a fault is tried again."""
        key = [FORM, *settings, at_hand(modules)]
        if (part := recall(self.root, key)) is None:
            part = make()
            if "fault" not in part:
                keep(self.root, key, part)
        return part

    def _data(self, data: DataSpec) -> Part:
        root, own = self.data_root, type(open_dataset(data, None)).__module__
        of_plugin = () if own.startswith("bench.") else (own.partition(".")[0],)
        text = text_of(open_dataset.__module__, own, within=(*DATA, *of_plugin))
        key = [FORM, data.model_dump(mode="json"), text]
        try:
            stamped = [*key, data_stamp(data, root)]
            numbers = kept(self.root, stamped, lambda: data_numbers(data, root))
            with suppress(NotDecodedError):
                numbers = numbers | pixel_numbers(data, root, self._decoded())
        except Exception as error:  # a plug-in or a library may raise anything
            return {"text": text, "fault": format_error(error)}
        return {"text": text, "numbers": numbers}

    def _decoded(self) -> Cache:
        cache = Cache if self.decode else KnownSplits
        return cache(self.root / "cache", lambda line: None)


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


def _weights_at_hand(root: Path, model: ModelSpec) -> Path | None:
    try:
        return find_weights(root / "runs" / "any", model)
    except SeglossError:
        return None


def data_numbers(data: DataSpec, data_root: Path | None) -> Numbers:
    """Return the names of images and classes as numbers, and pixels of a few images.

    Raises:
        DataError: A file is missing or damaged.
    """
    import torch

    from bench.probes.numbers import shares

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

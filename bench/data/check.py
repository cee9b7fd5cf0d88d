"""Before a session: read every file that a run needs, and refuse what cannot be trained on."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from bench.data.cache import Cache
from bench.data.reading import label_pixels
from bench.data.registry import (
    check_disjoint,
    check_splits,
    evaluation_split,
    open_dataset,
    training_split,
)
from bench.errors import DataError
from bench.spec import DataSpec, RunSpec


def check_data(spec: RunSpec, data_root: Path | None, cache: Cache | None = None) -> str:
    """Read every file that a run needs, or verify the decoded cache of them.

    Args:
        spec: The run.
        data_root: Folder that holds the data sets.
        cache: The decoded cache, built if need be; None decodes every file and keeps nothing.

    Returns:
        Lines for the user: the number of images and the data set's notes.

    Raises:
        DataError: A file is missing or damaged, or the splits are not what they should be.
    """
    if (on_the_way := data_on_the_way(spec)) is not None:
        _checked(on_the_way.model_dump_json(), spec.recipe.batch_size, data_root, cache)
    return _checked(spec.data.model_dump_json(), spec.recipe.batch_size, data_root, cache)


@lru_cache
def _checked(data_json: str, batch_size: int, data_root: Path | None, cache: Cache | None) -> str:
    data = DataSpec.model_validate_json(data_json)
    dataset = open_dataset(data, data_root)
    if cache is None:
        summaries = check_splits(dataset, data)
        counts = {name: split.count for name, split in summaries.items()}
        pixels = [*next(iter(summaries.values())).pixels]
    else:
        try:
            splits = (training_split(dataset, data, cache), evaluation_split(dataset, data, cache))
        except DataError:
            check_splits(dataset, data)  # raises the first fault and counts the others
            raise
        check_disjoint(dataset, data)
        names = (" + ".join(data.train), data.evaluate)
        counts = {name: len(split) for name, split in zip(names, splits, strict=True)}
        pixels = label_pixels(splits[0], len(dataset.class_names)) if data.is_own else []
    name, count = next(iter(counts.items()))
    if count < batch_size:
        raise DataError(
            f"{data.name}: {name} has {count} images, which do not fill a batch of {batch_size}; "
            "lower recipe.batch_size"
        )
    if data.is_own:
        from bench.data.folder.traps import refuse_unlearnable

        refuse_unlearnable(data, pixels)
    images = ", ".join(f"{name} {count}" for name, count in counts.items())
    return "\n  ".join((f"{data.name}: {images}", *dataset.notes()))


def data_on_the_way(spec: RunSpec) -> DataSpec | None:
    """Return the data with the split that is scored on the way, if that is another one."""
    on = spec.evaluation.on
    return None if on is None else spec.data.model_copy(update={"evaluate": on})

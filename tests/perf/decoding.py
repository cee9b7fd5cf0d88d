"""The speed of the decoded cache over decoding the files, for one epoch of training samples.

`python tests/perf/decoding.py --data-root DATA [--crop 479] [--rounds 3]`. Needs no test runner and
asserts nothing. The methods take turns in one process on one thread; the script prints medians of
CPU time. It compares the files in DATA, PNG copies of them in a temporary folder, and the cache.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from PIL import Image
from rich.console import Console

from bench.data.augmentation import (
    apply_augmentation,
    normalise,
    sample_augmentation,
    training_batch,
)
from bench.data.cache import Cache
from bench.data.convert import convert
from bench.data.dataset import Entry, SegmentationDataset, Split
from bench.data.registry import open_dataset, training_split
from bench.perf.job import processor
from bench.seeding import epoch_order
from bench.spec import DataSpec, RecipeSpec

log = partial(Console(highlight=False).print, soft_wrap=True)
SPEC = DataSpec(name="camvid", train=("train", "val"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--crop", type=int, default=479)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    recipe = RecipeSpec(steps=1, batch_size=16, crop_size=(options.crop, options.crop), lr=0.1)
    with TemporaryDirectory() as folder:
        png = as_png(options.data_root, Path(folder) / "png")
        dataset = open_dataset(SPEC, options.data_root)
        cache = Cache(Path(folder) / "cache", log)
        began = time.process_time()
        split = training_split(dataset, SPEC, cache)
        built = time.process_time() - began
        log(f"{len(split)} images of camvid train + val, crop {options.crop}, batch 16,")
        log(f"{processor('cpu')}, 1 thread, torch {torch.__version__}, {options.rounds} rounds")
        show("start of a run, ms", starts(options.data_root, png, cache), options.rounds, 1e3)
        log(f"building the cache: {1e3 * built:.0f} ms, once")
        entries = {"files": dataset, "PNG": open_dataset(SPEC, png)}
        show_rates(epochs(entries, split, dataset, recipe), options.rounds, len(split))
        show("stage, ms a sample", stages(split, dataset, recipe), options.rounds, 1e3 / len(split))


def as_png(data_root: Path, folder: Path) -> Path:
    """Write a copy of CamVid whose images are PNGs, and return its folder."""
    list(convert("camvid", data_root, folder))
    for path in [*folder.rglob("*.webp"), *folder.rglob("*.jpg")]:
        with Image.open(path) as image:
            image.save(path.with_suffix(".png"))
        path.unlink()
    return folder


def starts(data_root: Path, png: Path, cache: Cache) -> dict[str, Callable[[], object]]:
    """Return a function for each source that opens the training split from it."""
    sources = {"files": (data_root, None), "PNG": (png, None), "cache": (data_root, cache)}
    sources["cache, verified"] = (data_root, Cache(cache.folder, log, verify=True))
    return {
        name: lambda place=place, kept=kept: training_split(open_dataset(SPEC, place), SPEC, kept)
        for name, (place, kept) in sources.items()
    }


def epochs(
    datasets: dict[str, SegmentationDataset],
    split: Split,
    dataset: SegmentationDataset,
    recipe: RecipeSpec,
) -> dict[str, Callable[[], object]]:
    """Return functions that read one epoch: pixels alone, or augmented, normalised batches."""
    order = epoch_order(0, 0, len(split)).tolist()
    batches = [order[i : i + recipe.batch_size] for i in range(0, len(order), recipe.batch_size)]

    def mapped_pixels() -> None:
        for index in order:
            split.images[index].copy()
            split.labels[index].copy()

    def augmented(of: Callable[[Sequence[int]], tuple[Split, Sequence[int]]]) -> None:
        for batch in batches:
            found, indices = of(batch)
            drawn = [sample_augmentation(split, index, 0, 0, recipe) for index in batch]
            images, _ = training_batch(found, indices, drawn, recipe, dataset.mean)
            normalise(images, dataset.mean, dataset.std)

    ways: dict[str, Callable[[], object]] = {
        "cache, pixels": mapped_pixels,
        "cache, batches": lambda: augmented(lambda batch: (split, batch)),
    }
    for name, found in datasets.items():
        entries = [entry for part in SPEC.train for entry in found.entries(part)]
        ways[f"{name}, pixels"] = lambda e=entries: [e[index].read() for index in order]
        ways[f"{name}, batches"] = lambda e=entries: augmented(
            lambda batch: (decoded(e, batch), range(len(batch)))
        )
    return ways


def decoded(entries: Sequence[Entry], batch: Sequence[int]) -> Split:
    samples = [entries[index].read() for index in batch]
    return Split(
        tuple(sample.id for sample in samples),
        [sample.image for sample in samples],
        [sample.label for sample in samples],
        "",
    )


def stages(
    split: Split, dataset: SegmentationDataset, recipe: RecipeSpec
) -> dict[str, Callable[[], object]]:
    """Return a function for each stage of making batches from the cache."""
    order = epoch_order(0, 0, len(split)).tolist()

    def crops() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for index in order:
            drawn = sample_augmentation(split, index, 0, 0, recipe)
            pixels = (split.images[index], split.labels[index])
            yield apply_augmentation(*pixels, drawn, recipe.crop_size, dataset.mean)

    images = [image for _, (image, _) in zip(range(recipe.batch_size), crops(), strict=False)]
    rounds = range(len(split) // recipe.batch_size)
    return {
        "draw": lambda: [sample_augmentation(split, i, 0, 0, recipe) for i in order],
        "draw, resize, crop, flip": lambda: [None for _ in crops()],
        "stack": lambda: [torch.stack(images) for _ in rounds],
        "stack, normalise": lambda: [
            normalise(torch.stack(images), dataset.mean, dataset.std) for _ in rounds
        ],
    }


def measure(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median CPU seconds of each function; they take turns after one untimed call."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            began = time.process_time()
            way()
            if turn:
                seconds[name].append(time.process_time() - began)
    return {name: median(values) for name, values in seconds.items()}


def show(title: str, ways: dict[str, Callable[[], object]], rounds: int, unit: float) -> None:
    log(f"\n{title}")
    for name, seconds in measure(ways, rounds).items():
        log(f"  {name:26} {unit * seconds:10.2f}")


def show_rates(ways: dict[str, Callable[[], object]], rounds: int, count: int) -> None:
    found = measure(ways, rounds)
    log("\none epoch                    samples/s   files / this")
    for name, seconds in found.items():
        ratio = found[f"files, {name.split(', ')[1]}"] / seconds
        log(f"  {name:26} {count / seconds:8.0f} {ratio:10.2f}")


if __name__ == "__main__":
    main()

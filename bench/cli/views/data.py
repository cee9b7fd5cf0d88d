"""The output of `segloss data`."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

from bench.cli.options import data_folder
from bench.cli.views.text import say
from bench.data.dataset import SegmentationDataset, SplitSummary
from bench.data.download import download, find_source
from bench.data.folder.traps import traps
from bench.data.reading import inspect, some
from bench.data.registry import (
    check_disjoint,
    dataset_names,
    open_by_name,
    open_dataset,
    shared_groups,
)
from bench.data_spec import OWN, DataSpec
from bench.errors import DataError, SpecError, unknown
from bench.iou import IGNORED
from bench.profile import PROFILES, load_profile, shipped

FAULT_LINES = 20


def print_dataset(name: str, data_root: Path | None) -> None:
    """Print the classes of a data set, and the number of images or the fault of each split."""
    try:
        dataset = open_by_name(name, data_root)
    except SpecError as error:  # files of the user's own, which a profile describes
        say(f"{name}: described by a profile ({error})")
        return
    say(f"{name}: {len(dataset.class_names)} classes ({', '.join(dataset.class_names)})")
    absent: dict[str, list[str]] = {}
    for split in dataset.splits():
        try:
            say(f"  {split}: {len(dataset.entries(split))} images")
        except DataError as error:
            absent.setdefault(str(error), []).append(split)
    for reason, splits in absent.items():
        say(f"  {', '.join(splits)}: not here ({reason})")
    _print_notes(dataset)


def check_dataset(name: str, data_root: Path | None, splits: list[str] | None) -> None:
    """Read every file and print counts, sizes and labels; at the end raise DataError for faults.

    Args:
        name: A data set, or the name or path of a profile that describes one.
        data_root: Folder that holds the files; None for the profile's own.
        splits: The splits to check; None for all.
    """
    dataset, spec = _dataset_or_profile(name, data_root)
    for split in splits or ():
        if split not in dataset.splits():
            raise SpecError(f"{name}: {unknown('split', split, dataset.splits())}")
    checked = [_check_split(dataset, split) for split in splits or dataset.splits()]
    if count := sum(faults for faults, _ in checked):
        raise DataError(f"{name}: {count} fault{'s' if count > 1 else ''}, listed above")
    _print_notes(dataset)
    if spec is not None:
        check_disjoint(dataset, spec)
        pixels = [sum(found) for found in zip(*(p for _, p in checked), strict=True)]
        for line in [*(traps(spec, pixels) if spec.is_own else []), *_shared(dataset, spec)]:
            say(f"  {line}")


def _dataset_or_profile(
    name: str, data_root: Path | None
) -> tuple[SegmentationDataset, DataSpec | None]:
    """Return the data set of that name, or of that profile with its specification."""
    if name in dataset_names() and name not in OWN:
        return open_by_name(name, data_root), None
    profiles = shipped(PROFILES)
    if not (name.endswith(".toml") or name in profiles):
        raise SpecError(unknown("data set or profile", name, [*dataset_names(), *profiles]))
    profile = load_profile(name)
    return open_dataset(profile.data, data_folder(data_root, profile)), profile.data


def _shared(dataset: SegmentationDataset, spec: DataSpec) -> list[str]:
    groups = shared_groups(dataset, spec)
    found = f"groups: {len(groups)} have images in training and among those scored: {some(groups)}"
    return [found] if groups else []


def fetch_dataset(name: str, data_root: Path | None, url: str | None) -> None:
    """Download a data set into ``data_root`` with a progress bar, and print its path."""
    source = find_source(name, url)
    if data_root is None:
        raise DataError(f"{name}: no data folder was given; name one with --data-root")
    if (data_root / source.holds).exists():
        say(f"{data_root / source.holds} already exists")
    else:
        bar = Progress(BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=Console())
        with bar:
            task = bar.add_task(name, total=None)
            place = download(
                source, data_root, lambda have, all_: bar.update(task, completed=have, total=all_)
            )
        say(f"{place} is complete; {data_root / source.file} can be deleted")
    if source.note:
        say(source.note)


def _print_notes(dataset: SegmentationDataset) -> None:
    with suppress(DataError):  # missing files have been printed already
        for line in dataset.notes():
            say(f"  {line}")


def _check_split(dataset: SegmentationDataset, split: str) -> tuple[int, tuple[int, ...]]:
    """Print the content of a split or its faults; return their number, and pixels by label."""
    try:
        entries = dataset.entries(split)
    except DataError as error:
        say(f"{dataset.name} {split}: {error}", err=True)
        return 1, (0,) * (IGNORED + 1)
    summary, faults = inspect(entries)
    stray = [k for k, n in enumerate(summary.pixels) if n and len(dataset.class_names) <= k < 255]
    if stray:
        faults.append(DataError(f"labels {stray} belong to no class of {dataset.name}"))
    lines = _summed_up(faults)
    for line in lines[:FAULT_LINES]:
        say(f"{dataset.name} {split}: {line}", err=True)
    if len(lines) > FAULT_LINES:
        say(f"{dataset.name} {split}: and {len(lines) - FAULT_LINES} more kinds", err=True)
    if not faults:
        size = f"{summary.size[0]} x {summary.size[1]}" if summary.size else "different sizes"
        say(f"{dataset.name} {split}: {summary.count} images, {size}")
        say(f"  pixels: {_shares(dataset, summary)}")
    return len(faults), summary.pixels


def _summed_up(faults: list[DataError]) -> list[str]:
    """Return a line for each kind of fault: kinds differ in more than the file and numbers."""
    kinds: dict[str, list[str]] = {}
    for fault in map(str, faults):
        # The digits of a colour such as #804080 are no number.
        kind = re.sub(r"(?<![#\w])\d+", "#", fault.partition(": ")[2])
        kinds.setdefault(kind, []).append(fault)
    return [
        first + (f" (and {len(more)} more such file{'s' * (len(more) > 1)})" if more else "")
        for first, *more in kinds.values()
    ]


def _shares(dataset: SegmentationDataset, summary: SplitSummary) -> str:
    """Return the share of each class, and of ignored pixels, in percent of all pixels."""
    total = sum(summary.pixels)
    named = [*zip(dataset.class_names, summary.pixels, strict=False)]
    named.append(("ignored", summary.pixels[IGNORED]))
    return ", ".join(f"{name} {100 * pixels / total:.1f} %" for name, pixels in named if pixels)

"""The output of `segloss data`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

from bench.data.dataset import SegmentationDataset, SplitSummary
from bench.data.download import download, find_source
from bench.data.reading import inspect
from bench.data.registry import open_by_name
from bench.errors import DataError, SpecError, unknown
from bench.iou import IGNORED

FAULT_LINES = 20


def print_dataset(name: str, data_root: Path | None) -> None:
    """Print the classes of a data set, and the number of images or the fault of each split."""
    dataset = open_by_name(name, data_root)
    typer.echo(f"{name}: {len(dataset.class_names)} classes ({', '.join(dataset.class_names)})")
    absent: dict[str, list[str]] = {}
    for split in dataset.splits():
        try:
            typer.echo(f"  {split}: {len(dataset.entries(split))} images")
        except DataError as error:
            absent.setdefault(str(error), []).append(split)
    for reason, splits in absent.items():
        typer.echo(f"  {', '.join(splits)}: not here ({reason})")
    _print_notes(dataset)


def check_dataset(name: str, data_root: Path | None, splits: list[str] | None) -> None:
    """Read every file and print counts, sizes and labels; at the end raise DataError for faults."""
    dataset = open_by_name(name, data_root)
    for split in splits or ():
        if split not in dataset.splits():
            raise SpecError(f"{name}: {unknown('split', split, dataset.splits())}")
    count = sum([_check_split(dataset, split) for split in splits or dataset.splits()])
    if count:
        raise DataError(f"{name}: {count} fault{'s' if count > 1 else ''}, listed above")
    _print_notes(dataset)


def fetch_dataset(name: str, data_root: Path | None, url: str | None) -> None:
    """Download a data set into ``data_root`` with a progress bar, and print its path."""
    source = find_source(name, url)
    if data_root is None:
        raise DataError(f"{name}: no data folder was given; name one with --data-root")
    if (data_root / source.holds).exists():
        typer.echo(f"{data_root / source.holds} already exists")
    else:
        bar = Progress(BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=Console())
        with bar:
            task = bar.add_task(name, total=None)
            place = download(
                source, data_root, lambda have, all_: bar.update(task, completed=have, total=all_)
            )
        typer.echo(f"{place} is complete; {data_root / source.file} can be deleted")
    if source.note:
        typer.echo(source.note)


def _print_notes(dataset: SegmentationDataset) -> None:
    with suppress(DataError):  # missing files have been printed already
        for line in dataset.notes():
            typer.echo(f"  {line}")


def _check_split(dataset: SegmentationDataset, split: str) -> int:
    """Print the content of a split or its faults, and return their number."""
    try:
        entries = dataset.entries(split)
    except DataError as error:
        typer.echo(f"{dataset.name} {split}: {error}", err=True)
        return 1
    summary, faults = inspect(entries)
    stray = [k for k, n in enumerate(summary.pixels) if n and len(dataset.class_names) <= k < 255]
    if stray:
        faults.append(DataError(f"labels {stray} belong to no class of {dataset.name}"))
    for fault in faults[:FAULT_LINES]:
        typer.echo(f"{dataset.name} {split}: {fault}", err=True)
    if len(faults) > FAULT_LINES:
        typer.echo(f"{dataset.name} {split}: and {len(faults) - FAULT_LINES} more", err=True)
    if not faults:
        size = f"{summary.size[0]} x {summary.size[1]}" if summary.size else "different sizes"
        typer.echo(
            f"{dataset.name} {split}: {summary.count} images, {size}, digest {summary.digest}"
        )
        typer.echo(f"  pixels: {_shares(dataset, summary)}")
    return len(faults)


def _shares(dataset: SegmentationDataset, summary: SplitSummary) -> str:
    """Return the share of each class, and of ignored pixels, in percent of all pixels."""
    total = sum(summary.pixels)
    named = [*zip(dataset.class_names, summary.pixels, strict=False)]
    named.append(("ignored", summary.pixels[IGNORED]))
    return ", ".join(f"{name} {100 * pixels / total:.1f} %" for name, pixels in named if pixels)

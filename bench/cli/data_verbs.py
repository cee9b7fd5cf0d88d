"""The verbs of `segloss data`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import DataRootOption

data = typer.Typer(help="List, check, convert and download the data sets.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="A data set by name: see segloss data list.")]


@data.command("list")
def list_all(data_root: DataRootOption = None) -> None:
    """Show every data set and what is there of it, its files unread."""
    from bench.cli.data_view import print_dataset
    from bench.data.registry import DATASETS

    for name in DATASETS:
        print_dataset(name, data_root)


@data.command()
def check(
    name: Name,
    data_root: DataRootOption = None,
    split: Annotated[
        list[str] | None, typer.Option("--split", help="Only this one; may be repeated.")
    ] = None,
) -> None:
    """Decode every file once: counts, sizes, labels, digests, and a line for each fault."""
    from bench.cli.data_view import check_dataset

    check_dataset(name, data_root, split)


@data.command()
def convert(
    name: Name,
    to: Annotated[Path, typer.Option("--to", help="Folder that the copy goes to.")],
    data_root: DataRootOption = None,
) -> None:
    """Copy a data set, its masks (colours, .mat) as index PNGs in SegNet's or the devkit's form."""
    from bench.data.convert import convert as convert_all

    for done in convert_all(name, data_root, to):
        typer.echo(f"{done.split}: {done.written} files written, {done.unchanged} unchanged")


@data.command()
def download(
    name: Name,
    data_root: DataRootOption = None,
    url: Annotated[str | None, typer.Option("--url", help="Another place of the archive.")] = None,
) -> None:
    """Fetch a data set, going on where a transfer broke off, check it and unpack it."""
    from bench.cli.data_view import fetch_dataset

    fetch_dataset(name, data_root, url)

"""The verbs of `segloss data`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import DataRootOption
from bench.cli.views.text import say

data = typer.Typer(help="List, check, convert and download the data sets.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="Name of a data set; see segloss data list.")]
NameOrProfile = Annotated[
    str, typer.Argument(help="Name of a data set, or name or path of a profile.")
]


@data.command("list")
def list_all(data_root: DataRootOption = None) -> None:
    """List every data set with its classes, splits and options, without reading images."""
    from bench.cli.views.catalogue import options_of
    from bench.cli.views.data import print_dataset
    from bench.data.registry import dataset_names
    from bench.data_spec import DataSpec

    for name in dataset_names():
        print_dataset(name, data_root)
    say(f"options in a profile's [data]: {options_of(DataSpec)}")


@data.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Folder with the images and masks.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The profile to write. Default: the folder's name, here."),
    ] = None,
) -> None:
    """Look at a folder of images and masks, and write a profile that describes it."""
    from bench.data.survey.profile import write_profile
    from bench.runs.memory import keep_freed_memory

    keep_freed_memory()  # else every image would wait for fresh pages
    path = out or Path(f"{folder.resolve().name}.toml")
    say(write_profile(folder, path))
    say(f"written to {path}; then: segloss data check {path}")


@data.command()
def check(
    name: NameOrProfile,
    data_root: DataRootOption = None,
    split: Annotated[
        list[str] | None, typer.Option("--split", help="Only this split; may be repeated.")
    ] = None,
) -> None:
    """Decode every file once; print counts, sizes, labels, and one line per fault."""
    from bench.cli.views.data import check_dataset
    from bench.runs.memory import keep_freed_memory

    keep_freed_memory()
    check_dataset(name, data_root, split)


@data.command()
def convert(
    name: Name,
    to: Annotated[Path, typer.Option("--to", help="Folder for the copy.")],
    data_root: DataRootOption = None,
) -> None:
    """Copy a data set with its masks as index PNGs, in SegNet's layout or the VOC devkit's."""
    from bench.data.convert import convert as convert_all

    for done in convert_all(name, data_root, to):
        say(f"{done.split}: {done.written} files written, {done.unchanged} unchanged")


@data.command()
def download(
    name: Name,
    data_root: DataRootOption = None,
    url: Annotated[
        str | None, typer.Option("--url", help="Download the archive from here instead.")
    ] = None,
) -> None:
    """Download a data set, resuming an interrupted transfer, verify and unpack it."""
    from bench.cli.views.data import fetch_dataset

    fetch_dataset(name, data_root, url)

"""The verbs to begin with: list what a study or a profile may name, and write a first file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.data import list_all
from bench.cli.views.text import say

listing = typer.Typer(
    name="list",
    help="List losses, models, datasets, profiles, studies, columns or metrics.",
    no_args_is_help=True,
)
listing.command("datasets")(list_all)


@listing.command()
def losses() -> None:
    """List every loss with its options and their defaults."""
    from bench.cli.views.catalogue import print_losses

    print_losses()


@listing.command()
def models() -> None:
    """List heads, backbones and the options of a model with their defaults."""
    from bench.cli.views.catalogue import print_models

    print_models()


@listing.command()
def profiles() -> None:
    """List the shipped profiles and those in the current folder."""
    from bench.cli.views.catalogue import print_profiles

    print_profiles()


@listing.command()
def studies() -> None:
    """List the shipped studies and those in the current folder."""
    from bench.cli.views.catalogue import print_studies

    print_studies()


@listing.command()
def columns() -> None:
    """List what the columns of a study's tables may name."""
    from bench.cli.views.catalogue import print_columns

    print_columns()


@listing.command()
def metrics() -> None:
    """List what a profile's metric may name, and the data sets that have it."""
    from bench.cli.views.catalogue import print_metrics

    print_metrics()


new = typer.Typer(
    name="new",
    help="Write a first study, profile or loss: commented, and it runs as it stands.",
    no_args_is_help=True,
)
Name = Annotated[str, typer.Argument(help="Its name, with or without .toml.")]


@new.command()
def study(name: Name) -> None:
    """Write NAME.toml, a study of two losses."""
    path = _write_start("study", name)
    say(f"wrote {path}: segloss plan {path}")


@new.command()
def profile(name: Name) -> None:
    """Write NAME.toml, a profile on drawn scenes."""
    path = _write_start("profile", name)
    say(f"wrote {path}: segloss plan losses --profile {path}")


@new.command()
def loss(
    name: Annotated[str, typer.Argument(help="Its name in a study: lower-case letters and _.")],
) -> None:
    """Write the folder segloss-NAME, a package with one loss and its test."""
    from bench.errors import SpecError
    from losses import loss_names

    if not re.fullmatch("[a-z][a-z0-9_]*", name):
        raise SpecError(
            f"{name!r}: the name of a loss has lower-case letters, digits and _ and begins with a "
            "letter"
        )
    if name in loss_names():
        raise SpecError(f"there is a loss called {name!r} already; give another name")
    folder, module = Path(f"segloss-{name}"), f"segloss_{name}"
    in_code = {"my_loss": name, "MyLoss": "".join(map(str.capitalize, name.split("_"))) + "Loss"}
    starts = {"pyproject.toml": "pyproject.toml", "loss.py": f"{module}.py"}
    starts["test_loss.py"] = f"test_{module}.py"
    _write({folder / file: _start(start, in_code) for start, file in starts.items()})
    say(
        f"wrote {folder}: register it once with\n"
        f"  python -m pip install --editable {folder}\n"
        f'then loss.name = "{name}" in a study; its test: python -m pytest {folder}'
    )


def _write_start(kind: str, name: str) -> Path:
    """Write the start of a study or a profile, and return its path."""
    from studies.schema import study_name

    stem = study_name(name)
    path = Path(name).with_name(f"{stem}.toml")
    _write({path: _start(f"{kind}.toml", {"NAME.toml": str(path), "NAME": stem})})
    return path


def _start(file: str, names: Mapping[str, str]) -> str:
    """Return the text of a start with its placeholders replaced."""
    text = (files("bench") / "cli" / "starts" / file).read_text()
    for placeholder, name in names.items():
        text = text.replace(placeholder, name)
    return text


def _write(texts: Mapping[Path, str]) -> None:
    """Write files that do not exist yet; raises SpecError, before it writes any, if one does."""
    from bench.errors import SpecError

    for path in texts:
        if path.exists():
            raise SpecError(f"{path} exists already; give another name or move it away")
    for path, text in texts.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x") as file:
                file.write(text)
        except OSError as error:
            raise SpecError(f"{path}: cannot be written: {error.strerror}") from None

"""The output of `segloss list`: everything that a study or a profile may name, a line each."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer

from bench.errors import SpecError, format_error
from bench.files import Strict
from bench.iou import BORDER_METRICS, HEADLINE
from bench.profile import PROFILES, load_profile, shipped
from bench.spec import ModelSpec
from bench.titles import HEADS, backbone_name
from studies.schema import COLUMN_PATTERNS, COLUMNS, load_study

HEADER = "The first of several values is the default; an option without a value is not set."


def print_losses() -> None:
    """Print every loss with its options; for a package that cannot be imported, the reason."""
    from losses import loss_names

    typer.echo(f"In a study: loss.name, and loss.OPTION for each of its options. {HEADER}")
    _print_pairs((name, _loss_options(name)) for name in loss_names())
    typer.echo(
        "Or a class of an installed package by its import path, such as loss.name = "
        '"segmentation_models_pytorch.losses:LovaszLoss"; options are those of its constructor.'
    )


def _loss_options(name: str) -> str:
    from losses import loss_options, option_choices

    try:
        options, choices = loss_options(name), option_choices(name)
    except Exception as error:  # a plug-in loss may raise anything
        return f"cannot be used: {format_error(error)}"
    lines = [_option(key, value, choices.get(key, ())) for key, value in options.items()]
    return ", ".join(lines) or "no options"


def print_models() -> None:
    """Print the heads, the backbones of the shipped profiles and the options of a model."""
    backbones = dict.fromkeys(load_profile(name).model.backbone for name in shipped(PROFILES))
    typer.echo(f"In a profile's [model]. {HEADER}")
    _print_pairs(
        [
            *((f'head = "{name}"', words) for name, words in HEADS.items()),
            ('head = "package.module:function"', "a whole network of an installed package"),
            *((f'backbone = "{name}"', backbone_name(name)) for name in backbones),
            ("backbone", "or another of timm's networks, by its name; validate tries it"),
        ]
    )
    typer.echo(f"options: {options_of(ModelSpec)}")


def print_profiles() -> None:
    """Print the shipped profiles and those in the current folder, with what each one runs."""
    names = [*shipped(PROFILES), *_here("recipe")]
    _print_pairs((name, _read(name, _profile_words)) for name in names)


def _profile_words(name: str) -> str:
    profile = load_profile(name)
    return f"{profile.scale}; {profile.metric}, seeds: {profile.seeds}"


def print_studies() -> None:
    """Print the shipped studies and those in the current folder, with their methods."""
    names = [*shipped(files("studies") / "definitions"), *_here("tables")]
    _print_pairs((name, _read(name, _study_words)) for name in names)


def _study_words(name: str) -> str:
    study = load_study(name)
    return f"{study.title}: {', '.join(study.methods)}"


def _read(name: str, words: Callable[[str], str]) -> str:
    try:
        return words(name)
    except SpecError as error:
        return f"cannot be used: {error}"


def print_columns() -> None:
    """Print what a table's ``columns`` may name."""
    typer.echo("In a table's columns; a data set's own metrics too: segloss list metrics")
    _print_pairs([*COLUMNS.items(), *COLUMN_PATTERNS.items()])


def print_metrics() -> None:
    """Print what a profile's ``metric`` may name, and which data sets have it."""
    from bench.data.registry import dataset_names, open_by_name, open_dataset

    # With the options of a profile a data set may have other metrics.
    profiles = [load_profile(name) for name in shipped(PROFILES)]
    opening = [partial(open_by_name, name, None) for name in dataset_names()]
    opening += [partial(open_dataset, profile.data, None) for profile in profiles]
    found: dict[str, dict[str, None]] = {}
    for opened in opening:
        with suppress(SpecError):  # a data set that cannot be opened without a profile
            dataset = opened()
            for metric in dataset.metric_names:
                found.setdefault(metric, {})[dataset.name] = None
    typer.echo("In a profile: metric, which a column miou shows.")
    _print_pairs(
        [
            *((name, f"{_meaning(name)}: {', '.join(of)}") for name, of in found.items()),
            *((name, f"{_meaning(name)}: every data set") for name in BORDER_METRICS),
        ]
    )


def _meaning(metric: str) -> str:
    if metric == HEADLINE:
        return "mean IoU over all classes"
    if count := re.fullmatch(r"miou_(\d+)", metric):
        return f"mean IoU over {count[1]} classes"
    return COLUMNS.get(metric, "a metric of its own")


def options_of(record: type[Strict]) -> str:
    """Return the fields of a record with their defaults and choices, as a file writes them."""
    return ", ".join(
        _option(
            name,
            None if field.is_required() else field.get_default(call_default_factory=True),
            get_args(field.annotation) if get_origin(field.annotation) is Literal else (),
        )
        for name, field in record.model_fields.items()
    )


def _option(name: str, default: Any, choices: tuple[Any, ...]) -> str:
    if default is None:
        return name
    values = [default, *(choice for choice in choices if choice != default)]
    return f"{name} = {' | '.join(json.dumps(value) for value in values)}"


def _here(key: str) -> list[str]:
    """Return the TOML files of the current folder that have a section ``key``."""
    return [str(path) for path in sorted(Path().glob("*.toml")) if key in _content(path)]


def _content(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, ValueError):  # no TOML: neither study nor profile
        return {}


def _print_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    pairs = list(pairs)
    width = max(len(name) for name, _ in pairs)
    for name, words in pairs:
        typer.echo(f"{name.ljust(width)}  {words}")

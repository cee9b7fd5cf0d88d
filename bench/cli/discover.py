"""The verbs to begin with: list what a study or a profile may name, and write a first file."""

from __future__ import annotations

import typer

from bench.cli.data import list_all

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

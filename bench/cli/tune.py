"""The verb tune."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import SessionOptions, Study, takes


@dataclass(frozen=True, kw_only=True)
class TuneOptions(SessionOptions):
    """Options of a session that searches a study's settings."""

    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--methods",
            help="A method to tune; may be repeated. Default, and for all: every method that has "
            "a section search.METHOD.",
        ),
    ] = None
    parameters: Annotated[
        list[str] | None,
        typer.Option(
            "--param",
            help="A setting to search, such as loss.lambda_; may be repeated. Default: all.",
        ),
    ] = None
    trials: Annotated[
        int, typer.Option("--trials", min=1, help="Trials per method, counting finished ones.")
    ] = 12
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage", help="Optuna's URL. Default: a sqlite file in the output folder."
        ),
    ] = None
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Recreate Optuna's study from the runs.")
    ] = False
    write: Annotated[
        Path | None,
        typer.Option("--write", help="File to write the study with the best values to."),
    ] = None


@takes(TuneOptions)
def tune(study: Study, options: TuneOptions) -> None:
    """Search a study's settings, scored on images that its tables never use."""
    from bench.cli.planning.inputs import read_inputs

    studies, profile = read_inputs([study], options)
    (loaded,) = studies.values()
    from bench.cli.tuning import run_tuning

    sys.exit(run_tuning(study, loaded, profile, options))

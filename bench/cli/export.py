"""The verbs of `segloss export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from bench.cli.options import DEFAULT_ROOT, DataRootOption, RootOption, Run, SeedOption

export = typer.Typer(help="Export results for other tools.", no_args_is_help=True)


@export.callback()
def _group() -> None:
    """Without a callback, Typer would make the only verb the group itself."""


@export.command("voc-test")
def voc_test(
    run: Run,
    out: Annotated[Path, typer.Option("--out", help="The archive to write, such as rmi.tgz.")],
    seed: SeedOption = None,
    competition: Annotated[
        Literal["comp5", "comp6"],
        typer.Option(help="comp5: trained on VOC's own data only; comp6: on any data."),
    ] = "comp6",
    root: RootOption = DEFAULT_ROOT,
    data_root: DataRootOption = None,
) -> None:
    """Predict VOC's test images with a finished run and pack them for the evaluation server."""
    from bench.runs.rundir import run_dir
    from bench.worker.voc_test import export_test
    from studies.runs import find_run, run_names

    run_id = find_run(run_names(root), run, seed).run_id
    count = export_test(run_dir(root, run_id), out, competition, data_root)
    typer.echo(f"{count} predictions of {run_id} for {competition}: {out}")

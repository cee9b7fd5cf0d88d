"""The verbs of `segloss export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from bench.cli.night_verbs import Run, SeedOption
from bench.cli.options import DEFAULT_ROOT, DataRootOption, RootOption

export = typer.Typer(help="Write what others take.", no_args_is_help=True)


@export.callback()
def _group() -> None:
    """Keep `voc-test` a verb of its own, though it is the only one."""


@export.command("voc-test")
def voc_test(
    run: Run,
    out: Annotated[Path, typer.Option("--out", help="The archive to write, such as rmi.tgz.")],
    seed: SeedOption = None,
    competition: Annotated[
        Literal["comp5", "comp6"],
        typer.Option(help="comp5: trained on VOC's own data alone; comp6: on any, ImageNet too."),
    ] = "comp6",
    root: RootOption = DEFAULT_ROOT,
    data_root: DataRootOption = None,
) -> None:
    """Predict VOC's test images by a finished run, packed for the evaluation server."""
    from bench.runs.rundir import run_dir
    from bench.worker.voc_test import export_test
    from studies.run_names import find_run, named_runs

    found = find_run(named_runs(root), run, seed)
    count = export_test(run_dir(root, found.run_id), out, competition, data_root)
    typer.echo(f"{count} predictions of {found.run_id} for {competition}: {out}")

"""The verbs of `segloss perf`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import DataRootOption

perf = typer.Typer(help="Measure the cost of each loss.", no_args_is_help=True)


@perf.command("losses")
def perf_losses(
    shape: Annotated[
        list[str] | None,
        typer.Option(
            help="camvid, voc, paper-camvid or paper-voc; may be repeated. Default: two that suit "
            "the device."
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(help="Timed calls of each loss.")] = 9,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda. Default: cuda if there is a GPU.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="File to write all measurements to.")] = None,
    data_root: DataRootOption = None,
) -> None:
    """Measure every loss against cross entropy and against plain transcriptions of the papers."""
    from bench.cli.views.perf import print_result
    from bench.perf.measure import check, check_labels, measure_shape, write_results

    shapes, on = check(shape or [], rounds, device, json)
    check_labels(shapes, data_root)
    results = []
    for measured in shapes:
        result = measure_shape(
            measured, device=on, rounds=rounds, data_root=data_root, on_progress=typer.echo
        )
        print_result(result)
        results.append(result)
    if json is not None:
        write_results(json, results)

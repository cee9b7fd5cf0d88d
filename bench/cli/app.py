"""The verbs of `segloss`. Each imports its libraries when it is called: --help is instant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from bench.cli import compare, control, data, discover, exchange, perf, report, run, tune
from bench.cli.bundles import verbs as bundles
from bench.cli.views.ui import ui

BEFORE, DURING, AFTER = "Before a run", "A run", "After a run"
EXAMPLES = {
    "validate": "segloss validate losses --profile camvid-cpu --data-root DATA",
    "plan": "segloss plan losses lambda --seeds 3",
    "run": "segloss run losses --profile camvid-cpu --data-root DATA --until 07:00",
    "tune": "segloss tune lambda --trials 20 --write tuned.toml",
    "status": "segloss status --watch",
    "logs": "segloss logs RMI --seed 1 --follow",
    "retry": "segloss retry --failed oom",
    "cancel": "segloss cancel RMI --seed 1",
    "report": "segloss report losses --profile camvid-cpu --since yesterday",
    "compare": "segloss compare losses OTHER_ROOT/losses@camvid-cpu",
    "sync": "segloss sync --from OTHER_ROOT",
    "ui": "segloss ui --port 5001",
    "publish": "segloss publish losses --out losses-published",
    "verify": "segloss verify losses-published",
    "import": "segloss import runs.csv --study elsewhere --score miou",
}
"""One command for the help of each verb."""


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"segloss-bench {version('segloss-bench')}")
        raise typer.Exit


app = typer.Typer(
    name="segloss",
    epilog="Begin with: segloss run losses (draws its own images), then segloss status --watch. "
    "`segloss list studies` and `segloss list profiles` name what is shipped.\n\n"
    "Exit codes: 0 success; 2 wrong input or data; 3 a run failed; 4 runs are missing, "
    "for example because time was up; 130 stopped by a signal. The same command continues after "
    "3, 4 and 130.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def segloss(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """Does this segmentation loss beat that one? Equal conditions, honest tables."""


def _add(panel: str, *verbs: Callable[..., Any], name: str | None = None) -> None:
    for verb in verbs:
        called = name or verb.__name__
        epilog = f"Example: {EXAMPLES[called]}"
        app.command(called, rich_help_panel=panel, epilog=epilog)(verb)


app.add_typer(discover.listing, name="list", rich_help_panel=BEFORE)
app.add_typer(discover.new, name="new", rich_help_panel=BEFORE)
app.add_typer(data.data, name="data", rich_help_panel=BEFORE)
app.add_typer(perf.perf, name="perf", rich_help_panel=BEFORE)
_add(BEFORE, run.validate, run.plan)
_add(DURING, run.run, tune.tune, control.status, control.logs, control.retry, control.cancel)
_add(AFTER, report.report, compare.compare, ui, exchange.sync)
_add(AFTER, bundles.publish, bundles.verify)
_add(AFTER, exchange.import_runs, name="import")
app.add_typer(exchange.export, name="export", rich_help_panel=AFTER)

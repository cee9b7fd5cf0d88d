"""The verbs of `segloss`. Each imports its libraries when it is called: --help is instant."""

from __future__ import annotations

import typer

from bench.cli import compare, control, data, discover, exchange, perf, report, run, tune
from bench.cli.bundles import verbs as bundles
from bench.cli.views.ui import ui

app = typer.Typer(
    name="segloss",
    help="Does this segmentation loss beat that one? Equal conditions, honest tables.",
    epilog="Exit codes: 0 success; 2 wrong input or data; 3 a run failed; 4 runs are missing, "
    "for example because time was up; 130 stopped by a signal. The same command continues after "
    "3, 4 and 130.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for verb in (run.validate, run.plan, run.run, tune.tune):
    app.command()(verb)
for verb in (control.status, control.logs, control.retry, control.cancel):
    app.command()(verb)
for verb in (report.report, compare.compare, exchange.sync, ui):
    app.command()(verb)
for verb in (bundles.publish, bundles.verify):
    app.command()(verb)
app.command("import")(exchange.import_runs)
app.add_typer(discover.listing, name="list")
app.add_typer(discover.new, name="new")
app.add_typer(data.data, name="data")
app.add_typer(perf.perf, name="perf")
app.add_typer(exchange.export, name="export")

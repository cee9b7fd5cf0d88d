"""The verbs that look into a night and talk to it: logs, retry, cancel."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.options import DEFAULT_ROOT, RootOption

QUEUED_LINES = 20
RUN_HELP = 'A run: its id, the start of one, or a row such as "RMI".'
Run = Annotated[str, typer.Argument(help=RUN_HELP)]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Which of the row's runs.")]


def logs(
    run: Run,
    seed: SeedOption = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many.")] = 20,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Print what comes, until the run ends.")
    ] = False,
    root: RootOption = DEFAULT_ROOT,
) -> None:
    """Print the end of a run's log."""
    from bench.cli.logs import print_log
    from studies.run_names import find_run, named_runs

    print_log(root, find_run(named_runs(root), run, seed), lines=lines, follow=follow)


def retry(
    what: Annotated[
        str | None, typer.Argument(help=f"{RUN_HELP} After --failed: a class of failures.")
    ] = None,
    failed: Annotated[
        bool,
        typer.Option(
            "--failed",
            help="Every failed run, or those of a class: oom, disk, crash, timeout, killed, "
            "refused.",
        ),
    ] = False,
    seed: SeedOption = None,
    root: RootOption = DEFAULT_ROOT,
) -> None:
    """Queue a failed or interrupted run again (retry RUN), or all that failed (--failed)."""
    from bench.errors import SpecError
    from studies.control import failed_runs, queue_again
    from studies.ledger import holder
    from studies.run_names import find_run, named_runs

    if failed:
        if seed is not None:
            raise SpecError("--seed goes with a row's name, not with --failed")
        chosen = failed_runs(root, what)
    elif what is None:
        raise SpecError("say which: segloss retry RUN, or segloss retry --failed [CLASS]")
    else:
        chosen = [find_run(named_runs(root), what, seed).run_id]
    names = named_runs(root)
    queued = queue_again(root, chosen)
    for run_id in queued[:QUEUED_LINES]:
        typer.echo(f"queued again: {names[run_id]} [{run_id}]")
    if len(queued) > QUEUED_LINES:
        typer.echo(f"and {len(queued) - QUEUED_LINES} more")
    if not queued:
        typer.echo("nothing to queue: only failed and interrupted runs are tried again")
        return
    found = holder(root)
    goes_on = f"{found} takes up what is its own" if found else "the same segloss run goes on"
    typer.echo(f"{len(queued)} queued; {goes_on}")


def cancel(
    run: Annotated[str | None, typer.Argument(help=f"{RUN_HELP} None: the whole night.")] = None,
    seed: SeedOption = None,
    now: Annotated[
        bool, typer.Option("--now", help="Kill what runs, without a checkpoint.")
    ] = False,
    root: RootOption = DEFAULT_ROOT,
) -> None:
    """Stop the night, or one run of it, with checkpoints."""
    from bench.errors import SpecError
    from studies.control import cancel_night, cancel_run
    from studies.run_names import find_run, named_runs

    if run is None:
        if seed is not None:
            raise SpecError("--seed goes with a row's name")
        typer.echo(cancel_night(root, now=now))
    elif now:
        raise SpecError("--now ends the whole night: it goes without a run")
    else:
        typer.echo(cancel_run(root, find_run(named_runs(root), run, seed)))

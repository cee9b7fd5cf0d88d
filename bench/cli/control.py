"""The verbs for the runs of an output folder: status, logs, retry and cancel."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import DEFAULT_ROOT, RUN_HELP, RootOption, Run, SeedOption
from bench.cli.views.text import say

QUEUED_LINES = 20


def status(
    root: RootOption = DEFAULT_ROOT,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Keep it up to date; in a pipe, print one line per event."),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Say which files have changed since the runs ended."),
    ] = False,
) -> None:
    """Show the status of every study in the output folder and of its unfinished runs."""
    if watch:
        from bench.cli.views.live import watch as watch_root

        watch_root(root)
    else:
        print_status(root, verbose=verbose)


def print_status(root: Path, *, verbose: bool) -> None:
    """Print counts by status for every study of the output folder, then its unfinished runs.

    Args:
        root: the output folder.
        verbose: whether to compare the files that the finished runs were made with.
    """
    from bench.manifest import manifests
    from bench.runs.rundir import run_dir
    from studies.behaviour import edited_lines
    from studies.ledger import current_state, summary, unfinished

    for manifest in manifests(root):
        names = {
            run_id: f"{row.label}, seed {seed}"
            for row in manifest.rows.values()
            for seed, run_id in zip(manifest.seeds, row.run_ids, strict=True)
        }
        states = {run_id: current_state(run_dir(root, run_id)) for run_id in names}
        say(f"{manifest.study} on {manifest.profile}: {summary(states.values())}")
        for line in unfinished(names, states):
            say(line)
        for line in edited_lines(root, states) if verbose else ():
            say(line)


def logs(
    run: Run,
    seed: SeedOption = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Number of lines.")] = 20,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Keep printing new lines until the run ends.")
    ] = False,
    root: RootOption = DEFAULT_ROOT,
) -> None:
    """Print the last lines of a run's log."""
    from bench.cli.views.log import print_log
    from studies.runs import find_run, run_names

    print_log(root, find_run(run_names(root), run, seed), lines=lines, follow=follow)


def retry(
    run: Annotated[
        str | None, typer.Argument(help=f"{RUN_HELP} With --failed: a class of failures.")
    ] = None,
    failed: Annotated[
        bool,
        typer.Option(
            "--failed",
            help="Every failed run, or those of one class: oom, disk, crash, timeout, killed or "
            "refused.",
        ),
    ] = False,
    seed: SeedOption = None,
    root: RootOption = DEFAULT_ROOT,
) -> None:
    """Queue a failed or interrupted run again, or all failed runs (--failed)."""
    from studies.control import queue_again
    from studies.ledger import holder
    from studies.runs import run_names

    chosen = _chosen(root, run, seed, failed=failed)
    names = run_names(root)
    queued = queue_again(root, chosen)
    for run_id in queued[:QUEUED_LINES]:
        say(f"queued again: {names[run_id]} [{run_id}]")
    if len(queued) > QUEUED_LINES:
        say(f"and {len(queued) - QUEUED_LINES} more")
    if not queued:
        say("nothing to queue: only failed and interrupted runs can be retried")
        return
    session = holder(root)
    then = f"{session} starts those of its studies" if session else "start them with segloss run"
    say(f"{len(queued)} queued; {then}")


def _chosen(root: RootOption, run: str | None, seed: int | None, *, failed: bool) -> list[str]:
    """Return the ids of the runs that a retry names; raises SpecError if it names none."""
    from bench.errors import SpecError
    from studies.control import failed_runs
    from studies.runs import find_run, run_names

    if failed:
        if seed is not None:
            raise SpecError("--seed cannot be combined with --failed")
        return failed_runs(root, run)
    if run is None:
        raise SpecError("name a run: segloss retry RUN, or segloss retry --failed [CLASS]")
    return [find_run(run_names(root), run, seed).run_id]


def cancel(
    run: Annotated[
        str | None, typer.Argument(help=f"{RUN_HELP} Default: the whole session.")
    ] = None,
    seed: SeedOption = None,
    now: Annotated[
        bool, typer.Option("--now", help="Kill the session's workers without a checkpoint.")
    ] = False,
    root: RootOption = DEFAULT_ROOT,
) -> None:
    """Stop the running session, or one of its runs, with checkpoints."""
    from bench.errors import SpecError
    from studies.control import cancel_run, cancel_session
    from studies.runs import find_run, run_names

    if run is None:
        if seed is not None:
            raise SpecError("--seed needs a run: segloss cancel RUN --seed N")
        say(cancel_session(root, now=now))
    elif now:
        raise SpecError("--now stops the whole session; it cannot be combined with a run")
    else:
        say(cancel_run(root, find_run(run_names(root), run, seed)))

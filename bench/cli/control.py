"""The verbs for the runs of an output folder: status, logs, retry and cancel."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import DEFAULT_ROOT, RUN_HELP, RootOption, Run, SeedOption
from bench.cli.views.text import say

if TYPE_CHECKING:
    from bench.manifest import Manifest

QUEUED_LINES = 20


def status(
    study: Annotated[
        str | None, typer.Argument(help="Only this study: its name or file. Default: all.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", help="Only studies on this profile.")
    ] = None,
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
    """Show the status of every study in the output folder, its result, and its unfinished runs."""
    choose = partial(_chosen_studies, study=study, profile=profile)
    if watch:
        from bench.cli.views.live import watch as watch_root

        watch_root(root, choose)
    else:
        from bench.cli.views.status import print_status

        print_status(root, choose, verbose=verbose)


def _chosen_studies(
    every: list[Manifest], *, study: str | None, profile: str | None
) -> list[Manifest]:
    """Return the studies that a user asks for; raises SpecError if there is none.

    A profile's name without "@STEPS" stands for the profile at any length.
    """
    from bench.errors import SpecError, unknown
    from studies.schema import profile_name, study_name

    name, fixed = study and study_name(study), profile and profile_name(profile)
    found = [
        m
        for m in every
        if name in (None, m.study) and fixed in (None, m.profile, m.profile.partition("@")[0])
    ]
    if every and not found:
        asked = " on ".join(filter(None, (name, fixed)))
        raise SpecError(unknown("study", asked, [f"{m.study} on {m.profile}" for m in every]))
    return found


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

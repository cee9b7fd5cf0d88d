"""What `segloss logs` prints: the end of a run's log, and what is added to it."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import typer

from bench.runs.rundir import run_dir
from studies.job_records import job_records
from studies.ledger import current_state, holder
from studies.run_names import Named

POLL_SECONDS = 0.5
BLOCK = 2**16


def print_log(root: Path, run: Named, *, lines: int, follow: bool) -> None:
    """The end of the run's log; with ``follow`` also what comes, until the run has ended."""
    path = log_of(root, run.run_id)
    if path is None and not (follow and _may_go_on(root, run.run_id)):
        state = current_state(run_dir(root, run.run_id))
        why = f" ({state.reason})" if state.reason else ""
        typer.echo(f"{run} [{run.run_id}] has no log yet: it is {state.status}{why}", err=True)
        return
    at = 0
    if path is not None:
        typer.echo(f"{path}:", err=True)
        end, at = tail(path, lines)
        typer.echo(end, nl=False)
    if follow:
        with suppress(KeyboardInterrupt):
            _follow(root, run.run_id, at)


def tail(path: Path, lines: int) -> tuple[bytes, int]:
    """The last ``lines`` of a file, and where it ended; without reading what is before them."""
    with path.open("rb") as file:
        start = end = file.seek(0, 2)
        text = b""
        while start > 0 and text.count(b"\n") <= lines:
            start = max(0, start - BLOCK)
            file.seek(start)
            text = file.read(end - start)
    return b"".join(text.splitlines(keepends=True)[-lines:]) if lines else b"", end


def log_of(root: Path, run_id: str) -> Path | None:
    """The run's log, None before there is one; that of a pass is in the first of its runs."""
    own = run_dir(root, run_id)
    if own.log.exists():
        return own.log
    job = job_records(root, [run_id])[run_id]
    logs = [log for other in job.run_ids if (log := run_dir(root, other).log).exists()]
    return max(logs, key=lambda path: path.stat().st_mtime, default=None)


def _follow(root: Path, run_id: str, at: int) -> None:
    going = True
    while going:
        # Asked before the log is read, so that nothing of its last words is missed.
        going = _may_go_on(root, run_id)
        if path := log_of(root, run_id):
            with path.open("rb") as file:
                file.seek(at)
                text = file.read()
            at += len(text)
            typer.echo(text, nl=False)
        if going:
            time.sleep(POLL_SECONDS)


def _may_go_on(root: Path, run_id: str) -> bool:
    status = current_state(run_dir(root, run_id)).status
    return status == "running" or (status == "queued" and holder(root) is not None)

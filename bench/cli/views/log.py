"""The end of a run's log, and its new lines as they are written."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import typer

from bench.runs.rundir import run_dir
from studies.jobs import job_records
from studies.ledger import current_state, holder
from studies.runs import RunName

POLL_SECONDS = 0.5
BLOCK = 2**16


def print_log(root: Path, run: RunName, *, lines: int, follow: bool) -> None:
    """Print the last lines of a run's log.

    Args:
        root: the output folder.
        run: the run.
        lines: number of lines.
        follow: whether to keep printing new lines until the run ends.
    """
    path = log_of(root, run.run_id)
    if path is None and not (follow and _may_write(root, run.run_id)):
        state = current_state(run_dir(root, run.run_id))
        reason = f" ({state.reason})" if state.reason else ""
        typer.echo(f"{run} [{run.run_id}] has no log yet: it is {state.status}{reason}", err=True)
        return
    position = 0
    if path is not None:
        typer.echo(f"{path}:", err=True)
        text, position = tail(path, lines)
        typer.echo(text, nl=False)
    if follow:
        with suppress(KeyboardInterrupt):
            _follow(root, run.run_id, position)


def tail(path: Path, lines: int) -> tuple[bytes, int]:
    """Return the last ``lines`` of a file and its size; the start of the file is not read."""
    with path.open("rb") as file:
        start = end = file.seek(0, 2)
        text = b""
        while start > 0 and text.count(b"\n") <= lines:
            start = max(0, start - BLOCK)
            file.seek(start)
            text = file.read(end - start)
    return b"".join(text.splitlines(keepends=True)[-lines:]) if lines else b"", end


def log_of(root: Path, run_id: str) -> Path | None:
    """Return the log of a run, or None; the evaluations of one pass share the first one's log."""
    own = run_dir(root, run_id)
    if own.log.exists():
        return own.log
    job = job_records(root, [run_id])[run_id]
    logs = [log for other in job.run_ids if (log := run_dir(root, other).log).exists()]
    return max(logs, key=lambda path: path.stat().st_mtime, default=None)


def _follow(root: Path, run_id: str, position: int) -> None:
    running = True
    while running:
        # Checked before the log is read, so that the last lines are not missed.
        running = _may_write(root, run_id)
        if path := log_of(root, run_id):
            with path.open("rb") as file:
                file.seek(position)
                text = file.read()
            position += len(text)
            typer.echo(text, nl=False)
        if running:
            time.sleep(POLL_SECONDS)


def _may_write(root: Path, run_id: str) -> bool:
    status = current_state(run_dir(root, run_id)).status
    return status == "running" or (status == "queued" and holder(root) is not None)

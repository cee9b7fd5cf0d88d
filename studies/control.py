"""User commands to a running session: retry, cancel a run, cancel the session.

They need no lock on the root. A running session reads changed states and receives signals.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path
from typing import get_args

import psutil

from bench.errors import RootError, SpecError, unknown
from bench.runs.rundir import Failure, State, all_run_dirs, is_alive, run_dir, works_in
from studies.jobs import job_records
from studies.ledger import Holder, current_state, holder, states
from studies.runs import RunName, run_names

SETTLED_SECONDS = 5.0
"""Time within which a scheduler decides whether to retry a run that has just failed."""
SIGNAL_SECONDS = 0.5
"""Pause between two signals: the system may merge signals that follow each other at once."""
SIGNALS = 3
"""Largest number of signals from ``cancel_session(now=True)``: the first stops, the others kill."""
RETRYABLE = ("failed", "interrupted")


def failed_runs(root: Path, failure: str | None) -> list[str]:
    """Return the ids of the failed runs.

    Args:
        root: the output folder.
        failure: a class of failures, such as "oom"; None means all of them.

    Raises:
        SpecError: ``failure`` is not a class of failures.
    """
    if failure is not None and failure not in get_args(Failure):
        raise SpecError(unknown("class of failures", failure, get_args(Failure)))
    current = _settled_states(root, list(run_names(root)))
    return [i for i, s in current.items() if s.status == "failed" and failure in (None, s.failure)]


def queue_again(root: Path, run_ids: list[str]) -> list[str]:
    """Queue failed or interrupted runs again.

    With an evaluation, its training is queued too if that failed or was interrupted. With a
    training, the evaluations that failed because of it are queued too.

    Args:
        root: the output folder.
        run_ids: the runs to queue; those of another status stay as they are.

    Returns:
        The ids of all runs that were queued, trainings first.
    """
    stopped = {
        i: s
        for i, s in _settled_states(root, list(run_names(root))).items()
        if s.status in RETRYABLE
    }
    records = job_records(root, stopped)
    sources = {run_id: records[run_id].source for run_id in stopped}
    wanted = {run_id for run_id in run_ids if run_id in stopped}
    wanted |= {source for i in wanted if (source := sources[i]) in stopped}
    for run_id, state in stopped.items():
        if sources[run_id] in wanted and (state.reason or "").startswith("its training "):
            wanted.add(run_id)
    # A running scheduler that saw an evaluation before its training would fail it again.
    ordered = sorted(wanted, key=lambda run_id: sources[run_id] is not None)
    return [run_id for run_id in ordered if _queue_run(root, run_id)]


def _queue_run(root: Path, run_id: str) -> bool:
    directory = run_dir(root, run_id)
    if directory.state().status not in RETRYABLE or directory.imported.exists():
        return False
    directory.write_state(status="queued", failure=None, reason=None, attempts=0, lease=None)
    return True


def _settled_states(root: Path, run_ids: list[str]) -> dict[str, State]:
    """Return the states of runs, after waiting for a scheduler to decide on recent failures."""
    settled = states(root, run_ids)
    latest = max((s.updated for s in settled.values() if s.status == "failed"), default=0.0)
    wait = latest + SETTLED_SECONDS - time.time()
    if wait > 0 and holder(root) is not None:
        time.sleep(min(wait, SETTLED_SECONDS))
        settled = states(root, run_ids)
    return settled


def cancel_run(root: Path, run: RunName) -> str:
    """Stop a running run with a checkpoint, or remove a queued run from the queue.

    Returns:
        One sentence for the user about what was done.

    Raises:
        SpecError: the run is neither running nor queued in a session.
        RootError: the run's worker is on another host or belongs to another user.
    """
    directory = run_dir(root, run.run_id)
    state = current_state(directory)
    if state.status == "running":
        return _stop_worker(root, run, state)
    if state.status != "queued":
        raise SpecError(f"{run} [{run.run_id}] is {state.status}: there is nothing to cancel")
    if holder(root) is None:
        raise SpecError(
            f"{run} is queued, but no session is running in {root}: there is nothing to cancel"
        )
    directory.write_state(status="interrupted", failure=None, reason="cancelled", lease=None)
    return (
        f"{run} [{run.run_id}] will not be started; to queue it again: segloss retry {run.run_id}"
    )


def _stop_worker(root: Path, run: RunName, state: State) -> str:
    lease = state.lease
    assert lease is not None  # every running run has one
    if lease.host != socket.gethostname():
        raise RootError(f"{run} runs on {lease.host} (process {lease.pid}): cancel it there")
    if not works_in(lease, root):
        raise RootError(f"{run} runs in another folder, of which {root} is a copy: cancel it there")
    if is_alive(lease):
        _signal(lease.pid, signal.SIGTERM)
    same_pass = [
        other
        for other, its in states(root, run_names(root)).items()
        if its.status == "running" and its.lease == lease and other != run.run_id
    ]
    others = f", with {len(same_pass)} more of the same pass," if same_pass else ""
    return f"{run} [{run.run_id}]{others} was asked to stop with a checkpoint (process {lease.pid})"


def cancel_session(root: Path, *, now: bool = False) -> str:
    """Stop the running session of an output folder.

    Args:
        root: the output folder.
        now: whether to kill the workers, as a second Ctrl-C does. Otherwise they write a checkpoint
            first, as after one Ctrl-C.

    Returns:
        One sentence for the user about what was done.

    Raises:
        RootError: no session is running, or its process cannot be stopped from here.
    """
    scheduler = holder(root)
    if scheduler is None:
        raise RootError(f"{root}: no session is running here")
    _check_holder(root, scheduler)
    _signal(scheduler.pid, signal.SIGINT)
    if not now:
        return f"{scheduler} was asked to stop: its runs write a checkpoint first"
    for _ in range(SIGNALS - 1):
        time.sleep(SIGNAL_SECONDS)
        if not any(current_state(run).status == "running" for run in all_run_dirs(root)):
            break
        if holder(root) == scheduler:
            _signal(scheduler.pid, signal.SIGINT)
    return f"{scheduler} was asked to stop at once, and its workers were killed"


def _check_holder(root: Path, scheduler: Holder) -> None:
    """Raise RootError unless the process is on this host and has the lock file open."""
    if scheduler.host != socket.gethostname():
        raise RootError(f"{root} is in use by {scheduler}: cancel it there")
    lock = (root / "lock").resolve()
    try:
        opened = {Path(file.path) for file in psutil.Process(scheduler.pid).open_files()}
    except (psutil.Error, ValueError) as error:
        raise RootError(
            f"{root} is in use by {scheduler}, which cannot be inspected: {error}"
        ) from None
    if lock not in opened:
        raise RootError(f"{root} is in use, but not by {scheduler}; nothing was stopped")


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    except PermissionError:
        raise RootError(f"process {pid} belongs to another user: it cannot be stopped") from None

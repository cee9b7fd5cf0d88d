"""What a person says to a night: try these runs again, stop that one, stop altogether.

Nothing here needs the root's lock: a night may be at work and hears of it through the ledger and
by signals.
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
from bench.runs.lease import is_alive
from bench.runs.rundir import Failure, State, all_run_dirs, run_dir
from studies.jobs import job_records
from studies.ledger import Holder, current_state, holder, states
from studies.runs import RunName, run_names

# So long a scheduler may take to answer a failure by itself.
SETTLED_SECONDS = 5.0
# A scheduler counts signals at every poll; two within one poll would be one.
SIGNAL_SECONDS = 0.5
SIGNALS = 3
RETRYABLE = ("failed", "interrupted")


def failed_runs(root: Path, failure: str | None) -> list[str]:
    """Ids of the failed runs, or of those of one class; raises SpecError for no class."""
    if failure is not None and failure not in get_args(Failure):
        raise SpecError(unknown("class of failures", failure, get_args(Failure)))
    found = _settled_states(root, list(run_names(root)))
    return [i for i, s in found.items() if s.status == "failed" and failure in (None, s.failure)]


def queue_again(root: Path, run_ids: list[str]) -> list[str]:
    """Queue failed or interrupted runs, the training and the evaluations that go with them.

    Returns the ids of what is queued now; a run that is anything else meanwhile is left alone.
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
    # An evaluation that is seen before its training would only fail once more.
    ordered = sorted(wanted, key=lambda run_id: sources[run_id] is not None)
    return [run_id for run_id in ordered if _queue_run(root, run_id)]


def _queue_run(root: Path, run_id: str) -> bool:
    directory = run_dir(root, run_id)
    if directory.state().status not in RETRYABLE:
        return False
    directory.write_state(status="queued", failure=None, reason=None, attempts=0, lease=None)
    return True


def _settled_states(root: Path, run_ids: list[str]) -> dict[str, State]:
    """Where the runs stand, once a living scheduler has had its say on what failed just now."""
    found = states(root, run_ids)
    latest = max((s.updated for s in found.values() if s.status == "failed"), default=0.0)
    wait = latest + SETTLED_SECONDS - time.time()
    if wait > 0 and holder(root) is not None:
        time.sleep(min(wait, SETTLED_SECONDS))
        found = states(root, run_ids)
    return found


def cancel_run(root: Path, run: RunName) -> str:
    """Stop one run with a checkpoint, or take it out of the queue; returns what was done."""
    directory = run_dir(root, run.run_id)
    state = current_state(directory)
    if state.status == "running":
        return _stop_worker(root, run, state)
    if state.status != "queued":
        raise SpecError(f"{run} [{run.run_id}] is {state.status}: there is nothing to cancel")
    if holder(root) is None:
        raise SpecError(f"{run} is queued and no night runs on {root}: there is nothing to cancel")
    directory.write_state(status="interrupted", failure=None, reason="cancelled", lease=None)
    return f"{run} [{run.run_id}] will not be started; segloss retry {run.run_id} takes it back"


def _stop_worker(root: Path, run: RunName, state: State) -> str:
    lease = state.lease
    assert lease is not None  # without one it would not be running
    if lease.host != socket.gethostname():
        raise RootError(f"{run} runs on {lease.host} (process {lease.pid}): cancel it there")
    if is_alive(lease):
        _signal(lease.pid, signal.SIGTERM)
    same = [
        other
        for other, its in states(root, run_names(root)).items()
        if its.status == "running" and its.lease == lease and other != run.run_id
    ]
    along = f", with {len(same)} more of the same pass," if same else ""
    return f"{run} [{run.run_id}]{along} was asked to end with a checkpoint (process {lease.pid})"


def cancel_session(root: Path, *, now: bool = False) -> str:
    """Stop the night as Ctrl-C does, or ``now`` as a second one does; returns what was done."""
    found = holder(root)
    if found is None:
        raise RootError(f"{root}: no night runs here")
    _check_holder(root, found)
    _signal(found.pid, signal.SIGINT)
    if not now:
        return f"{found} was asked to stop: what runs writes a checkpoint first"
    for _ in range(SIGNALS - 1):
        time.sleep(SIGNAL_SECONDS)
        if not any(current_state(run).status == "running" for run in all_run_dirs(root)):
            break
        if holder(root) == found:
            _signal(found.pid, signal.SIGINT)
    return f"{found} was told to end, and its workers were killed"


def _check_holder(root: Path, found: Holder) -> None:
    """Raise RootError unless the process is of this host and has the lock's file open."""
    if found.host != socket.gethostname():
        raise RootError(f"{root} is in use by {found}: cancel it there")
    lock = (root / "lock").resolve()
    try:
        opened = {Path(file.path) for file in psutil.Process(found.pid).open_files()}
    except (psutil.Error, ValueError) as error:
        raise RootError(
            f"{root} is in use by {found}, which cannot be looked at: {error}"
        ) from None
    if lock not in opened:
        raise RootError(f"{root} is in use, but not by {found}; nothing was stopped")


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    except PermissionError:
        raise RootError(f"process {pid} belongs to another user: it cannot be stopped") from None

"""The ledger of a root: the lock that admits one scheduler, and the state of each run."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bench.errors import RootError
from bench.files import write_json
from bench.runs.heartbeat import is_held
from bench.runs.rundir import RunDir, State, is_alive, own_lease, run_dir, works_in

DONE = ("finished", "diverged")
SILENT_SECONDS = 600.0
"""A worker on another host counts as dead after this time without a heartbeat."""
LATE_SECONDS = 10.0
"""Time without a heartbeat after which a worker's own root is asked for, which costs 5 ms."""
LOCK_SECONDS = 0.15
"""Longest wait for the lock: ``holder`` takes it for a moment."""
LINES = 20
"""Number of lines that fit on a screen together with the counts and the prompt."""
REPLACED = "replaced"
"""Folder of a root that holds the results which ``set_aside`` moved."""
ORDER = ("failed", "diverged", "interrupted", "running", "queued")
"""Unfinished statuses, the most urgent one first."""
RESERVE_BYTES = 2**18
"""Size of a root's reserve file."""
STATE_BYTES = 2**15
"""Room in the reserve file that one state takes: less than 1 kB in blocks of up to 32 kB."""


@contextmanager
def lock_root(root: Path) -> Iterator[None]:
    """Lock ``root`` for this process; raises RootError if it is in use or not writable.

    A root that did not exist and that nothing was written to is removed again.
    """
    is_new = not root.exists()
    make_root(root)
    path = root / "lock"
    lock = FileLock(path, LOCK_SECONDS, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        other = path.read_text().strip() or "another process"
        raise RootError(
            f"{root} is in use by {other}; wait for it to end or choose another --root"
        ) from None
    except OSError as error:
        raise RootError(
            f"{root}: cannot be locked: {error.strerror}; choose another --root"
        ) from None
    try:
        lease = own_lease()
        path.write_text(f"process {lease.pid} on {lease.host}")
        yield
    finally:
        if is_new:
            _remove_empty(root)
        lock.release()


def _remove_empty(root: Path) -> None:
    """Remove a root that holds the lock file and no run, such as that of a refused study."""
    with suppress(OSError):
        if {path.name for path in root.iterdir()} == {"lock", "runs"}:
            (root / "runs").rmdir()
            (root / "lock").unlink()
            root.rmdir()


@dataclass(frozen=True)
class Holder:
    """The process that has locked a root: its scheduler."""

    pid: int
    host: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def holder(root: Path) -> Holder | None:
    """Return the scheduler that has locked ``root``, or None if the lock is free."""
    path = root / "lock"
    try:
        if not is_held(path):
            return None
        text = re.fullmatch(r"process (\d+) on (.+)", path.read_text().strip())
    except OSError:  # no lock file, or a file system without locks
        return None
    return Holder(int(text[1]), text[2]) if text else Holder(0, "an unknown host")


def write_state(directory: RunDir, **changes: Any) -> State:
    """Change fields of a run's state; on a full disk, take the room from the root's reserve file.

    Returns:
        The new state, even if it could not be written: the scheduler has to continue.
    """
    with suppress(OSError):
        return directory.write_state(**changes)
    try:
        reserve = directory.root / "reserve"
        os.truncate(reserve, max(0, reserve.stat().st_size - STATE_BYTES))
        return directory.write_state(**changes)
    except OSError:
        return directory.state().model_copy(update=changes)
    finally:
        keep_reserve(directory.root)


def keep_reserve(root: Path) -> None:
    """Fill up the reserve file, which keeps room for states when the disk is full."""
    with suppress(OSError), (root / "reserve").open("ab", buffering=0) as reserve:
        reserve.write(bytes(max(0, RESERVE_BYTES - reserve.tell())))


def make_root(root: Path) -> None:
    """Create ``root`` and write a test file; raises RootError with the reason if that fails."""
    try:
        (root / "runs").mkdir(parents=True, exist_ok=True)
        probe = root / ".probe"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise RootError(
            f"{root}: cannot be written: {error.strerror}; choose another --root"
        ) from None


def current_state(directory: RunDir) -> State:
    """Return the state of a run; interrupted if its worker has ended or its result is missing."""
    state = directory.state()
    if state.status == "finished" and not directory.has_result():
        return state.model_copy(update={"status": "interrupted", "reason": "its result is missing"})
    if state.status != "running":
        return state
    quiet = time.time() - state.updated
    if state.lease is None or not is_alive(state.lease, silent=quiet > SILENT_SECONDS):
        return state.model_copy(update={"status": "interrupted", "reason": "its worker ended"})
    if quiet > LATE_SECONDS and not works_in(state.lease, directory.root):
        reason = "its worker works in the folder that this is a copy of"
        return state.model_copy(update={"status": "interrupted", "reason": reason})
    return state


def states(root: Path, run_ids: Iterable[str]) -> dict[str, State]:
    """Return the recorded state of each run by its id; a run without a directory is queued."""
    return {run_id: run_dir(root, run_id).state() for run_id in run_ids}


def set_aside(root: Path, run_ids: Iterable[str]) -> Path:
    """Move the results of runs out of ``runs/``, so that they are made again; return their folder.

    A move is one rename, so a kill leaves each run in one of the two places.

    Args:
        root: the output folder, which the caller has locked.
        run_ids: the runs, evaluations before their trainings.
    """
    folder = root / REPLACED / time.strftime("%Y-%m-%d-%H%M%S")
    folder.mkdir(parents=True, exist_ok=True)
    for run_id in run_ids:
        (root / "runs" / run_id).rename(folder / run_id)
    return folder


def check_weights(root: Path, sources: Mapping[str, str], labels: Mapping[str, str]) -> None:
    """Raise RootError if an unfinished evaluation needs weights that a bundle left out.

    Args:
        root: the output folder.
        sources: the training whose weights each evaluation scores, by their ids.
        labels: label of the row of each run by its id.
    """
    for run_id, source in sources.items():
        training = run_dir(root, source)
        lost = training.published.exists() and not training.weights.exists()
        if lost and run_dir(root, run_id).state().status not in DONE:
            raise RootError(
                f"{labels.get(run_id, run_id)} [{run_id}] needs the weights of {source}, which "
                f"came with a bundle: bundles hold none. Delete {training.path}, and the same "
                "command trains it again; or give segloss sync --from the root that has them"
            )


def mark_kept(root: Path, run_ids: Iterable[str], stale: Mapping[str, str]) -> None:
    """Note in the state of each run in which parts it behaves differently and is used all the same.

    The time of the state stays: the run has not changed.

    Args:
        root: the output folder, which the caller has locked.
        run_ids: the finished runs that were compared.
        stale: the parts of each run that behave differently; the mark of any other is removed.
    """
    for run_id in run_ids:
        directory = run_dir(root, run_id)
        state = directory.state()
        if state.kept != stale.get(run_id):
            marked = state.model_copy(update={"kept": stale.get(run_id)})
            write_json(directory.path / "state.json", marked.model_dump(mode="json"))


def summary(states: Iterable[State]) -> str:
    """Return the counts by status in one line, such as "12 finished, 2 running, 1 failed"."""
    counts = Counter(state.status for state in states)
    order = ("finished", "diverged", "running", "queued", "interrupted", "failed")
    return ", ".join(f"{counts[status]} {status}" for status in order if counts[status])


def unfinished(
    names: Mapping[str, str], states: Mapping[str, State], limit: int = LINES
) -> list[str]:
    """Return lines about the unfinished runs, failures first.

    If there are more runs than ``limit``, those of the same status and reason share a line, and
    the most frequent reasons come first.

    Args:
        names: the name of each run by its id.
        states: the state of each run by its id.
        limit: the largest number of runs that are listed one by one, and of reasons.
    """
    groups = sorted(_by_reason(states), key=lambda ids: (_rank(states[ids[0]]), -len(ids)))
    one_by_one = sum(map(len, groups)) <= limit
    lines = []
    for ids in groups if one_by_one else groups[:limit]:
        if one_by_one or len(ids) == 1:
            lines += [_line(names[run_id], run_id, states[run_id]) for run_id in ids]
        else:
            lines.append(_counted(names[ids[0]], ids, states[ids[0]]))
    rest = [] if one_by_one else groups[limit:]
    if rest:
        lines.append(f"  and {sum(map(len, rest))} runs for {len(rest)} other reasons")
    return lines


def failure(state: State) -> str:
    """Return failure class and reason, such as ": oom: no memory for 2 GiB"; empty if unknown."""
    return "".join(f": {part}" for part in (state.failure, state.reason) if part)


def _by_reason(states: Mapping[str, State]) -> list[list[str]]:
    """Return the unfinished runs, grouped by status and reason; numbers in reasons are ignored."""
    groups: dict[tuple[str | None, ...], list[str]] = {}
    for run_id, state in states.items():
        if state.status != "finished":
            reason = re.sub(r"\d+", "#", state.reason or "")
            groups.setdefault((state.status, state.failure, reason), []).append(run_id)
    return list(groups.values())


def _rank(state: State) -> int:
    return ORDER.index(state.status) if state.status in ORDER else len(ORDER)


def _line(name: str, run_id: str, state: State) -> str:
    return f"  {state.status:<11} {name} [{run_id}]{_progress(state)}{failure(state)}"


def _counted(name: str, ids: list[str], state: State) -> str:
    example = f"{name} [{ids[0]}]{_progress(state)}"
    return f"  {state.status:<11} {len(ids)} runs{failure(state)} (the first is {example})"


def _progress(state: State) -> str:
    return f" at step {state.step}/{state.steps}" if state.steps else ""

"""A worker's leases: heartbeats, stop requests, and pauses while another run is timed.

No torch here.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.errors import HeldError, StoppedError
from bench.files import write_json
from bench.runs.rundir import TIMING_LOCK, RunDir, is_alive, own_lease, works_in
from bench.spec import RunSpec

HEARTBEAT_SECONDS = 2.0


class Heartbeat:
    """The leases of one worker on its runs.

    Attributes:
        run_dirs: The runs, all of one root.
        parent: Process that started the worker; the worker stops when it ends. None: no such one.
        stop_requested: Whether the worker is to stop, with a checkpoint if there is one to write.
        orphaned: Whether ``parent`` has ended.
        timing: Pauses this worker while another one measures a time, and the other way round.
    """

    def __init__(self, run_dirs: list[RunDir], parent: int | None) -> None:
        self.run_dirs = run_dirs
        self.parent = parent
        self.stop_requested = False
        self.orphaned = False
        self.last_pulse = time.monotonic()
        self.last_step: int | None = None
        self.timing = ExclusiveTiming(run_dirs[0].root)

    def acquire_leases(self, specs: list[RunSpec], environment: dict[str, Any]) -> None:
        """Take the lease of every run and record the environment.

        Raises:
            HeldError: A living worker has one of the leases; none was taken.
        """
        states = [directory.state() for directory in self.run_dirs]
        for state in states:
            lease = state.lease if state.status == "running" else None
            if lease and is_alive(lease) and works_in(lease, self.run_dirs[0].root):
                raise HeldError
        for directory, state, spec in zip(self.run_dirs, states, specs, strict=True):
            directory.write_state(
                status="running",
                failure=None,
                reason=None,
                lease=own_lease(),
                started=state.started or time.time(),
                activity="reading images",
                steps=spec.recipe.steps,
            )
            write_json(directory.path / "env.json", environment)

    def pulse(self, step: int | None = None, activity: str | None = None) -> None:
        """Write a heartbeat if one is due; first pause for a worker that measures a time.

        Args:
            step: Steps done so far by a training; None for a worker that has no checkpoint.
            activity: What the worker does besides steps, for those who watch.

        Raises:
            StoppedError: The worker is to stop, and there is no step: nothing to keep.
        """
        self.timing.yield_to_timing()
        self.last_step = self.last_step if step is None else step
        if time.monotonic() - self.last_pulse < HEARTBEAT_SECONDS:
            return
        self.last_pulse = time.monotonic()
        self.orphaned = self.parent is not None and os.getppid() != self.parent
        self.stop_requested |= self.orphaned
        for directory in self.run_dirs:
            try:
                steps = {} if self.last_step is None else {"step": self.last_step}
                directory.write_state(activity=activity, **steps)
            except OSError as error:  # a full disk: the run may still finish
                log_line(f"no heartbeat: {error}")
        if self.stop_requested and step is None:
            raise StoppedError


def log_line(line: str) -> None:
    """Print a line to the log; on a full disk it is lost."""
    with contextlib.suppress(OSError):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


class ExclusiveTiming:
    """One worker's hold on the two locks of a root.

    A worker holds the work lock shared while it works. To measure a time, it first takes the
    request lock (the others pause at it between two steps), then the work lock exclusively.
    """

    def __init__(self, root: Path) -> None:
        host = socket.gethostname()
        self.work_lock = SharedLock(root / f"{TIMING_LOCK}{host}")
        self.request_lock = SharedLock(root / f"{TIMING_LOCK}gate-{host}")
        self.is_exclusive = False
        self.work_lock.share()

    def yield_to_timing(self) -> None:
        """Pause while another worker measures a time; without one return at once."""
        if self.is_exclusive:
            return
        if not self.request_lock.share(wait=False):
            self.work_lock.release()
            self.request_lock.share()
            self.work_lock.share()
        self.request_lock.release()

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Let no other worker of this root and host work inside the block."""
        # Of two workers that want the request lock neither may hold the work lock meanwhile.
        self.work_lock.release()
        self.request_lock.hold_alone()
        self.work_lock.hold_alone()
        self.is_exclusive = True
        try:
            yield
        finally:
            self.is_exclusive = False
            self.work_lock.share()
            self.request_lock.release()

    def close(self) -> None:
        """Close both lock files, which releases the locks."""
        self.work_lock.close()
        self.request_lock.close()


class SharedLock:
    """One process's hold on a lock file: shared, exclusive or none.

    The project's other locks are filelock's, which are exclusive only. The system frees both kinds
    with the process that held them, so a killed process keeps nobody waiting.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)

    def share(self, *, wait: bool = True) -> bool:
        """Hold the lock shared.

        Args:
            wait: Whether to wait for a process that holds it exclusively.

        Returns:
            Whether the lock is held now: always, if ``wait``.
        """
        return _flock(self._file, fcntl.LOCK_SH, wait=wait)

    def hold_alone(self) -> None:
        """Wait until no other process holds the lock, then hold it exclusively."""
        _flock(self._file, fcntl.LOCK_EX, wait=True)

    def release(self) -> None:
        """Give the lock back; the file stays open."""
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file, which gives the lock back."""
        os.close(self._file)


def is_held(path: Path) -> bool:
    """Return whether a process holds the lock file exclusively, filelock's included.

    Raises OSError where the file is missing or its file system has no locks. Two processes may ask
    at once: each holds the lock shared for a moment.
    """
    file = os.open(path, os.O_RDONLY)
    try:
        return not _flock(file, fcntl.LOCK_SH, wait=False)
    finally:
        os.close(file)


def _flock(file: int, operation: int, *, wait: bool) -> bool:
    try:
        fcntl.flock(file, operation if wait else operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

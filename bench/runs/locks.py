"""The locks of exclusive timing: while one worker measures a time, the others on its root pause.

A worker holds the work lock shared while it works. To measure a time, it first takes the request
lock (the others pause at it between two steps), then the work lock exclusively. The project's other
locks are filelock's, which are exclusive only. The system frees both kinds with the process that
held them, so a killed process keeps nobody waiting.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class ExclusiveTiming:
    """One worker's hold on the two locks of a root."""

    def __init__(self, root: Path) -> None:
        host = socket.gethostname()
        self.work_lock = SharedLock(root / f".timing-{host}")
        self.request_lock = SharedLock(root / f".timing-gate-{host}")
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

    @contextmanager
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
    """One process's hold on a lock file: shared, exclusive or none."""

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

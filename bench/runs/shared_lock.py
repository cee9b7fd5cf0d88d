"""A lock on a file that several processes can hold at once.

The project's other locks are filelock's, which are exclusive only. The system frees both kinds with
the process that held them, so a killed process keeps nobody waiting.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


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

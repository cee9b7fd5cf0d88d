"""Quiet: one process at a time is timed, while the others on the same root hold their breath.

Workers hold a shared lock while they work. Who wants to time something takes the gate, at which the
others give way between two steps, and then the lock for itself. The system frees both with the
process that held them, so a killed worker keeps nobody waiting.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Quiet:
    """One worker's side of it."""

    def __init__(self, root: Path) -> None:
        names = (f".{kind}-{socket.gethostname()}" for kind in ("timing", "timing-gate"))
        self.room, self.gate = (os.open(root / name, os.O_RDWR | os.O_CREAT) for name in names)
        self.timed = False
        fcntl.flock(self.room, fcntl.LOCK_SH)

    def give_way(self) -> None:
        """Wait where another process wants to be timed; else return at once."""
        if self.timed:
            return
        try:
            fcntl.flock(self.gate, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(self.room, fcntl.LOCK_UN)
            fcntl.flock(self.gate, fcntl.LOCK_SH)
            fcntl.flock(self.room, fcntl.LOCK_SH)
        fcntl.flock(self.gate, fcntl.LOCK_UN)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only worker at work inside the block."""
        fcntl.flock(self.room, fcntl.LOCK_UN)  # two that wait for the gate must not hold it
        fcntl.flock(self.gate, fcntl.LOCK_EX)
        fcntl.flock(self.room, fcntl.LOCK_EX)
        self.timed = True
        try:
            yield
        finally:
            self.timed = False
            fcntl.flock(self.room, fcntl.LOCK_SH)
            fcntl.flock(self.gate, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of both."""
        os.close(self.room)
        os.close(self.gate)

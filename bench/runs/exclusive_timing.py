"""Exclusive timing: while one worker measures a time, the others on the same root pause.

A worker holds the work lock shared while it works. To measure a time, it first takes the request
lock (the others pause at it between two steps), then the work lock exclusively.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.runs.shared_lock import SharedLock


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

"""A thread that keeps the store up to date while a session runs."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bench.errors import SeglossError
from bench.manifest import Manifest
from bench.store.client import StoreError
from bench.store.mirror import Mirror

SYNC_SECONDS = 15.0
SHARE_OF_A_CORE = 1 / 50
LONGEST_PAUSE_SECONDS = 60.0
FINISH_SECONDS = 120.0
"""Time that the end of a session allows the store; `segloss sync` writes what is missing then."""


class MirrorThread(threading.Thread):
    """Mirrors studies every few seconds; a failure of the store never affects a run."""

    def __init__(
        self, mirror: Mirror, root: Path, manifests: list[Manifest], first: Callable[[], None]
    ) -> None:
        """Prepare the thread.

        Args:
            mirror: writes the studies.
            root: the output folder.
            manifests: the studies; may be replaced while the thread runs.
            first: called once in the thread before the first sync; its errors are ignored.
        """
        super().__init__(name="mirror", daemon=True)
        self.mirror, self.root, self.manifests = mirror, root, manifests
        self.first = first
        self.changed = threading.Event()
        self.ending = threading.Event()
        self.deadline: float | None = None
        self.error: SeglossError | None = None

    def run(self) -> None:
        """Sync whenever ``changed`` is set and every few seconds, until ``finish`` is called."""
        with contextlib.suppress(Exception):
            self.first()
        while not self.ending.is_set():
            self.changed.wait(SYNC_SECONDS)
            self.changed.clear()
            began = time.thread_time()
            self._sync()
            pause = (time.thread_time() - began) / SHARE_OF_A_CORE
            self.ending.wait(min(pause, LONGEST_PAUSE_SECONDS))
        self._sync()

    def finish(self) -> None:
        """Write what is missing, then end the thread; ``error`` says what could not be written."""
        self.deadline = time.monotonic() + FINISH_SECONDS
        self.ending.set()
        self.changed.set()
        if self.ident is not None:
            self.join(2 * FINISH_SECONDS)  # a call that is under way has a time limit of its own
            if self.is_alive():
                self.error = StoreError(f"store {self.mirror.uri}: it does not answer")

    def _is_late(self) -> bool:
        return self.deadline is not None and time.monotonic() > self.deadline

    def _sync(self) -> None:
        try:
            for manifest in self.manifests:
                self.mirror.sync(self.root, manifest, self._is_late)
            self.error = None
        except SeglossError as error:
            self.error = error
        except Exception as error:  # any other error must not end the thread before the session
            self.error = StoreError(f"{type(error).__name__}: {error}")

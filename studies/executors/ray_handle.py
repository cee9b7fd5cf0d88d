"""The handle of a worker on a Ray cluster, and the end of a worker whose node is lost."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench.runs.rundir import RunDir, is_alive
from studies.ledger import write_state

LOST_SECONDS = 30.0
"""A lost worker without a heartbeat for so long has ended.

Workers write a heartbeat every 2 seconds, and stop when their parent ends.
"""
INSIST_SECONDS = 10.0
"""The time that a place has to kill its worker before the place itself is killed."""
KILLED = -9
"""The exit code of a process that got SIGKILL."""


class Handle:
    """A worker in a place of the cluster."""

    def __init__(
        self,
        ray: Any,
        place: Any,
        host: str,
        code: Any,
        *,
        run_dirs: list[RunDir],
        release: Callable[[Handle], None],
    ) -> None:
        """Take over a worker that was started.

        Args:
            ray: the module ray, connected.
            place: the actor that started the worker.
            host: the name of the place's node.
            code: Ray's reference to the worker's exit code.
            run_dirs: the runs of the worker.
            release: called with this handle once the worker has ended.
        """
        self.ray, self.place, self.host, self.code = ray, place, host, code
        self.run_dirs = run_dirs
        self.release = release
        self.asked_to_end = False
        self.killed: float | None = None
        self.lost: _Lost | None = None
        self.over: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, or None while the worker is running."""
        if self.over is None:
            self.over = self._code() if self.lost is None else self._code_of_lost(self.lost)
            if self.over is not None:
                self._give_back()
                self.release(self)
        return self.over

    def stop(self) -> None:
        """Ask the worker to write a checkpoint and end."""
        self.asked_to_end = True
        self.place.signal.remote(signal.SIGTERM)

    def kill(self) -> None:
        """End the worker and its children at once; later its place, if the worker still runs."""
        self.asked_to_end = True
        self.killed = self.killed or time.monotonic()
        self.place.signal.remote(signal.SIGKILL)

    def _code(self) -> int | None:
        if not self.ray.wait([self.code], timeout=0)[0]:
            if self.killed and time.monotonic() - self.killed > INSIST_SECONDS:
                self._give_back()
            return None
        try:
            return self.ray.get(self.code)
        except self.ray.exceptions.RayError as error:
            self._give_back()  # a node that only seemed lost must not continue
            why = f"its node {self.host}, or Ray's process there, was lost: {one_line(error)}"
            self.lost = _Lost(self.run_dirs, why)
            return None

    def _code_of_lost(self, lost: _Lost) -> int | None:
        """Return the exit code of a worker whose place is lost, or None until it has ended."""
        if not self.killed and not lost.is_over():
            return None
        lost.note(asked_to_end=self.asked_to_end)
        return KILLED

    def _give_back(self) -> None:
        with contextlib.suppress(self.ray.exceptions.RayError):
            self.ray.kill(self.place)


@dataclass
class _Lost:
    """The runs of a worker whose place is lost."""

    run_dirs: list[RunDir]
    why: str
    last_update: list[float] = field(default_factory=list)
    """When the state of each run was last written, in seconds since the epoch."""
    since: float = 0.0
    """When ``last_update`` last changed, by this process's monotonic clock."""

    def is_over(self) -> bool:
        """Return whether the worker has ended, by its pid here or its heartbeats elsewhere."""
        states = [directory.state() for directory in self.run_dirs]
        last_update = [state.updated for state in states]
        if last_update != self.last_update:
            self.last_update, self.since = last_update, time.monotonic()
        silent = time.monotonic() - self.since > LOST_SECONDS
        return not any(
            # A worker that is still starting may take a queued run; without its parent it stops.
            (state.status == "queued" and not silent)
            or (state.status == "running" and state.lease and is_alive(state.lease, silent=silent))
            for state in states
        )

    def note(self, *, asked_to_end: bool) -> None:
        """Release the runs, and record them as failed unless their worker was asked to end."""
        failed = {"status": "failed", "failure": "killed", "reason": self.why}
        changes = {} if asked_to_end else failed
        for directory in self.run_dirs:
            if directory.state().status in ("queued", "running", "interrupted"):
                write_state(directory, **changes, lease=None)


def one_line(error: Exception) -> str:
    """Return an error's message in one line of at most 300 characters."""
    text = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    return " ".join(text.split())[:300]

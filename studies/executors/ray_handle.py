"""The handle of a worker on a Ray cluster, and what becomes of one whose node is lost."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench.runs.lease import is_alive
from bench.runs.rundir import RunDir
from studies.ledger import write_state

# A worker beats every two seconds and stops when it is left alone; a lost one that has been silent
# for so long is gone.
LOST_SECONDS = 30.0
# So long a place has for killing its worker before it is killed itself.
INSIST_SECONDS = 10.0
KILLED = -9


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
        """Follow a worker that was started.

        Args:
            ray: the module, connected.
            place: the actor that started it.
            host: the name of the place's node.
            code: reference to its exit code.
            run_dirs: the runs it was given.
            release: hears that it is over.
        """
        self.ray, self.place, self.host, self.code = ray, place, host, code
        self.run_dirs = run_dirs
        self.release = release
        self.asked = False
        self.killed: float | None = None
        self.lost: _Lost | None = None
        self.over: int | None = None

    def poll(self) -> int | None:
        """Exit code, or None while it runs."""
        if self.over is None:
            self.over = self._code() if self.lost is None else self._code_of_lost(self.lost)
            if self.over is not None:
                self._give_back()
                self.release(self)
        return self.over

    def stop(self) -> None:
        """Ask the worker to write a checkpoint and end."""
        self.asked = True
        self.place.signal.remote(signal.SIGTERM)

    def kill(self) -> None:
        """End the worker and its children at once; its place, if it does not do that."""
        self.asked = True
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
            self._give_back()  # a node that only seemed lost must not go on
            why = f"its node {self.host}, or Ray's process there, was lost: {one_line(error)}"
            self.lost = _Lost(self.run_dirs, why)
            return None

    def _code_of_lost(self, lost: _Lost) -> int | None:
        """The code of a worker whose place is gone, once it is gone too."""
        if not self.killed and not lost.is_over():
            return None
        lost.note(asked=self.asked)
        return KILLED

    def _give_back(self) -> None:
        with contextlib.suppress(self.ray.exceptions.RayError):
            self.ray.kill(self.place)


@dataclass
class _Lost:
    """Runs whose worker has lost its place."""

    run_dirs: list[RunDir]
    why: str
    last_update: list[float] = field(default_factory=list)
    """When the state of each run was last written, in seconds since the epoch."""
    since: float = 0.0
    """When ``last_update`` last changed, by this process's monotonic clock."""

    def is_over(self) -> bool:
        """Whether their worker has ended: seen by its pid here, by its silence from elsewhere."""
        states = [directory.state() for directory in self.run_dirs]
        last_update = [state.updated for state in states]
        if last_update != self.last_update:
            self.last_update, self.since = last_update, time.monotonic()
        silent = time.monotonic() - self.since > LOST_SECONDS
        return not any(
            # One that is still starting up will take a queued run, find itself alone, and leave it.
            (state.status == "queued" and not silent)
            or (state.status == "running" and state.lease and is_alive(state.lease, silent=silent))
            for state in states
        )

    def note(self, *, asked: bool) -> None:
        """Free the runs, and write down why they ended unless that was asked for."""
        failed = {} if asked else {"status": "failed", "failure": "killed", "reason": self.why}
        for directory in self.run_dirs:
            if directory.state().status in ("queued", "running", "interrupted"):
                write_state(directory, **failed, lease=None)


def one_line(error: Exception) -> str:
    """What an error says, in one line that is not too long."""
    said = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    return " ".join(said.split())[:300]

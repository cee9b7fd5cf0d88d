"""A worker's leases: heartbeats, stop requests, and pauses while another run is timed."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import Any

from bench.errors import HeldError, StoppedError
from bench.files import write_json
from bench.runs.locks import ExclusiveTiming
from bench.runs.rundir import RunDir, is_alive, own_lease
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
        self.timing = ExclusiveTiming(run_dirs[0].root)

    def acquire_leases(self, specs: list[RunSpec], environment: dict[str, Any]) -> None:
        """Take the lease of every run and record the environment.

        Raises:
            HeldError: A living worker has one of the leases; none was taken.
        """
        for state in (directory.state() for directory in self.run_dirs):
            if state.status == "running" and state.lease and is_alive(state.lease):
                raise HeldError
        for directory, spec in zip(self.run_dirs, specs, strict=True):
            directory.write_state(
                status="running",
                failure=None,
                reason=None,
                lease=own_lease(),
                steps=spec.recipe.steps,
            )
            write_json(directory.path / "env.json", environment)

    def pulse(self, step: int | None = None) -> None:
        """Write a heartbeat if one is due; first pause for a worker that measures a time.

        Args:
            step: Steps done so far by a training; None for a worker that has no checkpoint.

        Raises:
            StoppedError: The worker is to stop, and there is no step: nothing to keep.
        """
        self.timing.yield_to_timing()
        if time.monotonic() - self.last_pulse < HEARTBEAT_SECONDS:
            return
        self.last_pulse = time.monotonic()
        self.orphaned = self.parent is not None and os.getppid() != self.parent
        self.stop_requested |= self.orphaned
        for directory in self.run_dirs:
            try:
                directory.write_state(**({} if step is None else {"step": step}))
            except OSError as error:  # a full disk: the run may still finish
                log_line(f"no heartbeat: {error}")
        if self.stop_requested and step is None:
            raise StoppedError


def log_line(line: str) -> None:
    """Print a line to the log; on a full disk it is lost."""
    with contextlib.suppress(OSError):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

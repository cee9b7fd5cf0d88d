"""Watch: what a worker owes to others: a heartbeat, an ear, and silence when asked."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, TypeVar

from bench.errors import HeldError, StoppedError
from bench.files import write_json
from bench.runs.exclusive_timing import Quiet
from bench.runs.lease import is_alive, own_lease
from bench.runs.rundir import RunDir
from bench.spec import RunSpec

HEARTBEAT_SECONDS = 2.0
# So many images are predicted alone on the machine, once to warm up and once for the clock; the
# median of their times is what the tables show.
TIMED_IMAGES = 10

T = TypeVar("T")


class Watch:
    """The leases of one worker on its runs."""

    def __init__(self, run_dirs: list[RunDir], parent: int | None) -> None:
        self.run_dirs = run_dirs
        self.parent = parent
        self.asked_to_stop = False
        self.orphaned = False
        self.heard = time.monotonic()
        self.quiet = Quiet(run_dirs[0].root)

    def take(self, specs: list[RunSpec], environment: dict[str, Any]) -> None:
        """Take the leases; raises HeldError where a living worker has one."""
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

    def beat(self, step: int | None = None) -> None:
        """Say now and then that this process lives; give way to who is timed.

        Raises StoppedError where the end is asked for and there is no step, and so nothing to keep.
        """
        self.quiet.give_way()
        if time.monotonic() - self.heard < HEARTBEAT_SECONDS:
            return
        self.heard = time.monotonic()
        self.orphaned = self.parent is not None and os.getppid() != self.parent
        self.asked_to_stop |= self.orphaned
        for directory in self.run_dirs:
            try:
                directory.write_state(**({} if step is None else {"step": step}))
            except OSError as error:  # a full disk: the work itself may still come to its end
                say(f"no heartbeat: {error}")
        if self.asked_to_stop and step is None:
            raise StoppedError

    def timed(self, make: Callable[[], Iterator[T]]) -> Iterator[T]:
        """The items, of which the first few are made and used while no other worker is at work.

        Those are made twice, and the first time is for nothing but what only happens once: kernels
        are chosen and memory is reserved for each size.
        """
        with self.quiet.alone():
            for _ in islice(make(), TIMED_IMAGES):
                self.beat()
            items = make()
            for item in islice(items, TIMED_IMAGES):
                self.beat()
                yield item
        for item in items:
            self.beat()
            yield item


def say(line: str) -> None:
    """Print a line to the log, if there is room for it."""
    with contextlib.suppress(OSError):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

"""Jobs as processes on this machine, at most one for each slot."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from bench.errors import STOPPED
from bench.runs.rundir import pid_exists
from studies.executors.fork_server import LOST, start_server, start_worker
from studies.executors.slots import Slot


class LocalExecutor:
    """Starts workers that run the code in ``snapshot``."""

    def __init__(
        self, slots: list[Slot], *, root: Path, snapshot: Path, data_root: Path | None = None
    ) -> None:
        self.free = list(slots)
        self.threads = max(1, len(os.sched_getaffinity(0)) // len(slots))
        self.root = root
        self.snapshot = snapshot
        self.data_root = data_root
        start_server()

    @property
    def has_room(self) -> bool:
        """Whether a job can be started."""
        return bool(self.free)

    def start(self, run_dirs: list[Path]) -> Handle:
        """Start one worker on these run directories; its output goes to the first one's log.txt."""
        slot = self.free[0]
        arguments = [*map(str, run_dirs), "--threads", str(self.threads)]
        environment = {"OMP_NUM_THREADS": str(self.threads)}
        if slot.gpu is not None:
            arguments += ["--memory-share", str(slot.memory_share)]
            environment["CUDA_VISIBLE_DEVICES"] = slot.gpu
        if self.data_root is not None:
            arguments += ["--data-root", str(self.data_root)]
        worker = start_worker(self.snapshot, arguments, run_dirs[0] / "log.txt", environment)
        self.free.remove(slot)
        return Handle(worker, lambda: self.free.insert(0, slot))

    def close(self) -> None:
        """Do nothing: the fork server ends with this process."""


class Handle:
    """A worker process."""

    def __init__(self, worker: ForkServerProcess, release: Callable[[], None]) -> None:
        self.worker, self.release = worker, release
        self.over: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, or None while the worker is running."""
        if self.over is None:
            self.over = self._code()
            if self.over is not None:
                self.release()
        return self.over

    def stop(self) -> None:
        """Ask the worker to write a checkpoint and end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the worker and its children at once."""
        self._signal(signal.SIGKILL)

    def _code(self) -> int | None:
        code = self.worker.exitcode
        if code != LOST:
            return code
        # Without the fork server, its parent, the worker stops; until then it holds the run.
        assert self.worker.pid is not None
        return None if pid_exists(self.worker.pid) else STOPPED

    def _signal(self, number: signal.Signals) -> None:
        pid = self.worker.pid
        assert pid is not None
        if self.poll() is not None:
            return
        try:
            os.killpg(pid, number)
        except ProcessLookupError:  # it has no process group of its own yet
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

"""Jobs as processes on this machine, so many at once as there are slots."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

from bench.errors import STOPPED
from bench.runs.lease import pid_exists
from studies.executors.nursery import Nursery, Worker
from studies.executors.slots import Slot


class LocalExecutor:
    """Forks workers out of a nursery that runs the code in ``snapshot``."""

    def __init__(
        self,
        slots: list[Slot],
        *,
        root: Path,
        snapshot: Path,
        data_root: Path | None = None,
        nursery: Nursery | None = None,
    ) -> None:
        """Take over the ``nursery``, if one has been started already."""
        self.free = list(slots)
        self.threads = max(1, len(os.sched_getaffinity(0)) // len(slots))
        self.root = root
        self.snapshot = snapshot
        self.data_root = data_root
        self.nurseries: list[Nursery] = []
        if nursery is not None:
            self._take(nursery)

    @property
    def has_room(self) -> bool:
        """Whether a job can be started."""
        return bool(self.free)

    def start(self, run_dirs: list[Path]) -> Handle:
        """Start one worker on these run directories; its output goes to the first one's log.txt."""
        if not self.nurseries or self.nurseries[-1].ended:
            self._take(Nursery.spawned())
        nursery = self.nurseries[-1]
        slot = self.free[0]
        arguments = [*map(str, run_dirs), "--threads", str(self.threads)]
        if slot.gpu is not None:
            arguments += ["--memory-share", str(slot.memory_share)]
        if self.data_root is not None:
            arguments += ["--data-root", str(self.data_root)]
        environment = {} if slot.gpu is None else {"CUDA_VISIBLE_DEVICES": slot.gpu}
        worker = nursery.fork(arguments, run_dirs[0] / "log.txt", environment)
        self.free.remove(slot)
        return Handle(worker, nursery, lambda: self.free.insert(0, slot))

    def close(self) -> None:
        """Let the nurseries go; workers that still run end by themselves."""
        for nursery in self.nurseries:
            nursery.close()

    def _take(self, nursery: Nursery) -> None:
        self.nurseries.append(nursery)
        with contextlib.suppress(OSError):  # it is gone; who asks it for a worker will hear that
            nursery.settle(self.snapshot, self.root / "nursery.log", self.threads)


class Handle:
    """A worker process."""

    def __init__(self, worker: Worker, nursery: Nursery, release: Any) -> None:
        self.worker, self.nursery, self.release = worker, nursery, release
        self.unsent: signal.Signals | None = None
        self.over: int | None = None

    def poll(self) -> int | None:
        """Exit code, or None while it runs."""
        if self.over is None:
            self.over = self._code()
            if self.over is not None:
                self.release()
            elif self.unsent is not None:
                self._signal(self.unsent)
        return self.over

    def stop(self) -> None:
        """Ask the worker to write a checkpoint and end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the worker and its children at once."""
        self._signal(signal.SIGKILL)

    def _code(self) -> int | None:
        self.nursery.listen()
        worker = self.worker
        if worker.code is not None or not self.nursery.ended:
            return worker.code
        # Without its parent the worker stops; until then it has the run.
        return None if worker.pid is not None and pid_exists(worker.pid) else STOPPED

    def _signal(self, number: signal.Signals) -> None:
        self.nursery.listen()
        if self.worker.pid is None:
            self.unsent = number
            return
        self.unsent = None
        if self.worker.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.worker.pid, number)

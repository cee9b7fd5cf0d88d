"""Jobs as processes on this machine, so many at once as there are slots."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# Freed memory stays with the process: large buffers are not mapped anew at every step (glibc only).
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "8589934592"}


@dataclass(frozen=True)
class Handle:
    """A worker process."""

    process: subprocess.Popen[bytes]

    def poll(self) -> int | None:
        """Exit code, or None while it runs."""
        return self.process.poll()

    def stop(self) -> None:
        """Ask the worker to write a checkpoint and end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the worker and its children at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)


@dataclass(frozen=True)
class LocalExecutor:
    """Starts `python -m bench.worker` in its own process group, with its share of the cores."""

    slots: int
    data_root: Path | None = None

    @property
    def threads(self) -> int:
        """Threads for each worker."""
        return max(1, (os.cpu_count() or 1) // self.slots)

    def start(self, run_dirs: list[Path]) -> Handle:
        """Start one worker on these run directories; its output goes to the first one's log.txt."""
        command = [sys.executable, "-m", "bench.worker", *map(str, run_dirs)]
        command += ["--threads", str(self.threads), "--parent", str(os.getpid())]
        if self.data_root is not None:
            command += ["--data-root", str(self.data_root)]
        environment = {**KEEP_MEMORY, **os.environ, "OMP_NUM_THREADS": str(self.threads)}
        with (run_dirs[0] / "log.txt").open("ab") as log:
            return Handle(
                subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    start_new_session=True,
                )
            )

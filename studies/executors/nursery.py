"""The scheduler's side of a nursery: the process that local workers are forked from."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.snapshot import SOURCE, environment_of

# Freed memory stays with the process: large buffers are not mapped anew at every step (glibc only).
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "8589934592"}


@dataclass
class Worker:
    """What the nursery has said of a worker so far."""

    pid: int | None = None
    code: int | None = None


class Nursery:
    """Imports libraries from the moment it is made, and forks workers once it is settled."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            # -P: what lies in the current folder must not stand in for an installed package.
            [sys.executable, "-P", str(SOURCE / "bench" / "nursery.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**KEEP_MEMORY, **os.environ},
            start_new_session=True,
        )
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self.workers: list[Worker] = []
        self.rest = b""

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        return self.process.poll() is not None

    def settle(self, snapshot: Path, log: Path, threads: int) -> None:
        """Let workers run the code in ``snapshot`` on so many threads; what goes wrong is logged.

        Raises OSError where nobody listens.
        """
        environment = {"OMP_NUM_THREADS": str(threads), **environment_of(snapshot)}
        self._say({"snapshot": str(snapshot), "log": str(log), "environment": environment})

    def fork(self, arguments: list[str], log: Path, environment: dict[str, str]) -> Worker:
        """Ask for a worker; raises OSError where nobody listens."""
        self._say(
            {
                "id": len(self.workers),
                "arguments": arguments,
                "log": str(log),
                "environment": environment,
            }
        )
        self.workers.append(Worker())
        return self.workers[-1]

    def listen(self) -> None:
        """Take in what it has said since."""
        assert self.process.stdout is not None
        while received := _read(self.process.stdout.fileno()):
            *lines, self.rest = (self.rest + received).split(b"\n")
            for answer in map(json.loads, lines):
                worker = self.workers[answer["id"]]
                worker.pid = answer.get("pid", worker.pid)
                worker.code = answer.get("code")

    def close(self) -> None:
        """End it; its workers end by themselves."""
        if not self.workers:
            self.process.kill()  # it may still be importing
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def _say(self, request: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()


def _read(stream: int) -> bytes:
    try:
        return os.read(stream, 2**16)
    except BlockingIOError:
        return b""

"""The scheduler's side of a nursery: the process that local workers are forked from."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from bench import nursery
from bench.snapshot import PACKAGES, environment_of


@dataclass
class Worker:
    """What the nursery has said of a worker so far."""

    pid: int | None = None
    code: int | None = None


class Nursery:
    """Forks workers once it is settled."""

    def __init__(self, begin: Callable[[int, int, tuple[int, int]], int]) -> None:
        """One that ``begin`` starts, given its input, its output and our ends; returns its pid."""
        heard, self.requests = os.pipe()
        self.answers, said = os.pipe()
        self.pid = begin(heard, said, (self.requests, self.answers))
        os.close(heard)
        os.close(said)
        os.set_blocking(self.answers, False)
        self.gone = False
        self.workers: list[Worker] = []
        self.rest = b""

    @classmethod
    def forked(cls) -> Nursery:
        """A fork of this process, which has the libraries then but has used none of them.

        The scheduler needs them too, and where cores are few two imports at a time take each
        nearly twice as long.
        """
        nursery.import_libraries()
        return cls(_fork)

    @classmethod
    def spawned(cls) -> Nursery:
        """A process that begins anew."""
        return cls(_spawn)

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        self.gone = self.gone or os.waitpid(self.pid, os.WNOHANG) != (0, 0)
        return self.gone

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
        while received := _read(self.answers):
            *lines, self.rest = (self.rest + received).split(b"\n")
            for answer in map(json.loads, lines):
                worker = self.workers[answer["id"]]
                worker.pid = answer.get("pid", worker.pid)
                worker.code = answer.get("code")

    def close(self) -> None:
        """End it; its workers end by themselves."""
        os.close(self.requests)
        if not self.gone:
            if not self.workers:
                os.kill(self.pid, signal.SIGKILL)  # it may still be importing
            os.waitpid(self.pid, 0)
            self.gone = True
        os.close(self.answers)

    def _say(self, request: dict[str, Any]) -> None:
        os.write(self.requests, json.dumps(request).encode() + b"\n")


def _read(stream: int) -> bytes:
    try:
        return os.read(stream, 2**16)
    except BlockingIOError:
        return b""


def _spawn(heard: int, said: int, ours: tuple[int, int]) -> int:
    nowhere = (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)
    return os.posix_spawn(
        sys.executable,
        # -P: what lies in the current folder must not stand in for an installed package.
        [sys.executable, "-P", nursery.__file__],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, heard, 0),
            (os.POSIX_SPAWN_DUP2, said, 1),
            nowhere,
        ],
        setsid=True,
    )


def _fork(heard: int, said: int, ours: tuple[int, int]) -> int:
    return os.fork() or _be_nursery(heard, said, ours)


def _be_nursery(heard: int, said: int, ours: tuple[int, int]) -> NoReturn:
    """Be what a spawned one is: no stream, path or module of the scheduler's is left."""
    try:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream, file in enumerate((heard, said, nowhere)):
            os.dup2(file, stream)
        for file in (heard, said, nowhere, *ours):
            os.close(file)
        if not sys.flags.safe_path:
            del sys.path[0]
        for name in [name for name in sys.modules if name.partition(".")[0] in PACKAGES]:
            del sys.modules[name]
        nursery.serve()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)

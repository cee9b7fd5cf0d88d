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
from typing import Any, NamedTuple, NoReturn

from bench.runs import fork_server as nursery
from bench.runs.snapshot import PACKAGES, environment_of


@dataclass
class Worker:
    """What the nursery has said of a worker so far."""

    pid: int | None = None
    code: int | None = None


class Pipes(NamedTuple):
    """The ends of the two pipes between scheduler and nursery, as descriptors."""

    heard: int
    requests: int
    answers: int
    said: int


class Nursery:
    """Forks workers once it is settled."""

    def __init__(self, begin: Callable[[Pipes], int]) -> None:
        """The process that ``begin`` starts at the other ends of the pipes; it returns its id."""
        pipes = Pipes(*os.pipe(), *os.pipe())
        self.pid = begin(pipes)
        os.close(pipes.heard)
        os.close(pipes.said)
        os.set_blocking(pipes.answers, False)
        self.requests, self.answers = pipes.requests, pipes.answers
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
        self._wait(os.WNOHANG)
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
        if not self.ended and not self.workers:
            os.kill(self.pid, signal.SIGKILL)  # it may still be importing
        self._wait(0)
        os.close(self.answers)

    def _wait(self, options: int) -> None:
        try:
            self.gone = self.gone or os.waitpid(self.pid, options) != (0, 0)
        except ChildProcessError:  # where SIGCHLD is ignored, the system has reaped it
            self.gone = True

    def _say(self, request: dict[str, Any]) -> None:
        os.write(self.requests, json.dumps(request).encode() + b"\n")


def _read(stream: int) -> bytes:
    try:
        return os.read(stream, 2**16)
    except BlockingIOError:
        return b""


def _spawn(pipes: Pipes) -> int:
    return os.posix_spawn(
        sys.executable,
        # -P: what lies in the current folder must not stand in for an installed package.
        [sys.executable, "-P", nursery.__file__],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, pipes.heard, 0),
            (os.POSIX_SPAWN_DUP2, pipes.said, 1),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ],
        setsid=True,
    )


def _fork(pipes: Pipes) -> int:
    return os.fork() or _be_nursery(pipes)


def _be_nursery(pipes: Pipes) -> NoReturn:
    """Be what a spawned one is: no stream, path or module of the scheduler's is left."""
    try:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream, file in enumerate((pipes.heard, pipes.said, nowhere)):
            os.dup2(file, stream)
        for file in (*pipes, nowhere):
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

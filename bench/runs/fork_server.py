"""Fork server: a process that has imported the libraries and forks a worker on request.

Importing them takes seconds, a fork takes none, and each worker is still a process in a process
group of its own. The server imports the libraries first; a request then names the snapshot of the
project's code that the workers run. Requests and answers are lines of JSON:

    {"snapshot": "...", "log": "...", "environment": {...}}
    {"id": 1, "arguments": [...], "log": "...", "environment": {...}}  ->  {"id": 1, "pid": 4711}
                                                                and later  {"id": 1, "code": -9}

The server ends when its input ends; its workers notice that their parent has ended and stop. It
runs as a script, or in a fork that has unloaded every module of the project: none may be imported
before the snapshot is known.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

# The imports that take seconds.
LIBRARIES = ("torch", "torchvision.transforms.v2", "timm")


class ForkServer:
    """The running workers, and the requests that have not arrived completely."""

    def __init__(self) -> None:
        self.running: dict[int, int] = {}
        self.buffer = b""
        self.work: Callable[[list[str]], int]

    def serve(self) -> None:
        """Answer requests until the input ends."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the scheduler handles Ctrl-C
        self.wake, wake_in = os.pipe()
        os.set_blocking(wake_in, False)
        os.set_blocking(self.wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_in)
        with selectors.DefaultSelector() as ready:
            ready.register(0, selectors.EVENT_READ)
            ready.register(self.wake, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select():
                    if key.fd == 0 and not self._read():
                        return
                self._reap()

    def _read(self) -> bool:
        received = os.read(0, 2**16)
        *lines, self.buffer = (self.buffer + received).split(b"\n")
        for request in map(json.loads, lines):
            if "snapshot" in request:
                self._use_snapshot(request)
            else:
                self._fork(request)
        return bool(received)

    def _use_snapshot(self, request: dict[str, Any]) -> None:
        """Import the worker from the snapshot; later forks run that code."""
        _append_to(request["log"], 2)
        os.environ.update(request["environment"])
        sys.path.insert(0, request["snapshot"])
        self.work = importlib.import_module("bench.worker.__main__").main
        gc.freeze()  # pages that garbage collection does not touch stay shared with the workers

    def _fork(self, request: dict[str, Any]) -> None:
        pid = os.fork()
        if pid == 0:
            _be_worker(self.work, request)
        self.running[pid] = request["id"]
        _answer({"id": request["id"], "pid": pid})

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.wake, 2**16)
        while self.running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            _answer({"id": self.running.pop(pid), "code": os.waitstatus_to_exitcode(status)})


def _answer(answer: dict[str, Any]) -> None:
    os.write(1, json.dumps(answer).encode() + b"\n")


def _append_to(log: str, *streams: int) -> None:
    """Redirect ``streams`` to the end of the file ``log``."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in streams:
        os.dup2(file, stream)
    os.close(file)


def _be_worker(work: Callable[[list[str]], int], request: dict[str, Any]) -> None:
    """Run the worker in this fork, then end the process."""
    code = 1
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        _append_to(request["log"], 1, 2)
        os.environ.update(request["environment"])
        code = work([*request["arguments"], "--parent", str(os.getppid())])
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def import_libraries() -> None:
    """Import the libraries, which takes seconds."""
    for library in LIBRARIES:
        importlib.import_module(library)


def serve() -> NoReturn:
    """Run a fork server until the input ends, then end the process."""
    ForkServer().serve()
    os._exit(0)  # without the libraries' exit handlers: there is nothing to clean up


if __name__ == "__main__":
    import_libraries()
    serve()

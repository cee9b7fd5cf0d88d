"""Nursery: one process that has imported everything, and forks a worker whenever asked.

Importing costs seconds; a fork costs none, and the worker is a process of its own all the same, in
a process group of its own. It imports the libraries first and learns then which code of ours the
workers run. Requests and answers are lines of JSON:

    {"snapshot": "...", "log": "...", "environment": {...}}
    {"id": 1, "arguments": [...], "log": "...", "environment": {...}}  ->  {"id": 1, "pid": 4711}
                                                                and later  {"id": 1, "code": -9}

It ends when its input does, and its workers, who see their parent gone, end then too. It runs as a
file, or in a fork that has forgotten every module of ours: none may be imported before the snapshot
is known.
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

# Where the seconds go.
LIBRARIES = ("torch", "torchvision.transforms.v2", "timm")


class Nursery:
    """The running workers, and the streams of the one who asks."""

    def __init__(self) -> None:
        self.born: dict[int, int] = {}
        self.rest = b""
        self.work: Callable[[list[str]], int]

    def serve(self) -> None:
        """Answer until the input ends."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the scheduler's to hear
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
        *lines, self.rest = (self.rest + received).split(b"\n")
        for request in map(json.loads, lines):
            if "snapshot" in request:
                self._settle(request)
            else:
                self._fork(request)
        return bool(received)

    def _settle(self, request: dict[str, Any]) -> None:
        """Be the nursery of workers that run the code in a snapshot."""
        _append_to(request["log"], 2)
        os.environ.update(request["environment"])
        sys.path.insert(0, request["snapshot"])
        self.work = importlib.import_module("bench.worker.__main__").main
        gc.freeze()  # pages that no collection touches stay shared with the workers

    def _fork(self, request: dict[str, Any]) -> None:
        pid = os.fork()
        if pid == 0:
            _be_worker(self.work, request)
        self.born[pid] = request["id"]
        _answer({"id": request["id"], "pid": pid})

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.wake, 2**16)
        while self.born:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            _answer({"id": self.born.pop(pid), "code": os.waitstatus_to_exitcode(status)})


def _answer(answer: dict[str, Any]) -> None:
    os.write(1, json.dumps(answer).encode() + b"\n")


def _append_to(log: str, *streams: int) -> None:
    """Let ``streams`` write to the file ``log`` from now on."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in streams:
        os.dup2(file, stream)
    os.close(file)


def _be_worker(work: Callable[[list[str]], int], request: dict[str, Any]) -> None:
    """Be the worker, and never return."""
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
    """Import what takes seconds."""
    for library in LIBRARIES:
        importlib.import_module(library)


def serve() -> NoReturn:
    """Be a nursery until the input ends."""
    Nursery().serve()
    os._exit(0)  # nothing is left to tidy up, and the libraries would be noisy about it


if __name__ == "__main__":
    import_libraries()
    serve()

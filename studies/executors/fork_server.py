"""Workers forked from one process that has imported the libraries: multiprocessing's fork server.

Importing torch and timm costs each worker seconds, a fork costs none. The server imports nothing of
the project: a worker imports the snapshot's code, and is a process in a process group of its own.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from threading import Thread

from bench.runs.source_code import PACKAGES, environment_of

LIBRARIES = ["torch", "torchvision.transforms.v2", "timm"]
"""The imports that take seconds."""
LOST = 255
"""Exit code that multiprocessing gives a process whose fork server has ended."""


def start_server() -> None:
    """Start the server, which imports the libraries while this process goes on."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(LIBRARIES)
    safe = os.environ.get("PYTHONSAFEPATH")
    # A file in the current folder must not stand in for a library.
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        forkserver.ensure_running()
    finally:
        if safe is None:
            del os.environ["PYTHONSAFEPATH"]


def start_worker(
    snapshot: Path, arguments: list[str], log: Path, environment: Mapping[str, str]
) -> ForkServerProcess:
    """Start `bench.worker` with the snapshot's code and return its process.

    Args:
        snapshot: folder that holds the project's packages.
        arguments: of the worker.
        log: file that its output is appended to.
        environment: variables to add.

    Raises:
        OSError: the process cannot be started.
    """
    process = multiprocessing.get_context("forkserver").Process(
        target=_work,
        args=(arguments, log, {**environment, **environment_of(snapshot)}),
        daemon=True,  # when the scheduler exits, a running worker gets SIGTERM
    )
    with _importing_from(snapshot):
        process.start()
    return process


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Put ``folder`` first on the import path, which a started process takes over."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _work(arguments: list[str], log: Path, environment: Mapping[str, str]) -> None:
    os.setsid()
    server = os.getppid()
    Thread(target=_end_with_scheduler, args=(server,), daemon=True).start()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.close(file)
    os.environ.update(environment)
    _forget_the_project()
    worker = importlib.import_module("bench.worker.__main__")
    code = worker.main([*arguments, "--parent", str(server)])
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # a full disk
            stream.flush()
    os._exit(code)  # multiprocessing would flush again, and the code would be lost


def _forget_the_project() -> None:
    """Drop the modules that multiprocessing imported: the code's digest covers the worker's alone."""
    for name in list(sys.modules):
        if name.partition(".")[0] in PACKAGES:
            del sys.modules[name]


def _end_with_scheduler(server: int) -> None:
    """End the fork server once the scheduler has ended; else it would outlive its last worker.

    Without their parent, its workers stop with a checkpoint.
    """
    scheduler = multiprocessing.parent_process()
    assert scheduler is not None
    scheduler.join()
    if os.getppid() == server:
        os.kill(server, signal.SIGTERM)

"""Jobs as processes on this machine, at most one per slot, forked from one server.

Importing torch and timm takes each worker seconds; a fork takes none. So multiprocessing's fork
server imports them once. It imports no package of the project: each worker imports the code of the
snapshot. A worker has a process group of its own.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from threading import Thread

from bench.errors import STOPPED, SpecError
from bench.runs.rundir import pid_exists
from bench.runs.source_code import PACKAGES, environment_of

LIBRARIES = ["torch", "torchvision.transforms.v2", "timm"]
"""The libraries whose import takes seconds."""
LOST = 255
"""Exit code that multiprocessing gives a process whose fork server has ended."""


@dataclass(frozen=True)
class Slot:
    """A place for one job."""

    gpu: str | None = None
    """A GPU, or several ("0,1"); None for a place that has CPU cores only."""
    memory_share: float = 1.0
    """The share of the GPU's memory, above 0 and at most 1."""


def cpu_slots(workers: int) -> list[Slot]:
    """Return ``workers`` places without a GPU."""
    return [Slot()] * workers


def gpu_slots(gpus: list[str], per_gpu: int, per_run: int = 1) -> list[Slot]:
    """Return the places that the GPUs have room for.

    The first places are on different GPUs, so that few jobs do not share one.

    Args:
        gpus: the GPUs.
        per_gpu: places on each GPU, which share its memory equally.
        per_run: GPUs of a place; if it is above 1, ``per_gpu`` is 1. Left-over GPUs stay idle.
    """
    if per_run > 1:
        groups = range(0, len(gpus) - per_run + 1, per_run)
        return [Slot(",".join(gpus[first : first + per_run])) for first in groups]
    return [Slot(gpu, 1 / per_gpu) for _ in range(per_gpu) for gpu in gpus]


def slots(gpus: list[str], workers: int | None, per_gpu: int, per_run: int = 1) -> list[Slot]:
    """Return the places for jobs on this machine.

    Args:
        gpus: the GPUs to use; without any, jobs share the CPU cores.
        workers: number of places; by default as many as the GPUs have, or 2 on CPU cores.
        per_gpu: places on each GPU.
        per_run: GPUs of each place.

    Raises:
        SpecError: the GPUs have too few places, or both ``per_gpu`` and ``per_run`` are above 1.
    """
    if per_run > 1 and per_gpu > 1:
        raise SpecError("--gpus-per-run or --per-gpu: a training has several GPUs or a part of one")
    if 1 < per_run > len(gpus):
        raise SpecError(f"--gpus-per-run {per_run}: this machine has {len(gpus)} GPUs")
    if not gpus:
        return cpu_slots(workers or 2)
    found = gpu_slots(gpus, per_gpu, per_run)
    if workers is not None and workers > len(found):
        more = f"; use --per-gpu {-(-workers // len(gpus))}" if per_run == 1 else ""
        raise SpecError(f"--workers {workers}: {len(gpus)} GPUs have {len(found)} places{more}")
    return found[:workers]


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
        """Return whether a job can be started."""
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
        # A worker whose parent, the fork server, has ended stops too; until then it holds the run.
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
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def start_server() -> None:
    """Start the fork server; it imports the libraries while this process continues."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(LIBRARIES)
    safe = os.environ.get("PYTHONSAFEPATH")
    # A file in the current folder must not be imported instead of a library.
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
        snapshot: folder with the project's packages.
        arguments: the worker's command-line arguments.
        log: file to which the worker's output is appended.
        environment: environment variables to add.

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
    """Put ``folder`` first on the import path, which a process inherits when it starts."""
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
    os._exit(code)  # multiprocessing would flush again, fail on a full disk, and lose the code


def _forget_the_project() -> None:
    """Unload the project's modules that multiprocessing imported.

    The digest of the code then covers only the modules that the worker itself imports.
    """
    for name in list(sys.modules):
        if name.partition(".")[0] in PACKAGES:
            del sys.modules[name]


def _end_with_scheduler(server: int) -> None:
    """End the fork server once the scheduler has ended.

    The server does not end by itself. Its workers notice that their parent has ended, write a
    checkpoint and stop.
    """
    scheduler = multiprocessing.parent_process()
    assert scheduler is not None
    scheduler.join()
    if os.getppid() == server:
        os.kill(server, signal.SIGTERM)

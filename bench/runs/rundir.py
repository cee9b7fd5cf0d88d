"""Run directories: the files of each run, and the lease of the process that executes it.

``<root>/runs/<run_id>/`` holds spec.json, state.json, metrics.jsonl, checkpoint.pt,
weights.safetensors, result.json, confusion.npz, boundaries.npz, predictions/, env.json, probes.json
and log.txt; that of an imported run import.json, state.json, result.json and counts.npz; one that
came with a bundle has published.json and lacks weights, boundaries and predictions.
They are the truth; the store is a copy of them. Every file is written whole (temporary file, fsync,
rename) or appended by line. No torch here.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil

from bench.errors import RootError, SpecError
from bench.files import Strict, parse, read_json, write_json
from bench.spec import RunSpec

TIMING_LOCK = ".timing-"
"""Beginning of the names of the lock files of a root that a worker keeps open."""


class Lease(Strict):
    """The process that executes a run, described well enough to tell whether it is alive."""

    host: str
    pid: int
    started: float
    """Start time of the process: tells it apart from a later one with the same pid."""
    gpu: str | None = None
    """The host's GPUs that the process may use: its CUDA_VISIBLE_DEVICES."""


def own_lease() -> Lease:
    """Return a lease of this process."""
    return Lease(
        host=socket.gethostname(),
        pid=os.getpid(),
        started=psutil.Process().create_time(),
        gpu=os.environ.get("CUDA_VISIBLE_DEVICES") or None,
    )


def is_alive(lease: Lease, *, silent: bool = False) -> bool:
    """Return whether the process that holds the lease is alive.

    Args:
        lease: The lease of a run.
        silent: Whether the run's heartbeat is overdue. It decides for a process on another host.
    """
    if lease.host != socket.gethostname():
        return not silent
    try:
        process = psutil.Process(lease.pid)
        # A zombie has ended; its parent has not collected the exit status yet.
        ended = process.status() == psutil.STATUS_ZOMBIE
        return not ended and abs(process.create_time() - lease.started) < 1.0
    except psutil.NoSuchProcess:
        return False


def works_in(lease: Lease, root: Path) -> bool:
    """Return whether the process of a lease may be a worker of ``root``.

    It is none if ``root`` is a copy of the folder that the process works in, which shows in the
    lock file that it keeps open. Of a process that cannot be inspected this is not known.
    """
    if lease.host != socket.gethostname():
        return True
    try:
        opened = [Path(file.path) for file in psutil.Process(lease.pid).open_files()]
        folders = [path.parent for path in opened if path.name.startswith(TIMING_LOCK)]
        return not folders or any(folder.samefile(root) for folder in folders)
    except (psutil.Error, OSError, ValueError):
        return True


def pid_exists(pid: int) -> bool:
    """Return whether a process of this host has this pid and has not ended."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


Status = Literal["queued", "running", "finished", "failed", "diverged", "interrupted"]
Failure = Literal["refused", "oom", "disk", "crash", "timeout", "killed"]
"""Why a run failed: its input was refused, memory or disk ran out, its code raised an exception, it
made no progress, or its process was killed."""

ORPHANED = "the process that started it ended"
"""Reason recorded when a worker stopped because its scheduler died; the next one retries it."""


class State(Strict):
    """Status and progress of a run, as in state.json."""

    status: Status = "queued"
    failure: Failure | None = None
    """What kind of failure ``reason`` is; None unless the status is failed."""
    reason: str | None = None
    attempts: int = 0
    """How often its worker has failed since `segloss retry` last queued it."""
    step: int = 0
    steps: int = 0
    started: float | None = None
    """Time at which a worker first took the run, in seconds since the epoch; None before that, and
    in runs of older versions."""
    updated: float = 0.0
    """Time of the last change, in seconds since the epoch; while running, the heartbeat."""
    lease: Lease | None = None
    activity: str | None = None
    """What a worker does between its steps, such as "scoring image 12 of 60"; of interest while the
    run is running."""
    kept: str | None = None
    """Parts in which a finished run behaves differently from the code of a later session, which
    used it all the same (--keep-old), such as "loss"."""


@dataclass(frozen=True)
class RunDir:
    """Paths and records of one run directory."""

    path: Path

    @property
    def run_id(self) -> str:
        """Id of the run: the directory's name."""
        return self.path.name

    @property
    def root(self) -> Path:
        """The output folder that the run belongs to."""
        return self.path.parent.parent

    @property
    def weights(self) -> Path:
        """File of the final weights (safetensors)."""
        return self.path / "weights.safetensors"

    @property
    def checkpoint(self) -> Path:
        """File that a training resumes from; deleted once it is finished."""
        return self.path / "checkpoint.pt"

    @property
    def confusion(self) -> Path:
        """File of confusion matrices: ``ids`` [n], ``matrices`` int32 [n, truth, prediction]."""
        return self.path / "confusion.npz"

    @property
    def boundaries(self) -> Path:
        """File of pixel counts near borders, int32, for the images ``ids`` [n].

        ``trimap`` [n, width, truth, prediction] within ``widths`` pixels of a border;
        ``intersection`` and ``union`` [n, object] of Boundary IoU's bands.
        """
        return self.path / "boundaries.npz"

    @property
    def counts(self) -> Path:
        """File of an imported run's images: ``ids`` [n], ``hits`` and ``unions`` [n, class].

        Where each image has one score, ``hits`` [n, 1] are the scores and ``unions`` are 1.
        """
        return self.path / "counts.npz"

    @property
    def imported(self) -> Path:
        """File that marks an imported run, which has no specification."""
        return self.path / "import.json"

    @property
    def published(self) -> Path:
        """File that marks a run that came with a bundle, which holds neither weights nor images."""
        return self.path / "published.json"

    @property
    def predictions(self) -> Path:
        """Folder of the example images: <image id>.{image,truth,prediction}.png."""
        return self.path / "predictions"

    @property
    def result_file(self) -> Path:
        """File of a finished run's scores, digests and costs."""
        return self.path / "result.json"

    @property
    def probes(self) -> Path:
        """File of the record of how the run's parts behave: loss, network, recipe and data."""
        return self.path / "probes.json"

    @property
    def log(self) -> Path:
        """File of everything that the worker printed."""
        return self.path / "log.txt"

    def create(self, spec: RunSpec) -> None:
        """Create the directory with its spec.json; files that exist stay as they are."""
        self.path.mkdir(parents=True, exist_ok=True)
        if read_json(self.path / "spec.json") is None:
            write_json(self.path / "spec.json", spec.model_dump(mode="json", exclude_defaults=True))

    def spec(self) -> RunSpec:
        """Return the run's specification; raises RootError if it is missing or unreadable."""
        data = read_json(self.path / "spec.json")
        if data is None and self.imported.exists():
            raise RootError(f"run {self.run_id} was imported: it has no specification or weights")
        if data is None:
            raise RootError(f"{self.path}: spec.json is missing or unreadable; delete the folder")
        return parse(RunSpec, data, where=str(self.path / "spec.json"))

    def state(self) -> State:
        """Return the state: queued without a state.json, failed with an unreadable one."""
        data = read_json(self.path / "state.json")
        try:
            return State() if data is None else parse(State, data, where="state.json")
        except SpecError as error:
            return State(status="failed", reason=str(error))

    def write_state(self, **changes: Any) -> State:
        """Replace fields of the state, note the time, and return the new state."""
        state = self.state().model_copy(update={**changes, "updated": time.time()})
        write_json(self.path / "state.json", state.model_dump(mode="json"))
        return state

    def result(self) -> dict[str, Any] | None:
        """Return result.json of a finished run; None if it is missing or damaged."""
        return read_json(self.result_file)

    def has_result(self) -> bool:
        """Return whether ``result`` returns one."""
        return self.result() is not None

    def append_metrics(self, record: dict[str, Any]) -> None:
        """Append one line to metrics.jsonl: {"step", "time", "<metric>": value, …}."""
        with (self.path / "metrics.jsonl").open("ab+") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(end - 1, 0))
            if file.read(1) not in (b"", b"\n"):  # a writer was cut off, say by a full disk
                file.write(b"\n")
            file.write(json.dumps(record).encode() + b"\n")

    def metrics(self) -> list[dict[str, Any]]:
        """Return a record for each step in metrics.jsonl: its lines together, a later one first."""
        by_step: dict[int, dict[str, Any]] = {}
        for record in _lines(self.path / "metrics.jsonl"):
            by_step[record["step"]] = {**by_step.get(record["step"], {}), **record}
        return [by_step[step] for step in sorted(by_step)]


@dataclass
class Records:
    """Lines of a training's metrics.jsonl that wait until the disk takes them."""

    directory: RunDir
    waiting: list[dict[str, Any]] = field(default_factory=list)

    def add(self, record: dict[str, Any]) -> None:
        """Keep a record, with the time, for the next ``write``."""
        self.waiting.append({"time": time.time(), **record})

    def write(self) -> None:
        """Append everything that waits; raises OSError where the disk is full."""
        while self.waiting:
            self.directory.append_metrics(self.waiting[0])
            del self.waiting[0]


def run_dir(root: Path, run_id: str) -> RunDir:
    """Return the directory of ``run_id`` under ``root``, which need not exist."""
    return RunDir(root / "runs" / run_id)


def all_run_dirs(root: Path) -> list[RunDir]:
    """Return every run directory under ``root``, sorted by id."""
    return [RunDir(path.parent) for path in sorted((root / "runs").glob("*/spec.json"))]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return
    for line in text.splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue  # a killed worker's last line

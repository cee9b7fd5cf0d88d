"""What a run leaves on disk: the truth, of which the store is a mirror.

``<root>/runs/<run_id>/`` holds spec.json, state.json, metrics.jsonl, checkpoint.pt,
weights.safetensors, result.json, confusion.npz, boundaries.npz, predictions/, env.json and log.txt.
Every file is written whole (temporary file, fsync, rename) or appended by line. No torch here.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench.errors import RootError, SpecError
from bench.files import read_json, write_json
from bench.runs.lease import Lease
from bench.spec import RunSpec, Strict, parse

Status = Literal["queued", "running", "finished", "failed", "diverged", "interrupted"]
Failure = Literal["refused", "oom", "disk", "crash", "timeout", "killed"]
"""Why a run failed: its input is at fault, memory or disk ran out, its code raised, it made no
progress, or something outside ended its process."""

ORPHANED = "the process that started it ended"
"""Why a worker stopped that nobody asked to: a scheduler that lives tries its run again."""


class State(Strict):
    """Where a run stands."""

    status: Status = "queued"
    failure: Failure | None = None
    """What kind of failure ``reason`` is; None unless the status is failed."""
    reason: str | None = None
    attempts: int = 0
    """How often its worker has failed since it was last queued by hand."""
    step: int = 0
    steps: int = 0
    updated: float = 0.0
    """Seconds since the epoch of the last change: the heartbeat while running."""
    lease: Lease | None = None


@dataclass(frozen=True)
class RunDir:
    """Paths and records of one run directory."""

    path: Path

    @property
    def run_id(self) -> str:
        """The directory's name."""
        return self.path.name

    @property
    def root(self) -> Path:
        """The root that the run belongs to."""
        return self.path.parent.parent

    @property
    def weights(self) -> Path:
        """Final weights, safetensors."""
        return self.path / "weights.safetensors"

    @property
    def checkpoint(self) -> Path:
        """Latest resumable state of a training."""
        return self.path / "checkpoint.pt"

    @property
    def confusion(self) -> Path:
        """Per-image confusion matrices: ``ids`` [n], ``matrices`` int32 [n, truth, prediction]."""
        return self.path / "confusion.npz"

    @property
    def boundaries(self) -> Path:
        """Per-image pixel counts near borders, int32, of the images ``ids`` [n].

        ``trimap`` [n, width, truth, prediction] within ``widths`` pixels of a border;
        ``intersection`` and ``union`` [n, object] of Boundary IoU's bands.
        """
        return self.path / "boundaries.npz"

    @property
    def predictions(self) -> Path:
        """Folder of <image id>.{image,truth,prediction}.png for a fixed list of images."""
        return self.path / "predictions"

    @property
    def log(self) -> Path:
        """Everything the worker printed."""
        return self.path / "log.txt"

    def create(self, spec: RunSpec) -> None:
        """Make the directory with its spec; one that exists keeps what it has."""
        self.path.mkdir(parents=True, exist_ok=True)
        if read_json(self.path / "spec.json") is None:
            write_json(self.path / "spec.json", spec.model_dump(mode="json", exclude_defaults=True))

    def spec(self) -> RunSpec:
        """The run's specification; raises RootError where it is missing or torn."""
        data = read_json(self.path / "spec.json")
        if data is None:
            raise RootError(f"{self.path}: spec.json is missing or unreadable; delete the folder")
        return parse(RunSpec, data, where=str(self.path / "spec.json"))

    def state(self) -> State:
        """Where the run stands: queued without a state, failed with one that cannot be read."""
        data = read_json(self.path / "state.json")
        try:
            return State() if data is None else parse(State, data, where="state.json")
        except SpecError as error:
            return State(status="failed", reason=str(error))

    def write_state(self, **changes: Any) -> State:
        """Replace fields of the state and return it."""
        state = self.state().model_copy(update={**changes, "updated": time.time()})
        write_json(self.path / "state.json", state.model_dump(mode="json"))
        return state

    def result(self) -> dict[str, Any] | None:
        """The finished run's result.json, else None."""
        return read_json(self.path / "result.json")

    def has_result(self) -> bool:
        """Whether result.json is there; none stands there in part, for it is written whole."""
        return (self.path / "result.json").exists()

    def append_metrics(self, record: dict[str, Any]) -> None:
        """Append one line to metrics.jsonl: {"step", "time", "<metric>": value, …}."""
        with (self.path / "metrics.jsonl").open("ab+") as file:
            end = file.seek(0, os.SEEK_END)
            # A writer that was cut off, by a full disk say, must not spoil the line after its own.
            file.seek(max(end - 1, 0))
            torn = file.read(1) not in (b"", b"\n")
            file.write(b"\n" * torn + json.dumps(record).encode() + b"\n")

    def metrics(self) -> list[dict[str, Any]]:
        """All complete lines of metrics.jsonl; where a step stands twice the later line counts."""
        by_step = {record["step"]: record for record in _lines(self.path / "metrics.jsonl")}
        return [by_step[step] for step in sorted(by_step)]


def run_dir(root: Path, run_id: str) -> RunDir:
    """The directory of ``run_id`` under ``root``, which need not exist."""
    return RunDir(root / "runs" / run_id)


def all_run_dirs(root: Path) -> list[RunDir]:
    """Every run directory under ``root``, by name."""
    return [RunDir(path.parent) for path in sorted((root / "runs").glob("*/spec.json"))]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = path.read_text()
    except FileNotFoundError:
        return
    for line in text.splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue  # the last line of a killed writer

"""The costs of the losses, as ratios: `segloss perf losses`.

The time of forward and backward is compared with cross entropy and with the plain transcription;
memory is in multiples of the logits' bytes. A fresh process makes each measurement (job.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from pydantic_core import from_json

from bench.errors import SeglossError, SpecError, unknown
from bench.files import Strict, write_json
from bench.perf.inputs import SHAPES, Shape, make_labels
from bench.perf.job import Device, Job
from bench.perf.variants import Variant, variants
from bench.spec import Scalar

DEVICES = get_args(Device)

TIMING = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "8589934592"}
"""Keeps freed memory: with glibc's defaults, page faults take half the time of some losses."""
MEMORY = {"MALLOC_MMAP_THRESHOLD_": "262144"}
"""Unmaps buffers above 256 KiB when they are freed, so that resident memory is memory in use."""


class Spread(Strict):
    """Median, minimum and quartiles of the seconds over all rounds."""

    median: float
    min: float
    q1: float
    q3: float


class Figures(Strict):
    """The costs of one implementation of a loss; None where a cost could not be measured."""

    seconds: Spread | None = None
    time_over_ce: float | None = None
    memory_over_logits: float | None = None
    loss_error: float | None = None
    """Absolute difference from the plain transcription in float64."""
    gradient_error: float | None = None
    """L2 norm of the difference from the transcription's gradient, relative to that gradient."""


class Row(Strict):
    """A loss with its options; ``plain`` is the same loss transcribed line by line."""

    loss: str
    options: dict[str, Scalar]
    own: Figures
    plain: Figures | None
    speedup_over_plain: float | None


class Result(Strict):
    """The costs of all losses on one shape, with facts about input and machine."""

    shape: Shape
    labels: str
    pixel_accuracy: float
    occurring_classes: float
    """Share of (image, class) pairs with at least one pixel, from 0 to 1."""
    device: str
    torch: str
    threads: int
    rounds: int
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def check(
    names: Sequence[str], rounds: int, device: str | None, json_file: Path | None
) -> tuple[list[Shape], Device]:
    """Check the options; return the shapes to measure and the device.

    Args:
        names: names of shapes; if empty, those that suit the device are returned.
        rounds: timed calls of each loss, at least 1.
        device: "cpu" or "cuda"; by default "cuda" if there is a GPU.
        json_file: the file for the measurements.

    Raises:
        SpecError: an option has an invalid value, or the file cannot be written.
    """
    for name in names:
        if name not in SHAPES:
            raise SpecError(f"--shape: {unknown('shape', name, SHAPES)}")
    if rounds < 1:
        raise SpecError(f"--rounds must be at least 1, got {rounds}")
    if device not in (None, *DEVICES):
        raise SpecError(f"--device: {unknown('device', str(device), DEVICES)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise SpecError("--device cuda: torch finds no GPU here; leave it out, or use cpu")
    if json_file is not None:
        _check_writable(json_file)
    on: Device = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
    shapes = [SHAPES[name] for name in dict.fromkeys(names)]
    return shapes or [shape for shape in SHAPES.values() if shape.device == on], on


def check_labels(shapes: Sequence[Shape], data_root: Path | None) -> None:
    """Raise DataError if a label map of one of the shapes cannot be read."""
    for shape in shapes:
        make_labels(shape, data_root)


def measure_shape(
    shape: Shape,
    *,
    device: Device,
    rounds: int,
    data_root: Path | None = None,
    on_progress: Callable[[str], object] = lambda line: None,
    run: Callable[[Job], dict[str, Any]] | None = None,
) -> Result:
    """Return the costs of every loss on ``shape``.

    One process measures the times of all losses. On a CPU, the memory of each loss is measured in
    a process of its own.

    Args:
        shape: the batch.
        device: the device.
        rounds: timed calls of each loss, at least 1.
        data_root: folder with CamVid, for its labels.
        on_progress: receives one line before each part of the measurement.
        run: runs a job; by default ``run_job``, in a fresh process.
    """
    run = run or run_job
    plan = Job(task="time", shape=shape, variants=(), device=device, rounds=rounds,
               data_root=None if data_root is None else str(data_root.resolve()))  # fmt: skip
    own = tuple(variants())
    transcribed = tuple(variant for variant in own if variant.is_transcribed())
    every = (*own, *(variant.twin() for variant in transcribed))

    on_progress(f"{shape}: time of {len(every)} losses, {rounds} rounds")
    timed = run(plan.model_copy(update={"variants": every}))
    on_progress(f"{shape}: memory")
    memory = {}
    for group in [(variant,) for variant in every] if device == "cpu" else [every]:
        job = plan.model_copy(update={"task": "memory", "variants": group})
        memory |= run(job)["variants"]
    errors = {}
    if transcribed:
        on_progress(f"{shape}: errors")
        job = plan.model_copy(update={"task": "error", "variants": transcribed})
        errors = run(job)["variants"]

    seconds = timed.pop("variants")
    return Result(
        shape=shape,
        rounds=rounds,
        rows=compare(own, seconds, memory, errors),
        notes=tuple(_notes(seconds, memory)),
        **timed,
    )


def compare(
    own: Sequence[Variant],
    seconds: Mapping[str, Sequence[float] | None],
    memory: Mapping[str, float | None],
    errors: Mapping[str, dict[str, float] | None],
) -> tuple[Row, ...]:
    """Return a row for each of ``own`` from the measurements, which are keyed by variant name."""

    def figures(variant: Variant) -> Figures:
        name = str(variant)
        return Figures(
            seconds=spread(seconds.get(name)),
            time_over_ce=_ratio(seconds.get(name), seconds.get("ce")),
            memory_over_logits=memory.get(name),
            **(errors.get(name) or {}),
        )

    return tuple(
        Row(
            loss=variant.loss,
            options=variant.options,
            own=figures(variant),
            plain=figures(variant.twin()) if str(variant.twin()) in seconds else None,
            speedup_over_plain=_ratio(seconds.get(str(variant.twin())), seconds[str(variant)]),
        )
        for variant in own
    )


def spread(seconds: Sequence[float] | None) -> Spread | None:
    """Return median, minimum and quartiles of the rounds, or None without measurements."""
    if not seconds:
        return None
    low, q1, median, q3 = np.quantile(seconds, [0, 0.25, 0.5, 0.75]).tolist()
    return Spread(median=median, min=low, q1=q1, q3=q3)


def run_job(job: Job) -> dict[str, Any]:
    """Run a job in a fresh process and return its measurements.

    Raises:
        SeglossError: the process failed or was killed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "bench.perf.job"],
        input=job.model_dump_json().encode(),
        stdout=subprocess.PIPE,
        env=child_environment(TIMING if job.task == "time" else MEMORY),
        check=False,
    )
    if done.returncode:
        raise SeglossError(
            f"the process that measured {job.task} on {job.shape.name} ended with code "
            f"{done.returncode} (-9: out of memory); see above, or choose a smaller --shape"
        )
    return from_json(done.stdout)


def child_environment(allocator: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with one thread and the given settings of glibc malloc."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    return {**inherited, "OMP_NUM_THREADS": "1", **allocator}


def write_results(path: Path, results: Sequence[Result]) -> None:
    """Write all results to a JSON file."""
    write_json(path, {"results": [result.model_dump(mode="json") for result in results]})


def _ratio(over: Sequence[float] | None, under: Sequence[float] | None) -> float | None:
    """Return the ratio of two medians."""
    return float(np.median(over) / np.median(under)) if over and under else None


def _notes(
    seconds: Mapping[str, Sequence[float] | None], memory: Mapping[str, float | None]
) -> Iterator[str]:
    if short := [name for name, taken in seconds.items() if taken is None]:
        yield f"Not enough memory on the device: {', '.join(short)}."
    if unmeasured := [name for name, peak in memory.items() if peak is None and seconds.get(name)]:
        yield f"Peak memory could not be measured: {', '.join(unmeasured)}."


def _check_writable(path: Path) -> None:
    try:
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
        if not path.parent.exists():
            path.parent.mkdir(parents=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise SpecError(f"--json {path}: cannot be written ({reason}); name another file") from None

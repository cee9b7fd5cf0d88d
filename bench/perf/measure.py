"""What the losses cost, as ratios: `segloss perf losses`.

Time is forward and backward against cross entropy and against the plain transcription, memory is
in multiples of the logits' bytes. Each measurement is made by a process of its own (perf_job.py).
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

# With glibc's defaults half the time of a wasteful loss is page faults on buffers mapped anew.
TIMING = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "8589934592"}
# Every larger buffer is mapped and unmapped, so that resident memory is what is held.
MEMORY = {"MALLOC_MMAP_THRESHOLD_": "262144"}


class Spread(Strict):
    """Seconds over the rounds."""

    median: float
    min: float
    q1: float
    q3: float


class Figures(Strict):
    """What one implementation of a loss costs; None where it could not be measured."""

    seconds: Spread | None = None
    time_over_ce: float | None = None
    memory_over_logits: float | None = None
    loss_error: float | None = None
    """Against the plain transcription in float64; ``gradient_error`` is a relative L2 norm."""
    gradient_error: float | None = None


class Row(Strict):
    """A loss with its options; ``plain`` is the same loss transcribed line by line."""

    loss: str
    options: dict[str, Scalar]
    own: Figures
    plain: Figures | None
    speedup_over_plain: float | None


class Result(Strict):
    """All losses on one shape, and what was measured where."""

    shape: Shape
    labels: str
    pixel_accuracy: float
    occurring_classes: float
    """Share of (image, class) pairs of which there is a pixel."""
    device: str
    torch: str
    threads: int
    rounds: int
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def check(
    names: Sequence[str], rounds: int, device: str | None, json_file: Path | None
) -> tuple[list[Shape], Device]:
    """Return the shapes to measure, those meant for the device if none is named, and the device.

    Raises SpecError at what cannot be done.
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
    """Raise DataError where a file that the labels are read from is at fault."""
    for shape in shapes:
        make_labels(shape, data_root)


def measure_shape(
    shape: Shape,
    *,
    device: Device,
    rounds: int,
    data_root: Path | None = None,
    say: Callable[[str], object] = lambda line: None,
    run: Callable[[Job], dict[str, Any]] | None = None,
) -> Result:
    """Return what every loss costs on ``shape``; ``say`` is told what comes next.

    All losses share one process for their times. On a CPU each has one of its own for its memory.
    ``run`` does a job, in a fresh process if it is not given.
    """
    run = run or run_job
    plan = Job(task="time", shape=shape, variants=(), device=device, rounds=rounds,
               data_root=None if data_root is None else str(data_root.resolve()))  # fmt: skip
    own = tuple(variants())
    transcribed = tuple(variant for variant in own if variant.is_transcribed())
    every = (*own, *(variant.twin() for variant in transcribed))

    say(f"{shape}: time of {len(every)} losses, {rounds} rounds")
    timed = run(plan.model_copy(update={"variants": every}))
    say(f"{shape}: memory")
    memory = {}
    for group in [(variant,) for variant in every] if device == "cpu" else [every]:
        job = plan.model_copy(update={"task": "memory", "variants": group})
        memory |= run(job)["variants"]
    errors = {}
    if transcribed:
        say(f"{shape}: errors")
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
    """Return a row for each of ``own`` from what was measured by the variants' names."""

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
    """Return median and spread of the rounds, or None where nothing was measured."""
    if not seconds:
        return None
    low, q1, median, q3 = np.quantile(seconds, [0, 0.25, 0.5, 0.75]).tolist()
    return Spread(median=median, min=low, q1=q1, q3=q3)


def run_job(job: Job) -> dict[str, Any]:
    """Return what a fresh process measures; raises SeglossError where it dies."""
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
    """Return this process's environment with one thread and these settings of glibc's malloc."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    return {**inherited, "OMP_NUM_THREADS": "1", **allocator}


def write_results(path: Path, results: Sequence[Result]) -> None:
    """Write everything as JSON."""
    write_json(path, {"results": [result.model_dump(mode="json") for result in results]})


def _ratio(over: Sequence[float] | None, under: Sequence[float] | None) -> float | None:
    """Return the ratio of two medians."""
    return float(np.median(over) / np.median(under)) if over and under else None


def _notes(
    seconds: Mapping[str, Sequence[float] | None], memory: Mapping[str, float | None]
) -> Iterator[str]:
    if short := [name for name, taken in seconds.items() if taken is None]:
        yield f"Not enough memory on the device: {', '.join(short)}."
    if untold := [name for name, held in memory.items() if held is None and seconds.get(name)]:
        yield f"Peak memory could not be told: {', '.join(untold)}."


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

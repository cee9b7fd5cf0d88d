"""Measure losses in a fresh process: `python -m bench.perf.job` reads a Job and writes JSON.

Earlier work of a process changes its times and its memory, so ``bench.perf.measure`` starts a
fresh one for each job, with the environment that the task needs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic_core import to_json
from torch import Tensor

from bench.files import Strict
from bench.perf.inputs import Shape, make_labels, make_logits, occurring, pixel_accuracy
from bench.perf.variants import LossFunction, Variant

Device = Literal["cpu", "cuda"]

UNTIMED_CALLS = {"cpu": 1, "cuda": 3}
"""Calls before each timed call; the first one pays for the heap that another loss left behind."""


class Job(Strict):
    """The variants to measure on one shape, and the task: time, memory or error."""

    task: Literal["time", "memory", "error"]
    shape: Shape
    variants: tuple[Variant, ...]
    device: Device = "cpu"
    rounds: int = 1
    data_root: str | None = None


def measure(job: Job) -> dict[str, Any]:
    """Return facts about machine and input, and under "variants" the measurements by name.

    Times are lists of seconds, one per round. Memory is in multiples of the logits' bytes, or None
    where the system does not report it. Errors are those of a loss and of its plain transcription
    against the transcription in float64. A variant that runs out of GPU memory is None.
    """
    labels, source = make_labels(job.shape, Path(job.data_root) if job.data_root else None)
    logits = make_logits(labels, job.shape)
    facts = {
        "labels": source,
        "pixel_accuracy": pixel_accuracy(logits, labels),
        "occurring_classes": occurring(labels, job.shape.classes),
        "device": processor(job.device),
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
    }
    logits, labels = logits.to(job.device), labels.to(job.device)
    if job.task == "time":
        return {**facts, "variants": _times(job, logits, labels)}
    if job.task == "memory":
        return {**facts, "variants": _memory(job, logits, labels)}
    return {**facts, "variants": _errors(job, logits, labels)}


def seconds_of(step: Callable[[], object], device: str) -> float:
    """Return the seconds of one call: this process's CPU time, or GPU time between two events."""
    if device == "cpu":
        before = time.process_time()
        step()
        return time.process_time() - before
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    step()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1000


def peak_bytes(step: Callable[[], object], device: str) -> int | None:
    """Return the peak memory of one call in bytes, less the memory in use before it.

    On a CPU it is the process's resident memory, which only Linux reports (None elsewhere). On a
    GPU it is the memory that torch has allocated.
    """
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return torch.cuda.max_memory_allocated() - before
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
        before = _resident_bytes("VmRSS")
        step()
        return _resident_bytes("VmHWM") - before
    except OSError:
        return None


def processor(device: str) -> str:
    """Return the model of the GPU or of the processor; "CPU" if the system does not report it."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else "CPU"


def _times(job: Job, logits: Tensor, labels: Tensor) -> dict[str, list[float] | None]:
    """Return the seconds of forward and backward in each round; the variants take turns."""
    losses = {str(variant): variant.build() for variant in job.variants}
    seconds: dict[str, list[float] | None] = {name: [] for name in losses}
    for _ in range(job.rounds):
        for name, loss in losses.items():
            taken = seconds[name]
            if taken is None:
                continue
            try:
                for _ in range(UNTIMED_CALLS[job.device]):
                    _step(loss, logits, labels)()
                taken.append(seconds_of(_step(loss, logits, labels), job.device))
            except torch.OutOfMemoryError:
                seconds[name] = None
    return seconds


def _step(loss: LossFunction, logits: Tensor, labels: Tensor) -> Callable[[], Tensor]:
    """Return a function that runs forward and backward on a fresh leaf and returns the leaf."""
    leaf = logits.clone().requires_grad_()

    def step() -> Tensor:
        loss(leaf, labels).backward()
        return leaf

    return step


def _memory(job: Job, logits: Tensor, labels: Tensor) -> dict[str, float | None]:
    """Return the peaks; a warm-up call on a few pixels pays the libraries' one-time memory."""
    small = job.shape.model_copy(update={"batch": 1, "height": 48, "width": 64})
    few = make_labels(small, None)[0]
    few_logits = make_logits(few, small).to(job.device)
    peaks = {}
    for variant in job.variants:
        loss = variant.build()
        try:
            _step(loss, few_logits, few.to(job.device))()
            peak = peak_bytes(_step(loss, logits, labels), job.device)
        except torch.OutOfMemoryError:
            peak = None
        peaks[str(variant)] = None if peak is None else peak / logits.nbytes
    return peaks


def _errors(job: Job, logits: Tensor, labels: Tensor) -> dict[str, dict[str, float] | None]:
    """Return the errors of loss and gradient of each variant and of its plain transcription."""
    errors = {}
    for variant in job.variants:
        twin = variant.twin()
        try:
            value, gradient = _value_and_gradient(twin.build(), logits.double(), labels)
            for either in (variant, twin):
                own_value, own_gradient = _value_and_gradient(either.build(), logits, labels)
                off = torch.linalg.vector_norm(own_gradient.double() - gradient)
                errors[str(either)] = {
                    "loss_error": float((own_value.double() - value).abs()),
                    "gradient_error": float(off / torch.linalg.vector_norm(gradient)),
                }
        except torch.OutOfMemoryError:
            errors |= {str(variant): None, str(twin): None}
    return errors


def _value_and_gradient(
    loss: LossFunction, logits: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    leaf = logits.clone().requires_grad_()
    value = loss(leaf, labels)
    (gradient,) = torch.autograd.grad(value, leaf)
    return value.detach(), gradient


def _resident_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024  # in KiB
    raise OSError(f"/proc/self/status has no {field}")


if __name__ == "__main__":
    torch.set_num_threads(1)  # overrides MKL's own environment variables
    sys.stdout.write(to_json(measure(Job.model_validate_json(sys.stdin.read()))).decode())

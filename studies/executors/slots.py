"""The places that jobs have on this machine."""

from __future__ import annotations

from dataclasses import dataclass

from bench.errors import SpecError


@dataclass(frozen=True)
class Slot:
    """A place for one job: a GPU, several ("0,1") or a share of one, or (None) cores only."""

    gpu: str | None = None
    memory_share: float = 1.0


def cpu_slots(workers: int) -> list[Slot]:
    """So many places without a GPU."""
    return [Slot()] * workers


def gpu_slots(gpus: list[str], per_gpu: int, per_run: int = 1) -> list[Slot]:
    """So many places on each GPU, each with its share of the memory; GPU by GPU, not stacked.

    A place of ``per_run`` GPUs has them to itself; GPUs that fill no place stay idle.
    """
    if per_run > 1:
        groups = range(0, len(gpus) - per_run + 1, per_run)
        return [Slot(",".join(gpus[first : first + per_run])) for first in groups]
    return [Slot(gpu, 1 / per_gpu) for _ in range(per_gpu) for gpu in gpus]


def slots(gpus: list[str], workers: int | None, per_gpu: int, per_run: int = 1) -> list[Slot]:
    """Return the places that jobs have on this machine.

    Args:
        gpus: the GPUs that may be used; without any, jobs share the cores.
        workers: how many places; as many as the GPUs have, or 2 on the cores, if None.
        per_gpu: places on each GPU.
        per_run: GPUs that a place consists of.

    Raises:
        SpecError: The GPUs do not have so many places, or both ways of sharing are asked for.
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

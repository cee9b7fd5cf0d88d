"""Leases: which process runs a run, and whether it still lives."""

from __future__ import annotations

import os
import socket

import psutil

from bench.spec import Strict


class Lease(Strict):
    """Who runs a run: enough to tell whether that process still lives."""

    host: str
    pid: int
    started: float
    """The process's own start time, so that a reused pid is not taken for it."""
    gpu: str | None = None
    """What it was given of the host's GPUs, as CUDA_VISIBLE_DEVICES says it."""


def own_lease() -> Lease:
    """The lease of this process."""
    return Lease(
        host=socket.gethostname(),
        pid=os.getpid(),
        started=psutil.Process().create_time(),
        gpu=os.environ.get("CUDA_VISIBLE_DEVICES") or None,
    )


def is_alive(lease: Lease, *, silent: bool = False) -> bool:
    """Whether the holder lives; one on another host is judged by its heartbeat, if ``silent``."""
    if lease.host != socket.gethostname():
        return not silent
    try:
        process = psutil.Process(lease.pid)
        # A zombie has ended: only its parent has not noticed yet.
        ended = process.status() == psutil.STATUS_ZOMBIE
        return not ended and abs(process.create_time() - lease.started) < 1.0
    except psutil.NoSuchProcess:
        return False


def pid_exists(pid: int) -> bool:
    """Whether a process of this host has this number and has not ended."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

"""Leases: which process executes a run, and whether that process is alive."""

from __future__ import annotations

import os
import socket

import psutil

from bench.records import Strict


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


def pid_exists(pid: int) -> bool:
    """Return whether a process of this host has this pid and has not ended."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

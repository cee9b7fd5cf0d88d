"""Set up torch in a process that trains: threads, deterministic algorithms, its part of a GPU."""

from __future__ import annotations

import os

import torch

from bench.errors import InstallError
from bench.runs.malloc import keep_freed_memory

CONTEXT_BYTES = 3 * 2**28
"""GPU memory that each process takes besides torch's tensors: CUDA's context, kernels, workspaces.

An estimate for one process; ``--per-gpu`` processes need it once each.
"""


def set_up_torch(threads: int) -> None:
    """Use so many threads, and sums in a fixed order wherever torch has them."""
    keep_freed_memory()
    torch.set_num_threads(threads)
    # cuBLAS reads it with its first call; without it, its sums may have any order.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # On a GPU a few operations have no fixed order in torch (docs/gpu.md): they warn and run.
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    # Filling fresh memory is for finding bugs; it costs a seventh of a step and changes no result.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore (set up late)


def take_gpu(memory_share: float) -> None:
    """Limit this process to a share of its GPU's memory, in (0, 1].

    Raises:
        InstallError: torch cannot use the GPU that the scheduler has assigned.
    """
    if not torch.cuda.is_available():
        raise InstallError(
            f"GPU {os.environ.get('CUDA_VISIBLE_DEVICES', 'unknown')} was assigned to this worker, "
            "and torch cannot use it: look at nvidia-smi and `python -c 'import torch; "
            "torch.zeros(1).cuda()'`, or set CUDA_VISIBLE_DEVICES= to train on the CPU"
        )
    if memory_share < 1:
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(tensor_share(memory_share, total))


def tensor_share(memory_share: float, total_bytes: int) -> float:
    """Return the share that tensors may take if the whole process is to keep to ``memory_share``.

    At least half of ``memory_share``, so that a small GPU keeps room for tensors.
    """
    return max(memory_share - CONTEXT_BYTES / total_bytes, memory_share / 2)

"""The kind of failure that an exception of a worker stands for."""

from __future__ import annotations

import errno

import torch

from bench.runs.rundir import Failure

# Messages of torch on a CPU, of the operating system, of CUDA, of cuBLAS and cuDNN 8, of cuDNN 9.
OUT_OF_MEMORY = (
    "can't allocate memory",
    "Cannot allocate memory",
    "out of memory",
    "STATUS_ALLOC_FAILED",
    "ALLOCATION_FAILED",
)


def failure_of(error: Exception) -> Failure:
    """Return the kind of failure that an exception stands for."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "disk"
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return "oom"
    # torch has no type for errors of the CPU's allocator, of the CUDA driver and of its libraries.
    return "oom" if any(sign in str(error) for sign in OUT_OF_MEMORY) else "crash"

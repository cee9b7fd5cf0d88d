"""Classes of failure: what the memory of a GPU or of the machine was not enough for is "oom"."""

import errno

import pytest
import torch

from bench.worker.failures import failure_of

# As torch 2.15, CUDA 12 and 13, cuBLAS and cuDNN word them.
NOT_ENOUGH = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    torch.AcceleratorError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate`"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes."),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
]
OTHER = {
    "disk": [OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EDQUOT, "Quota")],
    "crash": [
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        OSError(errno.ENOENT, "No such file"),
        KeyError("memory"),
    ],
}


@pytest.mark.parametrize("error", NOT_ENOUGH, ids=str)
def test_too_little_memory_is_told_from_a_crash(error):
    assert failure_of(error) == "oom"


@pytest.mark.parametrize(
    ("failure", "error"), [(kind, error) for kind, errors in OTHER.items() for error in errors]
)
def test_what_is_not_about_memory_keeps_its_class(failure, error):
    assert failure_of(error) == failure

"""The environment of a run: what it sets up in torch and glibc, and what env.json records."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
from typing import Any

import torch

from bench.errors import InstallError
from bench.runs.memory import keep_freed_memory
from bench.runs.source_code import code_commit, code_digest, plugin_digest
from bench.spec import digest

# Packages that can change a training's numbers.
PACKAGES = ("torch", "torchvision", "timm", "numpy", "pillow")
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


def environment(device: str, threads: int, *losses: type) -> dict[str, Any]:
    """Return the facts that env.json holds.

    Args:
        device: Name of the device, as ``device_name`` returns it.
        threads: Number of CPU threads of the worker.
        losses: Classes of the run's loss; a sum has several.

    Returns:
        Interpreter, packages and machine. Its "digest" covers what can change a training's numbers.
    """
    facts = {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "machine": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "device": device,
        "threads": threads,
        **({} if device == "cpu" else gpu_libraries()),
    }
    return {
        **facts,
        "pydensecrf": _version("pydensecrf2"),
        "host": platform.node(),
        "code": code_digest(),
        "commit": code_commit(),
        "plugin": plugin_digest(*losses),
        "digest": digest(facts),
    }


def gpu_libraries() -> dict[str, Any]:
    """Return the versions that a GPU's numbers depend on, and which products are TF32."""
    return {
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "tf32": {
            "convolutions": torch.backends.cudnn.allow_tf32,
            "matrix products": torch.backends.cuda.matmul.allow_tf32,
            "NVIDIA_TF32_OVERRIDE": os.environ.get("NVIDIA_TF32_OVERRIDE"),
        },
    }


def code_digests(facts: dict[str, Any]) -> dict[str, str]:
    """Return the digests in an environment: the project's code, and a plug-in loss's."""
    return {key: facts[key] for key in ("code", "plugin") if facts[key]}


def peak_memory_mb(device: torch.device) -> float:
    """Return the peak memory so far: of tensors on a GPU, of the whole process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def device_name(device: torch.device) -> str:
    """Return "cpu", or the model of the GPU with the number of GPUs if there are several."""
    if device.type == "cpu":
        return "cpu"
    name, count = torch.cuda.get_device_name(device), torch.cuda.device_count()
    return name if count == 1 else f"{count} x {name}"


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    count = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[:count] if visible else [str(index) for index in range(count)]


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None

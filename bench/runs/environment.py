"""The environment of a run: machine, packages and digests of the code."""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import os
import platform
import resource
import sys
from pathlib import Path
from typing import Any

import torch

from bench.spec import digest

OUR_PACKAGES = ("bench", "losses", "postproc")
# Packages that can change a training's numbers.
PACKAGES = ("torch", "torchvision", "timm", "numpy", "pillow")


def code_digest() -> str:
    """Return the digest of every file of the project that this process has imported."""
    loaded = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    ours = {path for path in map(Path, filter(None, loaded)) if _is_ours(path)}
    content = hashlib.sha256()
    for path in sorted(ours):
        content.update(path.name.encode())
        content.update(path.read_bytes())
    return content.hexdigest()[:12]


def plugin_digest(loss: type) -> str | None:
    """Return the digest of the file of a plug-in loss; None for a loss of the project."""
    path = Path(inspect.getfile(loss))
    return None if _is_ours(path) else hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def _is_ours(path: Path) -> bool:
    root = Path(__file__).parents[2]
    return path.is_relative_to(root) and path.relative_to(root).parts[0] in OUR_PACKAGES


def environment(device: str, threads: int, loss: type) -> dict[str, Any]:
    """Return the facts that env.json holds.

    Args:
        device: Name of the device, as ``device_name`` returns it.
        threads: Number of CPU threads of the worker.
        loss: Class of the run's loss.

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
        "plugin": plugin_digest(loss),
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

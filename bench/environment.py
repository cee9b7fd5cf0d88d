"""Where and with which code a run is made: digests, and the state of the installation."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import sys
from pathlib import Path
from typing import Any

from bench.errors import InstallError
from bench.spec import digest

OUR_PACKAGES = ("bench", "losses", "postproc")
# Packages that can move a number.
PACKAGES = ("torch", "torchvision", "timm", "numpy", "pillow", "pydensecrf2")


def code_digest() -> str:
    """Digest of every file of ours that this process has loaded."""
    root = Path(__file__).parent.parent
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    ours = {
        path.relative_to(root).as_posix(): path
        for path in map(Path, filter(None, files))
        if path.is_relative_to(root) and path.relative_to(root).parts[0] in OUR_PACKAGES
    }
    content = hashlib.sha256()
    for name, path in sorted(ours.items()):
        content.update(name.encode())
        content.update(path.read_bytes())
    return content.hexdigest()[:12]


def environment(device: str, threads: int) -> dict[str, Any]:
    """Interpreter, packages, machine; "digest" covers what can move a number."""
    facts = {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "machine": platform.machine(),
        "device": device,
        "threads": threads,
    }
    return {**facts, "host": platform.node(), "code": code_digest(), "digest": digest(facts)}


def check_installation() -> None:
    """Raise InstallError where torch and torchvision do not fit together."""
    try:
        import torchvision  # noqa: F401 (the import is the check)
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        raise InstallError(
            f"torch {_version('torch')} and torchvision {_version('torchvision')} are builds that "
            "do not fit together (torchvision::nms does not exist): install both from one place, "
            "pip install --force-reinstall torch torchvision"
        ) from None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None

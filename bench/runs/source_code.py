"""The code of a run: a session runs a snapshot, so that edits meanwhile mix no versions."""

from __future__ import annotations

import hashlib
import inspect
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

PACKAGES = ("bench", "losses", "postproc", "studies", "reports")
WORKER_PACKAGES = ("bench", "losses", "postproc")
SOURCE = Path(__file__).parents[2]


def take_snapshot(root: Path) -> Path:
    """Return ``<root>/code/<digest>/``, a copy of the five packages as they are now."""
    files = dict(_files())
    content = hashlib.sha256()
    for name, data in sorted(files.items()):
        content.update(name.encode() + b"\0" + data + b"\0")
    folder = root / "code" / content.hexdigest()[:12]
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        new = Path(mkdtemp(dir=folder.parent, prefix="."))
        for name, data in files.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_bytes(data)
        new.chmod(0o755)
        new.rename(folder)
    return folder


def environment_of(snapshot: Path) -> dict[str, str]:
    """Return environment variables with which `python -P` imports the packages of a snapshot."""
    others = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join([str(snapshot), *([others] if others else [])])}


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
    return path.is_relative_to(SOURCE) and path.relative_to(SOURCE).parts[0] in WORKER_PACKAGES


def _files() -> Iterator[tuple[str, bytes]]:
    for package in PACKAGES:
        for path in sorted((SOURCE / package).rglob("*")):
            if path.is_file() and path.suffix not in (".pyc", ".pyo"):
                yield str(path.relative_to(SOURCE)), path.read_bytes()

"""Files that no reader sees half of: written to a temporary file, then put in place."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file, then put it in place: no reader sees half of it.

    Raises OSError where the disk is full, whatever ``write`` makes of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: numpy and PIL choose their format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        _write_with_room(write, temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _write_with_room(write: Callable[[Path], object], path: Path) -> None:
    try:
        write(path)
    except OSError:
        raise
    except Exception as error:  # torch and safetensors have errors of their own for it
        free = os.statvfs(path.parent)
        if free.f_bavail * free.f_frsize < 2**20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise


def write_json(path: Path, data: Any) -> None:
    """Write ``data`` as JSON, whole."""
    text = json.dumps(data, indent=1, ensure_ascii=False)
    write_whole(path, lambda temporary: temporary.write_text(text + "\n"))


def read_json(path: Path) -> Any:
    """The file's JSON, or None where it is missing or torn."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None

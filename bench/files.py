"""Write files atomically: to a temporary file, which then takes the place of the old one."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file atomically: a reader sees the old content or the new one.

    Args:
        path: The file; its folder is created if need be.
        write: Writes the content to the path that it is given.

    Raises:
        OSError: The file cannot be written; a full disk, whatever ``write`` raises then.
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
    except Exception as error:  # torch and safetensors raise errors of their own for a full disk
        free = os.statvfs(path.parent)
        if free.f_bavail * free.f_frsize < 2**20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise


def write_json(path: Path, data: Any) -> None:
    """Write ``data`` as JSON, atomically."""
    text = json.dumps(data, indent=1, ensure_ascii=False)
    write_whole(path, lambda temporary: temporary.write_text(text + "\n"))


def read_json(path: Path) -> Any:
    """Return the content of a JSON file; None if it is missing or damaged."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None

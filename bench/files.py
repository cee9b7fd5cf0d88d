"""Files, each written whole, and the frozen, strictly typed records that are read from them."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json

from bench.errors import RootError, SpecError, unknown


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
    except (FileNotFoundError, ValueError):  # of its bytes as well as of its JSON
        return None


def digest_of(path: Path) -> str:
    """Return the first 12 hexadecimal digits of a file's SHA-256.

    Raises:
        SpecError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:12]
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from None


def check_place(folder: Path, way_out: str) -> None:
    """Raise RootError if no file can be written into a folder, which need not exist yet."""
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not place.is_dir():
        raise RootError(f"{place} is a file; {way_out}")
    if not os.access(place, os.W_OK | os.X_OK):
        raise RootError(f"{place}: cannot be written; {way_out}")


Scalar = bool | int | float | str
"""A value of a setting."""
Positive = Annotated[int, Field(ge=1)]


class Strict(BaseModel):
    """Base of all records: frozen, strictly typed, unknown keys refused."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


M = TypeVar("M", bound=BaseModel)


def parse(model: type[M], data: Any, *, where: str) -> M:
    """Return ``data`` as a record.

    Args:
        model: Class of the record.
        data: JSON-shaped data, from a TOML or JSON file.
        where: Place of the data, such as a file's name, for the message.

    Raises:
        SpecError: A key is unknown or missing, or a value has the wrong type or range.
    """
    try:
        # JSON mode, because TOML and JSON write tuples as lists.
        return model.model_validate_json(to_json(data))
    except ValidationError as error:
        # A misspelt key is also a missing one; the misspelling helps more.
        first = min(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
        raise SpecError(f"{where}: {_explain(first, model)}") from None


def _explain(error: Any, model: type[BaseModel]) -> str:
    location = [str(part) for part in error["loc"]]
    key = ".".join(location)
    if error["type"] == "extra_forbidden":
        known = _fields_at(model, error["loc"][:-1])
        place = f"{'.'.join(location[:-1])}: " if location[:-1] else ""
        return place + unknown("key", location[-1], known)
    if error["type"] == "missing":
        return f"{key} is missing"
    value = error["input"]
    shown = f", got {value!r}" if not isinstance(value, (dict, list)) else ""
    message = error["msg"].removeprefix("Value error, ")
    explained = f"{message[:1].lower()}{message[1:]}{shown}"
    return f"{key}: {explained}" if key else explained


def _fields_at(model: Any, location: tuple[Any, ...]) -> list[str]:
    """Return the names of the fields of the record at ``location`` inside ``model``."""
    for part in location:
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            continue  # a key of a mapping or an index: the record's type stays
        model = _record_in(field.annotation) or model
    return list(getattr(model, "model_fields", {}))


def _record_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if found := _record_in(argument):
            return found
    return None

"""Records: frozen, strictly typed data, read from JSON or TOML with a message for every fault."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import to_json

from bench.errors import SpecError, unknown


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

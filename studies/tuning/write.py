"""A study file with the values that a tuning found, and where they came from."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from bench.errors import SpecError
from bench.profile import toml_text
from bench.spec import Scalar
from studies.schema import load_study


@dataclass(frozen=True)
class TunedValues:
    """Values for one method, and a sentence that says where they come from."""

    method: str
    values: Mapping[str, Scalar]
    origin: str


def check_target(study: str, target: Path, methods: Sequence[str]) -> None:
    """Raise SpecError where ``write_study`` would, before anything has been searched."""
    if target.suffix != ".toml":
        raise SpecError(f"--write {target}: a study file ends in .toml")
    if not os.access(target if target.exists() else target.parent, os.W_OK):
        raise SpecError(f"--write {target}: cannot be written there")
    lines = _text(study).splitlines()
    for method in methods:
        _section(lines, method)


def write_study(study: str, target: Path, found: Sequence[TunedValues]) -> None:
    """Write the study to ``target`` with each method's values in its own section.

    Everything else stays as it stands, comments too. Raises SpecError where the file has another
    form than sections, or where ``target`` is not to be written.
    """
    lines = _text(study).splitlines()
    for one in found:
        for name, value in one.values.items():
            lines = _with_value(lines, one, name, value)
    try:
        target.write_text("\n".join(lines) + "\n")
    except OSError as error:
        raise SpecError(f"--write {target}: cannot be written: {error.strerror}") from None
    methods = load_study(str(target)).methods
    for one in found:
        method = methods[one.method]
        held = {f"loss.{k}": v for k, v in (method.loss or {}).items()}
        held |= {f"crf.{k}": v for k, v in (method.crf or {}).items()}
        if any(held.get(name) != value for name, value in one.values.items()):
            raise SpecError(f"{target}: set {dict(one.values)} in methods.{one.method} by hand")


def _text(study: str) -> str:
    return toml_text(study, files("studies") / "definitions", "study")


def _section(lines: list[str], method: str) -> range:
    """Where the method's section is, its header included."""
    headers = {f"[methods.{method}]", f'[methods."{method}"]'}
    start = next((i for i, line in enumerate(lines) if line.strip() in headers), None)
    if start is None:
        raise SpecError(f"--write: the study has no section [methods.{method}] to write into")
    end = start + 1
    while end < len(lines) and not lines[end].lstrip().startswith("["):
        end += 1
    return range(start, end)


def _with_value(lines: list[str], found: TunedValues, name: str, value: Scalar) -> list[str]:
    """The lines with ``name = value`` in the method's section, in place of what it said of it."""
    section = _section(lines, found.method)
    held = [i for i in section if re.match(rf"\s*{re.escape(name)}\s*=", lines[i])]
    shown = f'"{value}"' if isinstance(value, str) else str(value).lower()
    line = f"{name} = {shown}  # {found.origin}"
    if held:
        return [*lines[: held[0]], line, *lines[held[0] + 1 :]]
    last = max(i for i in section if lines[i].strip())
    return [*lines[: last + 1], line, *lines[last + 1 :]]

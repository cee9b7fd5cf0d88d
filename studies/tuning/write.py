"""A study file with the values that a tuning found, and where they came from."""

from __future__ import annotations

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
class Found:
    """Values for one method, and a sentence that says where they come from."""

    method: str
    values: Mapping[str, Scalar]
    origin: str


def write_study(study: str, target: Path, found: Sequence[Found]) -> None:
    """Write the study to ``target`` with each method's values in its own section.

    Everything else stays as it stands, comments too. Raises SpecError where the file has another
    form than sections, or where ``target`` is not to be written.
    """
    text = toml_text(study, files("studies") / "definitions", "study")
    for one in found:
        for name, value in one.values.items():
            text = _with_value(text, one, name, value)
    if target.suffix != ".toml":
        raise SpecError(f"--write {target}: a study file ends in .toml")
    try:
        target.write_text(text)
    except OSError as error:
        raise SpecError(f"--write {target}: cannot be written: {error.strerror}") from None
    methods = load_study(str(target)).methods
    for one in found:
        method = methods[one.method]
        held = {f"loss.{k}": v for k, v in (method.loss or {}).items()}
        held |= {f"crf.{k}": v for k, v in (method.crf or {}).items()}
        if any(held.get(name) != value for name, value in one.values.items()):
            raise SpecError(f"{target}: set {dict(one.values)} in methods.{one.method} by hand")


def _with_value(text: str, found: Found, name: str, value: Scalar) -> str:
    """The text with ``name = value`` in the method's section, in place of what it said of it."""
    lines = text.splitlines()
    headers = {f"[methods.{found.method}]", f'[methods."{found.method}"]'}
    start = next((i for i, line in enumerate(lines) if line.strip() in headers), None)
    if start is None:
        raise SpecError(f"the study has no section [methods.{found.method}] to write {name} into")
    end = start + 1
    while end < len(lines) and not lines[end].lstrip().startswith("["):
        end += 1
    held = [i for i in range(start, end) if re.match(rf"\s*{re.escape(name)}\s*=", lines[i])]
    shown = f'"{value}"' if isinstance(value, str) else str(value).lower()
    line = f"{name} = {shown}  # {found.origin}"
    if held:
        lines[held[0]] = line
    else:
        last = max(i for i in range(start, end) if lines[i].strip())
        lines.insert(last + 1, line)
    return "\n".join(lines) + "\n"

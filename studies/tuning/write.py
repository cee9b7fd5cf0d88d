"""A study file with the values that a tuning found, each with a comment on its origin."""

from __future__ import annotations

import json
import os
import re
import tomllib
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
    """The tuned values of one method."""

    method: str
    values: Mapping[str, Scalar]
    origin: str
    """A sentence on where the values come from; written beside them as a comment."""
    trials: int
    """Number of complete trials behind them."""

    @property
    def of_recipe(self) -> bool:
        """Return whether they are of the recipe, whose number of trials a report names."""
        return any(name.startswith("recipe.") for name in self.values)


def check_target(study: str, target: Path, methods: Sequence[str]) -> None:
    """Raise SpecError if ``write_study`` would; called before the search begins."""
    if target.suffix != ".toml":
        raise SpecError(f"--write {target}: the name of a study file ends in .toml")
    if not os.access(target if target.exists() else target.parent, os.W_OK):
        raise SpecError(f"--write {target}: cannot be written; name a file in a writable folder")
    lines = _text(study).splitlines()
    for method in methods:
        _section(lines, method)


def write_study(study: str, target: Path, tuned: Sequence[TunedValues]) -> None:
    """Write the study to ``target`` with the tuned values in each method's section.

    All other lines are copied unchanged, comments included.

    Args:
        study: the study's name or path.
        target: the file to write.
        tuned: the values of each method.

    Raises:
        SpecError: a method has no section of its own, or ``target`` cannot be written.
    """
    lines = _text(study).splitlines()
    for one in tuned:
        for name, value in one.values.items():
            lines = _with_value(lines, one.method, name, value, one.origin)
        if one.of_recipe:
            told = "trials behind the values of recipe"
            lines = _with_value(lines, one.method, "trials", one.trials, told)
    try:
        target.write_text("\n".join(lines) + "\n")
    except OSError as error:
        raise SpecError(f"--write {target}: cannot be written: {error.strerror}") from None
    methods = load_study(str(target)).methods
    for one in tuned:
        method = methods[one.method]
        written = {f"loss.{k}": v for k, v in (method.loss or {}).items()}
        written |= {f"crf.{k}": v for k, v in (method.crf or {}).items()}
        written |= {f"recipe.{k}": v for k, v in method.recipe.items()}
        if any(written.get(name) != value for name, value in one.values.items()):
            raise SpecError(f"{target}: set {dict(one.values)} in methods.{one.method} by hand")


def _text(study: str) -> str:
    return toml_text(study, files("studies") / "definitions", "study")


def _section(lines: list[str], method: str) -> range:
    """Return the line numbers of the method's section, its header included."""
    headers = {f"[methods.{method}]", f'[methods."{method}"]'}
    start = next((i for i, line in enumerate(lines) if line.strip() in headers), None)
    if start is None:
        raise SpecError(f"--write: the study has no section [methods.{method}] to write into")
    end = start + 1
    while end < len(lines) and not lines[end].lstrip().startswith("["):
        end += 1
    return range(start, end)


def _with_value(lines: list[str], method: str, name: str, value: Scalar, comment: str) -> list[str]:
    """Return the lines with ``name = value`` in the method's section; it replaces an old value."""
    lines = _opened(lines, _section(lines, method), name)
    section = _section(lines, method)
    old = [i for i in section if re.match(rf"\s*{re.escape(name)}\s*=", lines[i])]
    shown = f'"{value}"' if isinstance(value, str) else str(value).lower()
    line = f"{name} = {shown}  # {comment}"
    if old:
        return [*lines[: old[0]], line, *lines[old[0] + 1 :]]
    last = max(i for i in section if lines[i].strip())
    return [*lines[: last + 1], line, *lines[last + 1 :]]


def _opened(lines: list[str], section: range, name: str) -> list[str]:
    """Return the lines with a line for each value of an inline table that ``name`` belongs to.

    TOML lets nothing be added to an inline table such as ``loss.ce = {}``.
    """
    table = name.rpartition(".")[0]
    inline = re.compile(rf"\s*{re.escape(table)}\s*=\s*(\{{.*\}})")
    for i in section:
        if found := inline.match(lines[i]):
            values = tomllib.loads(f"table = {found[1]}")["table"]
            return [
                *lines[:i],
                *(f"{table}.{key} = {json.dumps(value)}" for key, value in values.items()),
                *lines[i + 1 :],
            ]
    return lines

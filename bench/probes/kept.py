"""What checks found that need torch, kept in a root until anything that decides it changes.

The key of a finding holds its inputs and ``at_hand``: a digest of this project's files, of the
installed packages with their versions, and of plug-ins; of the packages that these use, the times
of their files too. So a finding is never older than the code.
No torch here.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.files import read_json, write_json
from bench.runs.source_code import WORKER_PACKAGES, code_files, text_of
from bench.spec import digest

PLUGINS = ("segloss.losses", "segloss.datasets")
"""Groups of entry points by which other packages add losses and data sets."""


def kept(root: Path, key: list[Any], make: Callable[[], Any]) -> Any:
    """Return the finding of this key from the root's cache, or make and keep it.

    Args:
        root: Output folder.
        key: JSON-shaped: everything that decides the finding.
        make: Returns the finding, JSON-shaped and not None.
    """
    if (found := recall(root, key)) is None:
        found = make()
        keep(root, key, found)
    return found


def recall(root: Path, key: list[Any]) -> Any:
    """Return the finding of this key; None where the root keeps none, or a damaged one."""
    stored = read_json(_place(root, key))
    if not isinstance(stored, dict) or stored.get("check") != digest([stored.get("found")]):
        return None
    return stored["found"]


def keep(root: Path, key: list[Any], found: Any) -> None:
    """Keep a finding; a root that is missing or cannot be written keeps nothing."""
    if root.is_dir():
        with suppress(OSError):  # a full disk, or a root of another user
            write_json(_place(root, key), {"found": found, "check": digest([found])})


def _place(root: Path, key: list[Any]) -> Path:
    return root / "cache" / "probes" / f"{digest(key)}.json"


def at_hand(modules: Iterable[str] = ()) -> str:
    """Return a digest of everything here that may decide what a check finds.

    Args:
        modules: Modules of other packages that the check uses, beside plug-ins.
    """
    text = text_of(*sorted(modules))
    packages = sorted({"timm", *text["packages"]})
    return digest([_code_and_packages(), text, list(map(stamp, packages))])


@cache
def _code_and_packages() -> str:
    code = {name: hashlib.sha256(data).hexdigest() for name, data in code_files(WORKER_PACKAGES)}
    # An installed package's description is called NAME-VERSION.dist-info, or .egg-info.
    packages = {info.name for place in sys.path for info in Path(place).glob("*.*-info")}
    points = [point for group in PLUGINS for point in entry_points(group=group)]
    plugins = sorted((point.group, point.name, point.value) for point in points)
    text = text_of(*sorted({point.module for point in points}))
    stamps = list(map(stamp, sorted(text["packages"])))
    return digest([sys.version, code, sorted(packages), plugins, text, stamps])


@cache
def stamp(package: str) -> str:
    """Return a digest of the sizes and times of a package's files, which may be edited in place."""
    spec = find_spec(package)
    folders = map(Path, (spec and spec.submodule_search_locations) or ())
    files = sorted(file for folder in folders for file in folder.rglob("*.py"))
    stats = [(str(file), file.stat()) for file in files]
    return digest([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])

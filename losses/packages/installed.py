"""Objects of installed packages, named by an import path such as "torchvision.ops:MLP".

To import a module runs its code. So a path is imported only if its package is installed: a file
beside a study or in the current folder never is, even if Python would find it first.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from functools import cache
from importlib.metadata import distributions, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
INSTALLED = ("site-packages", "dist-packages")


def package_of(path: str) -> str:
    """Return distribution and version that an import path belongs to, without importing it.

    >>> package_of("jinja2.nodes:Node").partition(" ")[0]
    'jinja2'

    Args:
        path: "package.module:name".

    Returns:
        Such as "torchvision 0.26.0", without the build behind "+".

    Raises:
        ValueError: it is no import path, or its package is not installed.
    """
    if not IMPORT_PATH.fullmatch(path):
        raise ValueError(f"{path!r} is no import path; write package.module:name")
    top = re.split("[.:]", path)[0]
    if top in sys.stdlib_module_names:
        raise ValueError(
            f"{path!r}: {top} is part of Python; name an object of an installed package"
        )
    place = _place(top)
    if place is None:
        raise ValueError(f"{path!r}: package {top!r} is not installed in {sys.prefix}")
    found = _distribution(top, place)
    if found is None:
        raise ValueError(
            f"{path!r}: Python finds {top!r} in {place.parent}, where it is not installed, and "
            "only installed packages are imported; make it a package and install it: pip install "
            "--editable FOLDER"
        )
    name, version = found
    normalised = re.sub("[-_.]+", "-", name).lower()  # as PyPA does
    return f"{normalised} {version.partition('+')[0]}"


def load(path: str) -> Any:
    """Return the object that an import path names, from an installed package.

    >>> load("jinja2.nodes:Node").__name__
    'Node'

    Raises:
        ValueError: the package is not installed, cannot be imported, or has no such object.
    """
    package_of(path)
    module, _, name = path.partition(":")
    try:
        found = importlib.import_module(module)
    except Exception as error:  # a module may raise anything
        raise ValueError(f"{path!r} cannot be imported: {type(error).__name__}: {error}") from error
    if not hasattr(found, name):
        raise ValueError(f"{path!r}: {module} has no {name!r}")
    return getattr(found, name)


def _place(top: str) -> Path | None:
    """Return the file or folder that Python would import ``top`` from."""
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):  # a module without a specification
        return None
    if spec is None:
        return None
    places = [*(spec.submodule_search_locations or ()), spec.origin]
    return Path(places[0]).resolve() if places[0] else None


def _distribution(top: str, place: Path) -> tuple[str, str] | None:
    """Return name and version of the distribution that ``place`` belongs to."""
    if set(INSTALLED) & set(place.parts):
        names = _tops().get(top, ())
        return next(((name, version(name)) for name in sorted(names)), None)
    return next((found for folder, found in _editable() if place.is_relative_to(folder)), None)


@cache
def _tops() -> dict[str, list[str]]:
    return dict(packages_distributions())


@cache
def _editable() -> list[tuple[Path, tuple[str, str]]]:
    """Return the folder of each editable installation, with name and version."""
    found = []
    for distribution in distributions():
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
        if origin.get("dir_info", {}).get("editable"):
            folder = Path(url2pathname(urlparse(origin["url"]).path)).resolve()
            found.append((folder, (distribution.name, distribution.version)))
    return found

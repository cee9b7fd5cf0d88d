"""The code of a run: a session runs a snapshot, so that edits meanwhile mix no versions.

``text_of`` names the files and packages that one part of a run consists of.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp

PACKAGES = ("bench", "losses", "postproc", "studies", "reports")
WORKER_PACKAGES = ("bench", "losses", "postproc")
SOURCE = Path(__file__).parents[2]
COMMIT = "commit"
"""File of a snapshot that names the git commit of the checkout that it was taken from."""
INSTALLED = ("site-packages", "dist-packages")
DISTRIBUTIONS = {"PIL": "pillow", "cv2": "opencv-python", "sklearn": "scikit-learn"}
"""Packages of another name than their distribution; to search for them takes 0.2 s."""

Text = dict[str, dict[str, str]]
"""Content of a part: {"files": digest by module, "packages": version by package}."""
# A line that only looks like an import names no module, so it does no harm.
IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+([.\w]+)[ \t]+import[ \t]+(\([^)]*\)|[^\n]+)|import[ \t]+([^\n]+))",
    re.MULTILINE,
)


def take_snapshot(root: Path) -> Path:
    """Return ``<root>/code/<digest>/``, a copy of the five packages as they are now."""
    files = dict(code_files(PACKAGES))
    folder = root / "code" / _digest_of(files)
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        new = Path(mkdtemp(dir=folder.parent, prefix="."))
        for name, data in files.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_bytes(data)
        new.chmod(0o755)
        new.rename(folder)
    (folder / COMMIT).write_text(_checked_out() or "")
    return folder


@cache
def project_digest() -> str:
    """Return the digest of the five packages as they were when this process first asked."""
    return _digest_of(dict(code_files(PACKAGES)))


def code_commit() -> str | None:
    """Return the git commit of the snapshot that this process runs; None where it is not known."""
    with contextlib.suppress(OSError):
        return (SOURCE / COMMIT).read_text() or None
    return None


def _checked_out() -> str | None:
    """Return the commit of the project's checkout, "+edited" if its code differs; None of none."""
    if not (SOURCE / ".git").exists():  # a wheel, perhaps inside another project's checkout
        return None
    commit = _git("rev-parse", "HEAD")
    edited = commit and _git("status", "--porcelain", "--", *PACKAGES)
    return f"{commit}+edited" if edited else commit


def _git(*arguments: str) -> str | None:
    """Return what a git command prints about the checkout; None where it fails."""
    command = ["git", "-C", str(SOURCE), *arguments]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()
    return None


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


def plugin_digest(*losses: type) -> str | None:
    """Return the digest of the files of losses outside the project; None without any."""
    paths = dict.fromkeys(Path(inspect.getfile(loss)) for loss in losses)
    others = [path.read_bytes() for path in paths if not _is_ours(path)]
    return _short(b"".join(others)) if others else None


def text_of(*modules: str, within: tuple[str, ...] = ("",)) -> Text:
    """Return the files and packages that modules consist of, found by following their imports.

    Nothing is imported. The search ends at installed packages, of which the version is noted; the
    modules' own packages are read file by file, wherever they are installed.

    Args:
        modules: Names of modules, such as "losses.rmi".
        within: Beginnings of the names to keep; the default keeps all.
    """
    text: Text = {"files": {}, "packages": {}}
    waiting, own = [*modules], {*PACKAGES, *(name.partition(".")[0] for name in modules)}
    seen = set()
    while waiting:
        name = waiting.pop()
        top = name.partition(".")[0]
        if name in seen or top in sys.stdlib_module_names or not name.startswith(within):
            continue
        seen.add(name)
        if top not in own and (found := installed_version(top)):
            text["packages"][top] = found
        elif path := _file_of(name):
            data = path.read_bytes()
            text["files"][name] = _short(data)
            package = name if path.name == "__init__.py" else name.rpartition(".")[0]
            waiting += _imports(data.decode(errors="replace"), package)
    return {kind: dict(sorted(names.items())) for kind, names in text.items()}


def changed_text(recorded: Text) -> list[str]:
    """Return the names of recorded files and packages that differ from those at hand."""
    changed = []
    for name, digest in recorded.get("files", {}).items():
        path = _file_of(name)
        if path is None or _short(path.read_bytes()) != digest:
            changed.append(name)
    packages = recorded.get("packages", {}).items()
    return changed + [name for name, digest in packages if installed_version(name) != digest]


def _imports(source: str, package: str) -> Iterator[str]:
    """Yield the names that may be modules in the import statements of a file of ``package``."""
    for origin, names, plain in IMPORT.findall(source):
        listed = [word.split()[0] for word in re.split(r"[(),]", names or plain) if word.split()]
        if plain:
            yield from listed
            continue
        dots = len(origin) - len(origin.lstrip("."))
        parents = package.split(".")[: len(package.split(".")) + 1 - dots] if dots else []
        base = ".".join(filter(None, [*parents, origin.lstrip(".")]))
        yield base
        yield from (f"{base}.{name}" for name in listed)


def _file_of(module: str) -> Path | None:
    """Return the file of a module, which is not imported; None for a name that is no module."""
    top, *rest = module.split(".")
    with contextlib.suppress(ImportError, ValueError):  # a module without a specification
        if (spec := find_spec(top)) is None:
            return None
        if not rest:
            return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
        for folder in spec.submodule_search_locations or ():
            place = Path(folder, *rest)
            for path in (place.with_suffix(".py"), place / "__init__.py"):
                if path.is_file():
                    return path
    return None


@cache
def installed_version(package: str) -> str | None:
    """Return the version of a package in site-packages, without the build behind "+"; else None."""
    with contextlib.suppress(ImportError, ValueError):
        spec = find_spec(package)
        places = [spec.origin or "", *(spec.submodule_search_locations or ())] if spec else []
        if not any(folder in Path(p).parts for p in places for folder in INSTALLED):
            return None
        found = _version(DISTRIBUTIONS.get(package, package))
        return found.partition("+")[0] if found else "unknown"
    return None


def _version(distribution: str) -> str | None:
    with contextlib.suppress(PackageNotFoundError):
        return version(distribution)
    return None


def _digest_of(files: dict[str, bytes]) -> str:
    content = hashlib.sha256()
    for name, data in sorted(files.items()):
        content.update(name.encode() + b"\0" + data + b"\0")
    return content.hexdigest()[:12]


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def _is_ours(path: Path) -> bool:
    return path.is_relative_to(SOURCE) and path.relative_to(SOURCE).parts[0] in WORKER_PACKAGES


def code_files(packages: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of each file of these packages of the project."""
    for package in packages:
        for path in sorted((SOURCE / package).rglob("*")):
            if path.is_file() and path.suffix not in (".pyc", ".pyo"):
                yield str(path.relative_to(SOURCE)), path.read_bytes()

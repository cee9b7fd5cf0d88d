"""Merge: bring what another root has finished into this one, such as another machine's night."""

from __future__ import annotations

import errno
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import RootError, SeglossError
from bench.files import read_json
from bench.manifest import Manifest, remember
from bench.records import parse
from bench.runs.rundir import RunDir, State, run_dir
from studies.ledger import DONE, current_state

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass
class MergeResult:
    """What a merge did."""

    runs: list[str] = field(default_factory=list)
    """Brought into this root."""
    same: int = 0
    """Runs that were finished here already, with the same result."""
    studies: list[str] = field(default_factory=list)
    """Manifests brought, by name."""
    notes: list[str] = field(default_factory=list)
    """Conflicts and what was passed over, a line each."""


def check_other(root: Path, other: Path) -> list[RunDir]:
    """The run directories of ``other``; raises RootError where it could not be merged."""
    try:
        if not other.is_dir():
            raise RootError(f"{other}: no such folder; --from wants the root of another machine")
        if root.is_dir() and other.samefile(root):
            raise RootError(f"{other} is this root itself; --from wants another one")
        if not (other / "runs").is_dir() or not (other / "studies").is_dir():
            raise RootError(f"{other} is no root of segloss: runs/ or studies/ is missing")
        paths = sorted((other / "runs").iterdir())
        return [RunDir(path) for path in paths if path.is_dir() and path.name[0] != "."]
    except OSError as error:
        raise RootError(f"{other}: cannot be read: {error.strerror}") from error


def merge(root: Path, other: Path) -> MergeResult:
    """Bring finished runs and the studies of ``other`` into ``root``, which the caller has locked.

    A run that is finished here is never touched, and one that is at work here is left to its
    worker. Each run comes whole or not at all; a merge that was cut off is repeated. Raises
    RootError where ``other`` is no root, or ``root`` cannot be written.
    """
    found = check_other(root, other)
    merged = MergeResult()
    with _staging_folder(root) as staging:
        for theirs in found:
            _merge_run(theirs, run_dir(root, theirs.run_id), staging, merged)
        for path in sorted((other / "studies").glob("*.json")):
            _merge_study(root, path, merged)
    return merged


@contextmanager
def _staging_folder(root: Path) -> Iterator[Path]:
    """A folder beside the runs, where copies are made; gone afterwards."""
    staging = root / "runs" / ".merge"  # on their file system, so that a rename is one step
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir(parents=True)
        yield staging
    except OSError as error:
        raise RootError(f"{root}: cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _merge_run(theirs: RunDir, ours: RunDir, staging: Path, merged: MergeResult) -> None:
    try:
        if _state(theirs).status not in DONE:
            return
        status = current_state(ours).status
        if status == "diverged" or (status == "finished" and ours.result() is not None):
            _compare(ours, theirs, merged)
        elif status == "running":
            merged.notes.append(f"{ours.run_id}: finished there, but at work here; left to it")
        else:
            copy = RunDir(staging / theirs.run_id)
            _copy_folder(theirs.path, copy.path)
            _check_whole(copy)
            _move_into_place(copy.path, ours.path, staging)
            merged.runs.append(ours.run_id)
    except (SeglossError, ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        merged.notes.append(f"{theirs.path} is passed over: {_first_line(error)}")


def _state(directory: RunDir) -> State:
    """The state, where RunDir.state would make the best of a file that is torn."""
    path = directory.path / "state.json"
    data = read_json(path)
    if data is None and path.exists():
        raise RootError("its state.json is torn")
    return parse(State, data or {}, where="its state.json")


def _compare(ours: RunDir, theirs: RunDir, merged: MergeResult) -> None:
    mine, other = _results(ours), _results(theirs)
    # What one version scores and another did not is no contradiction.
    differ = sorted(key for key in mine.keys() & other.keys() if mine[key] != other[key])
    if differ:
        what = ", ".join(differ)
        merged.notes.append(
            f"{ours.run_id}: finished here and in {theirs.root} with another result "
            f"({what}); kept the one here"
        )
    else:
        merged.same += 1


def _results(directory: RunDir) -> dict[str, str]:
    """What two machines that did the same must agree on; time and environment may differ."""
    found = {"status": directory.state().status}
    if result := directory.result():
        found |= {name: repr(value) for name, value in result["metrics"].items()}
        found["weights"] = str(result["digests"].get("weights"))
    return found


def _check_whole(directory: RunDir) -> None:
    """Raise RootError where a finished run lacks a file, or has half of one."""
    spec, state = directory.spec(), _state(directory)
    if spec.run_id != directory.run_id:
        raise RootError(f"its spec.json is of run {spec.run_id}")
    if state.status not in DONE:
        raise RootError(f"its state.json says {state.status}")
    if state.status == "diverged":
        return
    result = directory.result()
    if result is None:
        raise RootError("its result.json is missing or torn")
    if result["run_id"] != spec.run_id:
        raise RootError(f"its result.json is of run {result['run_id']}")
    if not zipfile.is_zipfile(directory.confusion):
        raise RootError(f"its {directory.confusion.name} is missing or torn")
    if spec.trains and not _is_safetensors(directory.weights):
        raise RootError(f"its {directory.weights.name} is missing or torn")


def _is_safetensors(path: Path) -> bool:
    """Whether the file is as long as its header says."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        size = path.stat().st_size
        if not 0 < length <= size - 8:
            return False
        header = json.loads(file.read(length))
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    return size == 8 + length + max(ends, default=0)


def _copy_folder(source: Path, target: Path) -> None:
    """A copy of the plain files, on the disk for good when this returns."""
    target.mkdir()
    for entry in sorted(source.iterdir()):
        if entry.name.startswith("."):
            continue  # what a killed writer left
        if entry.is_dir():
            _copy_folder(entry, target / entry.name)
        elif entry.is_file():
            shutil.copyfile(entry, target / entry.name)
            _sync(target / entry.name)
    _sync(target)


def _move_into_place(copy: Path, place: Path, staging: Path) -> None:
    if place.exists():
        place.rename(staging / f"{place.name}.old")
    copy.rename(place)
    _sync(place.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _merge_study(root: Path, path: Path, merged: MergeResult) -> None:
    try:
        theirs = _manifest(path)
        here = root / "studies" / path.name
        ours = _manifest(here) if here.exists() else None
    except (SeglossError, OSError) as error:
        merged.notes.append(f"{path} is passed over: {_first_line(error)}")
        return
    if theirs.name != path.stem:
        merged.notes.append(f"{path} is passed over: it is of {theirs.name}")
    elif ours is None or (
        set(ours.seeds) < set(theirs.seeds)
        and _with_seeds_of(theirs, ours) == _with_seeds_of(ours, ours)
    ):
        remember(root, theirs)
        merged.studies.append(theirs.name)
    elif not set(theirs.seeds) <= set(ours.seeds) or _with_seeds_of(ours, theirs) != _with_seeds_of(
        theirs, theirs
    ):
        merged.notes.append(
            f"{theirs.name}: its tables differ from those in {path.parent.parent}; kept those here"
        )


def _manifest(path: Path) -> Manifest:
    data = read_json(path)
    if data is None:
        raise RootError("it is torn")
    return parse(Manifest, data, where=path.name)


def _with_seeds_of(manifest: Manifest, other: Manifest) -> Manifest:
    """``manifest`` with no more than the seeds of ``other``, and without jobs: rows decide."""
    at = [manifest.seeds.index(seed) for seed in other.seeds]
    tables = tuple(
        table.model_copy(
            update={
                "rows": tuple(
                    row.model_copy(update={"run_ids": tuple(row.run_ids[i] for i in at)})
                    for row in table.rows
                )
            }
        )
        for table in manifest.tables
    )
    return manifest.model_copy(update={"seeds": other.seeds, "tables": tables, "jobs": ()})


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]

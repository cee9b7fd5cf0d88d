"""Merge: copy the finished runs and the studies of another root, such as another machine's."""

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
from bench.files import parse, read_json
from bench.manifest import Manifest, remember
from bench.runs.rundir import RunDir, State, run_dir
from bench.spec import RunSpec
from studies.ledger import DONE, current_state

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass
class MergeResult:
    """The outcome of a merge."""

    runs: list[str] = field(default_factory=list)
    """Ids of the runs that were copied."""
    same: int = 0
    """Number of runs that were finished here already, with the same result."""
    studies: list[str] = field(default_factory=list)
    """Names of the manifests that were copied."""
    notes: list[str] = field(default_factory=list)
    """One line for each conflict and for each skipped run or manifest."""


def check_other(root: Path, other: Path) -> list[RunDir]:
    """Return the run directories of ``other``; raises RootError if it cannot be merged."""
    try:
        if not other.is_dir():
            raise RootError(f"{other}: no such folder; give --from another output folder")
        if root.is_dir() and other.samefile(root):
            raise RootError(f"{other} is this root itself; give --from another output folder")
        if not (other / "runs").is_dir() or not (other / "studies").is_dir():
            raise RootError(
                f"{other} is no output folder: runs/ or studies/ is missing; "
                "give --from the folder that a session wrote"
            )
        paths = sorted((other / "runs").iterdir())
        return [RunDir(path) for path in paths if path.is_dir() and path.name[0] != "."]
    except OSError as error:
        raise RootError(f"{other}: cannot be read: {error.strerror}") from error


def merge(root: Path, other: Path) -> MergeResult:
    """Copy the finished runs and the studies of ``other`` into ``root``.

    A run that is finished or running in ``root`` is not changed. Each run is copied completely or
    not at all, so a merge that was interrupted can simply be repeated.

    Args:
        root: the output folder to copy into; the caller has locked it.
        other: the output folder to copy from.

    Raises:
        RootError: ``other`` is no output folder, or ``root`` cannot be written.
    """
    sources = check_other(root, other)
    merged = MergeResult()
    with _staging_folder(root) as staging:
        for source in sources:
            _merge_run(source, run_dir(root, source.run_id), staging, merged)
        for path in sorted((other / "studies").glob("*.json")):
            _merge_study(root, path, merged)
    return merged


@contextmanager
def _staging_folder(root: Path) -> Iterator[Path]:
    """Yield a temporary folder beside the runs, where they are copied first."""
    staging = root / "runs" / ".merge"  # on the same file system, so that a rename is atomic
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir(parents=True)
        yield staging
    except OSError as error:
        raise RootError(f"{root}: cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _merge_run(source: RunDir, target: RunDir, staging: Path, merged: MergeResult) -> None:
    try:
        if _state(source).status not in DONE:
            return
        status = current_state(target).status
        done = status == "diverged" or (status == "finished" and target.result() is not None)
        if done and not _completes(source, target):
            _compare(target, source, merged)
        elif status == "running":
            merged.notes.append(
                f"{target.run_id}: finished in {source.root}, but running here; left as it is"
            )
        else:
            copy = RunDir(staging / source.run_id)
            _copy_folder(source.path, copy.path)
            _check_complete(copy)
            _move_into_place(copy.path, target.path, staging)
            merged.runs.append(target.run_id)
    except (SeglossError, ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        merged.notes.append(f"{source.path} is skipped: {_first_line(error)}")


def _state(directory: RunDir) -> State:
    """Return the state; raises RootError if it is damaged, which ``RunDir.state`` tolerates."""
    path = directory.path / "state.json"
    data = read_json(path)
    if data is None and path.exists():
        raise RootError("its state.json is damaged")
    return parse(State, data or {}, where="its state.json")


def _completes(source: RunDir, target: RunDir) -> bool:
    """Return whether ``source`` is the same run with the weights that a bundle left out."""
    lacks = target.published.exists() and not source.published.exists()
    return lacks and not _differences(target, source)


def _compare(target: RunDir, source: RunDir, merged: MergeResult) -> None:
    if differ := _differences(target, source):
        names = ", ".join(differ)
        merged.notes.append(
            f"{target.run_id}: finished here and in {source.root} with different results "
            f"({names}); the one here is kept"
        )
    else:
        merged.same += 1


def _differences(one: RunDir, other: RunDir) -> list[str]:
    """Return the names of the results in which two runs differ."""
    here, there = _results(one), _results(other)
    # A metric that only one of two versions computes is no contradiction.
    return sorted(key for key in here.keys() & there.keys() if here[key] != there[key])


def _results(directory: RunDir) -> dict[str, str]:
    """Return the results on which two machines must agree; time and environment may differ."""
    results = {"status": directory.state().status}
    if result := directory.result():
        results |= {name: repr(value) for name, value in result["metrics"].items()}
        results["weights"] = str(result["digests"].get("weights"))
    return results


def _check_complete(directory: RunDir) -> None:
    """Raise RootError if a file of a finished run is missing or damaged."""
    if directory.imported.exists():
        if directory.result() is None:
            raise RootError("its result.json is missing or damaged")
        return
    spec, state = directory.spec(), _state(directory)
    if spec.run_id != directory.run_id:
        raise RootError(f"its spec.json belongs to run {spec.run_id}")
    if state.status not in DONE:
        raise RootError(f"its state.json says {state.status}")
    if state.status == "finished":
        _check_result(directory, spec)


def _check_result(directory: RunDir, spec: RunSpec) -> None:
    result = directory.result()
    if result is None:
        raise RootError("its result.json is missing or damaged")
    if result["run_id"] != spec.run_id:
        raise RootError(f"its result.json belongs to run {result['run_id']}")
    if directory.published.exists():
        return  # a bundle holds no weights, and not every run's matrices
    if not zipfile.is_zipfile(directory.confusion):
        raise RootError(f"its {directory.confusion.name} is missing or damaged")
    if spec.trains and not _is_safetensors(directory.weights):
        raise RootError(f"its {directory.weights.name} is missing or damaged")


def _is_safetensors(path: Path) -> bool:
    """Return whether the file has the length that its header declares."""
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
    """Copy regular files and folders; they are on the disk (fsync) when this returns."""
    target.mkdir()
    for entry in sorted(source.iterdir()):
        if entry.name.startswith("."):
            continue  # a temporary file of a killed writer
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
        source = _manifest(path)
        place = root / "studies" / path.name
        existing = _manifest(place) if place.exists() else None
    except (SeglossError, OSError) as error:
        merged.notes.append(f"{path} is skipped: {_first_line(error)}")
        return
    if source.name != path.stem:
        merged.notes.append(f"{path} is skipped: it belongs to {source.name}")
    elif existing is None or (
        set(existing.seeds) < set(source.seeds) and _contains(source, existing)
    ):
        remember(root, source)
        merged.studies.append(source.name)
    elif not _contains(existing, source):
        merged.notes.append(
            f"{source.name}: its tables differ from those in {path.parent.parent}; "
            "those here are kept"
        )


def _manifest(path: Path) -> Manifest:
    data = read_json(path)
    if data is None:
        raise RootError("it is damaged")
    return parse(Manifest, data, where=path.name)


def _contains(larger: Manifest, smaller: Manifest) -> bool:
    """Return whether ``larger`` has all seeds of ``smaller`` and the same tables for them."""
    if not set(smaller.seeds) <= set(larger.seeds):
        return False
    return _with_seeds(larger, smaller.seeds) == _with_seeds(smaller, smaller.seeds)


def _with_seeds(manifest: Manifest, seeds: tuple[int, ...]) -> Manifest:
    """Return ``manifest`` reduced to ``seeds``, without jobs, which follow from the rows."""
    at = [manifest.seeds.index(seed) for seed in seeds]
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
    return manifest.model_copy(update={"seeds": seeds, "tables": tables, "jobs": ()})


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]

"""A folder of run directories, read as if it were a store: "runs:<path>" is its address.

What a report reads is what the mirror would have written, so its numbers are the same.
"""

from __future__ import annotations

from pathlib import Path

from bench.files import parse, read_json
from bench.manifest import IMPORTED, Manifest
from bench.runs.rundir import RunDir, run_dir
from bench.store.snapshot import IMPORTED_PLACES, PLACES, RunSnapshot

SCHEME = "runs:"
Points = list[tuple[int, float]]


def address(root: Path) -> str:
    """Return the address of a folder that holds runs/ and studies/."""
    return f"{SCHEME}{root.resolve()}"


def folder(uri: str) -> Path | None:
    """Return the folder of such an address; None for any other store."""
    return Path(uri.removeprefix(SCHEME)) if uri.startswith(SCHEME) else None


def names(root: Path) -> list[str]:
    """Return the "study/profile" of every study in the folder."""
    paths = sorted((root / "studies").glob("*.json"))
    found = (parse(Manifest, read_json(path), where=str(path)) for path in paths)
    return [f"{manifest.study}/{manifest.profile}" for manifest in found]


def snapshots(root: Path, manifest: Manifest) -> dict[str, RunSnapshot]:
    """Return what the mirror would write of each run that ever started, by its id."""
    places = IMPORTED_PLACES if manifest.role == IMPORTED else PLACES
    ids = dict.fromkeys(run_id for row in manifest.rows.values() for run_id in row.run_ids)
    found = {run_id: RunSnapshot.read(run_dir(root, run_id), places) for run_id in ids}
    return {run_id: one for run_id, one in found.items() if one.state.status != "queued"}


def role(manifest: Manifest, directory: RunDir) -> str:
    """Return the role of a run, as the mirror tags it."""
    if manifest.role == "train" and not directory.spec().trains:
        return "evaluate"
    return manifest.role


def histories(root: Path, run_ids: list[str], keys: list[str]) -> dict[tuple[str, str], Points]:
    """Return the curve of each (run, metric) that was recorded: (step, value) pairs by step."""
    curves: dict[tuple[str, str], Points] = {}
    for run_id in run_ids:
        numbers = RunSnapshot.read(run_dir(root, run_id)).numbers
        for (key, step), (value, _) in sorted(numbers.items()):
            if key in keys:
                curves.setdefault((run_id, key), []).append((step, value))
    return curves

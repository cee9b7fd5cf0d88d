"""Whether a store needs a sync, asked of the tables of a sqlite store: MLflow is not imported."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from bench.manifest import Manifest
from bench.runs.rundir import State, run_dir
from bench.spec import digest
from bench.store.client import database
from bench.store.sqlite import RunRow, experiment_id, run_rows


def is_current(uri: str, root: Path, manifest: Manifest) -> bool:
    """Return whether a store is known to hold a study as its run directories do.

    Args:
        uri: the store; of one that is no sqlite file nothing is known.
        root: the output folder that holds the run directories.
        manifest: the study.
    """
    stored = _tags(uri, manifest)
    study = next((tags for tags in stored if tags.get("segloss.role") == "study"), {})
    if study.get("segloss.manifest") != digest(manifest.model_dump(mode="json")):
        return False
    by_run = {tags.get("segloss.run_id"): tags for tags in stored}
    ids = {run_id for row in manifest.rows.values() for run_id in row.run_ids}
    return all(_holds(by_run.get(run_id), run_dir(root, run_id).state()) for run_id in ids)


def _tags(uri: str, manifest: Manifest) -> list[dict[str, str]]:
    file = database(uri)
    if file is None or not file.exists():
        return []
    try:
        experiment = experiment_id(file, f"{manifest.study}/{manifest.profile}")
        runs: list[RunRow] = run_rows(file, experiment) if experiment else []
    except sqlite3.Error:  # a sync either writes to the file or reports the cause
        return []
    return [run.tags for run in runs]


def _holds(tags: Mapping[str, str] | None, state: State) -> bool:
    """Return whether a run was synced in this state; one that never started has no tags."""
    if tags is None:
        return state.status == "queued"
    updated = tags.get("segloss.updated") == repr(state.updated)
    return updated and tags.get("segloss.kept", "") == (state.kept or "")

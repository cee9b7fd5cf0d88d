"""Whether a store needs a sync, asked of the tables of a sqlite store: MLflow is not imported."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from bench.manifest import Manifest
from bench.runs.rundir import RunDir, run_dir
from bench.spec import digest
from bench.store.client import StoreError, database
from bench.store.mirror import SOURCE
from bench.store.places import local_folder
from bench.store.run_files import lost_files
from bench.store.sqlite import RunRow, experiment_id, experiment_tags, run_rows, tagged_runs
from bench.store.views.saved import decode_view, saved_views, view_tag


def is_current(uri: str, root: Path, manifest: Manifest) -> bool:
    """Return whether a store is known to hold a study as its run directories do.

    Args:
        uri: the store; of one that is no sqlite file nothing is known.
        root: the output folder that holds the run directories.
        manifest: the study.
    """
    file = database(uri)
    if file is None or not file.exists():
        return False
    try:
        experiment = experiment_id(file, f"{manifest.study}/{manifest.profile}")
        if experiment is None:
            return False
        runs = run_rows(file, experiment)
        return (
            _has_views(file, experiment, manifest, runs)
            and any(_is_study(uri, run, manifest) for run in runs)
            and _has_runs(uri, root, manifest, runs)
        )
    except (sqlite3.Error, StoreError, ValueError):  # a sync either mends it or reports the cause
        return False


def _has_views(file: Path, experiment: str, manifest: Manifest, runs: list[RunRow]) -> bool:
    """Return whether the saved views are those of this version, or a sync would write none."""
    with_source = tagged_runs(file, experiment, SOURCE)
    if any(run.run_id not in with_source for run in runs if run.tags.get("segloss.run_id")):
        return True  # runs of an older version, which lack what the views show
    tags = experiment_tags(file, experiment)
    wanted = {view_tag(key): view for key, view in saved_views(manifest).items()}
    return all(tag in tags and decode_view(tags[tag]) == view for tag, view in wanted.items())


def _is_study(uri: str, run: RunRow, manifest: Manifest) -> bool:
    """Return whether a run of the store is that of the study itself, with this manifest."""
    content = digest(manifest.model_dump(mode="json"))
    if run.tags.get("segloss.role") != "study" or run.tags.get("segloss.manifest") != content:
        return False
    folder = local_folder(uri, run.artifact_uri)
    return folder is None or (folder / "manifest.json").exists()


def _has_runs(uri: str, root: Path, manifest: Manifest, stored: list[RunRow]) -> bool:
    by_id = {run.tags.get("segloss.run_id"): run for run in stored}
    ids = {run_id for row in manifest.rows.values() for run_id in row.run_ids}
    return all(_holds(uri, by_id.get(run_id), run_dir(root, run_id)) for run_id in ids)


def _holds(uri: str, run: RunRow | None, directory: RunDir) -> bool:
    """Return whether a run was synced in its state with its files, or never started (None)."""
    state = directory.state()
    if run is None:
        return state.status == "queued"
    updated = run.tags.get("segloss.updated") == repr(state.updated)
    folder = local_folder(uri, run.artifact_uri)
    has_files = folder is None or not lost_files(folder, directory)
    return updated and has_files and run.tags.get("segloss.kept", "") == (state.kept or "")

"""The reading side of the store: studies, their runs and curves.

A sqlite store is read from its own tables where possible, a folder of run directories from those,
any other store through MLflow.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.files import parse, read_json
from bench.manifest import Manifest, recall
from bench.runs.rundir import run_dir
from bench.store import snapshot
from bench.store.client import connect, database, download, most_complete, search
from bench.store.places import local_folder, placed
from bench.store.sqlite import (
    RunRow,
    artifact_uri,
    experiment_id,
    experiment_names,
    histories,
    run_rows,
    run_states,
)


@dataclass(frozen=True)
class StudyRecord:
    """A study in the store: its manifest, its experiment, and MLflow's run of the study itself.

    The last two are empty in a folder of run directories.
    """

    manifest: Manifest
    experiment_id: str
    mlflow_run_id: str


@dataclass(frozen=True)
class RunRecord:
    """One training or evaluation in the store; ``metrics`` holds the latest values."""

    run_id: str
    mlflow_run_id: str
    role: str
    status: str
    reason: str | None
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    """Without the tags of settings and of MLflow's own pages if read from sqlite tables."""
    artifact_uri: str = ""


def read_study(uri: str, study: str, profile: str) -> StudyRecord | None:
    """Return a study on a profile as the store has it; None where it is missing."""
    if root := snapshot.folder_of(uri):
        manifest = recall(root, study, profile)
        return manifest and StudyRecord(manifest, "", "")
    file = database(uri)
    if file and not file.exists():
        return None  # connecting would create the file
    name = f"{study}/{profile}"
    try:
        place = _study_in_tables(uri, file, name) if file else _study_by_mlflow(uri, name)
    except sqlite3.Error:
        place = _study_by_mlflow(uri, name)  # MLflow either reads it or reports the cause
    if place is None:
        return None
    experiment, run, path = place
    manifest = parse(Manifest, read_json(path), where=f"{uri}: manifest.json")
    return StudyRecord(manifest, experiment, run)


def _study_in_tables(uri: str, file: Path, name: str) -> tuple[str, str, Path] | None:
    """Return experiment, run and manifest file of a study; raises sqlite3.Error."""
    experiment = experiment_id(file, name)
    for run in run_rows(file, experiment, "study") if experiment else []:
        if path := fetch_artifact(uri, run.run_id, "manifest.json"):
            return str(experiment), run.run_id, path
    return None


def _study_by_mlflow(uri: str, name: str) -> tuple[str, str, Path] | None:
    with connect(uri) as client:
        experiment = client.get_experiment_by_name(name)
        if experiment is None or experiment.lifecycle_stage == "deleted":
            return None
        for run in search(client, experiment.experiment_id, "tags.`segloss.role` = 'study'"):
            path = fetch_artifact(uri, run.info.run_id, "manifest.json")
            if path is not None:
                return experiment.experiment_id, run.info.run_id, path
    return None


def study_names(uri: str) -> list[str]:
    """Return the "study/profile" of every study in the store."""
    if root := snapshot.folder_of(uri):
        return snapshot.study_names_in(root)
    file = database(uri)
    if file and not file.exists():
        return []  # connecting would create the file
    if file:
        try:
            return experiment_names(file)
        except sqlite3.Error:
            pass
    with connect(uri) as client:
        names = [experiment.name for experiment in client.search_experiments()]
    return [name for name in names if "/" in name]


def read_runs(uri: str, record: StudyRecord) -> list[RunRecord]:
    """Return all trainings and evaluations of a study that ever started."""
    if root := snapshot.folder_of(uri):
        return _folder_runs(root, record.manifest)
    rows = [run for run in _rows(uri, record.experiment_id) if run.tags.get("segloss.run_id")]
    trained = [run for run in rows if run.tags.get("segloss.role") != "study"]
    return [
        RunRecord(
            run_id=run_id,
            mlflow_run_id=run.run_id,
            role=run.tags.get("segloss.role", "train"),
            status=run.tags.get("segloss.status", "running"),
            reason=run.tags.get("segloss.reason") or None,
            params=run.params,
            metrics=run.metrics,
            tags=run.tags,
            artifact_uri=run.artifact_uri,
        )
        for run_id, run in most_complete(trained, lambda run: run).items()
    ]


def _folder_runs(root: Path, manifest: Manifest) -> list[RunRecord]:
    return [
        RunRecord(
            run_id=run_id,
            mlflow_run_id=run_id,
            role=snapshot.role_of(manifest, run_dir(root, run_id)),
            status=found.state.status,
            reason=found.state.reason or None,
            params={},
            metrics={key: value for (key, step), (value, _) in found.numbers.items() if not step},
            tags={
                **found.tags,
                "segloss.updated": repr(found.state.updated),
                "segloss.kept": found.state.kept or "",
            },
            artifact_uri=run_dir(root, run_id).path.as_uri(),
        )
        for run_id, found in snapshot.snapshots(root, manifest).items()
    ]


def study_stamp(uri: str, record: StudyRecord) -> str:
    """Return a text that changes whenever a run of the study starts or ends; cheap to compute."""
    if file := database(uri):
        with suppress(sqlite3.Error):
            states = run_states(file, record.experiment_id)
            return " ".join(
                run if state == "RUNNING" else run + time for run, state, time in states
            )
    experiment, runs = [record.experiment_id], "tags.`segloss.role` != 'study'"
    with connect(uri) as client:
        running = client.search_runs(experiment, f"{runs} and attributes.status = 'RUNNING'")
        over = client.search_runs(
            experiment,
            f"{runs} and attributes.status != 'RUNNING'",
            order_by=["tags.`segloss.updated` DESC"],
            max_results=1,
        )
    latest = [run.data.tags.get("segloss.updated", "") for run in over]
    return " ".join(latest + sorted(run.info.run_id for run in running))


def _rows(uri: str, experiment: str) -> list[RunRow]:
    """Return every run of an experiment, from the sqlite tables if they can be read."""
    if file := database(uri):
        try:
            return run_rows(file, experiment)
        except sqlite3.Error:
            pass  # MLflow either reads it or reports the cause
    with connect(uri) as client:
        return [
            RunRow(
                run.info.run_id,
                _now(uri, run.info.artifact_uri or ""),
                run.data.params,
                run.data.metrics,
                run.data.tags,
            )
            for run in search(client, experiment)
        ]


def read_histories(
    uri: str, mlflow_run_ids: Sequence[str], keys: Sequence[str]
) -> dict[tuple[str, str], list[tuple[int, float]]]:
    """Return the curve of each (run, metric) that was logged: (step, value) pairs by step.

    Args:
        uri: the store.
        mlflow_run_ids: MLflow's ids of the runs.
        keys: metrics, such as "train/loss".
    """
    if root := snapshot.folder_of(uri):
        return snapshot.curves_of(root, list(mlflow_run_ids), list(keys))
    if file := database(uri):
        try:
            return histories(file, mlflow_run_ids, keys)
        except sqlite3.Error:
            pass
    with connect(uri) as client:
        curves = {
            (run, key): sorted((m.step, m.value) for m in client.get_metric_history(run, key))
            for run in mlflow_run_ids
            for key in keys
        }
    return {pair: points for pair, points in curves.items() if points}


def fetch_artifact(uri: str, mlflow_run_id: str, path: str) -> Path | None:
    """Return a local path to a file or folder of a run; None where the run has none.

    In a database store that is the file itself, else a copy.
    """
    folder = run_folder(uri, mlflow_run_id)
    if folder is None:
        return download(uri, mlflow_run_id, path)
    return folder / path if (folder / path).exists() else None


def run_folder(uri: str, mlflow_run_id: str) -> Path | None:
    """Return the folder of a run's files in a database store; None where MLflow has to be asked."""
    file = database(uri)
    if file is None:
        return None
    try:
        address = artifact_uri(file, mlflow_run_id)
    except sqlite3.Error:
        with connect(uri) as client:
            address = client.get_run(mlflow_run_id).info.artifact_uri
    return local_folder(uri, address or "")


def _now(uri: str, address: str) -> str:
    """Return the address at which a run's files are now."""
    file = database(uri)
    return placed(file, address) if file else address

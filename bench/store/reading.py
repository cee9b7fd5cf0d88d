"""What a report reads of a store: studies, their runs, and curves.

From a sqlite store's own tables where they can be read, else through MLflow. No mlflow here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.files import read_json
from bench.manifest import Manifest
from bench.spec import parse
from bench.store.client import StudyRecord, connect, database, fetch_artifact, fullest, search
from bench.store.sqlite_rows import (
    RunRow,
    experiment_id,
    experiment_names,
    histories,
    local_file,
    run_rows,
)


@dataclass(frozen=True)
class RunRecord:
    """One training or evaluation as the store knows it; ``metrics`` holds latest values."""

    run_id: str
    mlflow_run_id: str
    role: str
    status: str
    reason: str | None
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    """Those of settings and of MLflow's pages may be left out."""
    artifact_uri: str = ""


def read_study(uri: str, study: str, profile: str) -> StudyRecord | None:
    """The study ``study`` on ``profile`` as the store knows it, or None."""
    file = database(uri)
    if file and not file.exists():
        return None  # opening it would create it
    name = f"{study}/{profile}"
    found = _quick_study(file, name) if file else None
    if found is None:
        found = _study_by_mlflow(uri, name)
    if found is None:
        return None
    experiment, run, path = found
    manifest = parse(Manifest, read_json(path), where=f"{uri}: manifest.json")
    return StudyRecord(manifest, experiment, run)


def _quick_study(file: Path, name: str) -> tuple[str, str, Path] | None:
    """Experiment, run and manifest of a study, where tables and file can be read from here."""
    try:
        experiment = experiment_id(file, name)
        studies = run_rows(file, experiment, "study") if experiment else []
    except sqlite3.Error:
        return None
    for run in studies:
        if path := local_file(run.artifact_uri, "manifest.json"):
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
    """Every "study/profile" in the store."""
    file = database(uri)
    if file and not file.exists():
        return []  # opening it would create it
    if file:
        try:
            return experiment_names(file)
        except sqlite3.Error:
            pass
    with connect(uri) as client:
        names = [experiment.name for experiment in client.search_experiments()]
    return [name for name in names if "/" in name]


def read_runs(uri: str, record: StudyRecord) -> list[RunRecord]:
    """All trainings and evaluations of a study that ever started."""
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
        for run_id, run in fullest(trained, lambda run: run).items()
    ]


def study_stamp(uri: str, record: StudyRecord) -> str:
    """A text that changes whenever a run of the study starts or ends; cheap to ask for."""
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
    """Every run of an experiment, from the tables themselves where they can be read."""
    if file := database(uri):
        try:
            return run_rows(file, experiment)
        except sqlite3.Error:
            pass  # MLflow may know better, or says what is wrong
    with connect(uri) as client:
        return [
            RunRow(
                run.info.run_id,
                run.info.artifact_uri or "",
                run.data.params,
                run.data.metrics,
                run.data.tags,
            )
            for run in search(client, experiment)
        ]


def read_histories(
    uri: str, mlflow_run_ids: Sequence[str], keys: Sequence[str]
) -> dict[tuple[str, str], list[tuple[int, float]]]:
    """(step, value) by step of each (run, metric); what was never logged is not there."""
    if file := database(uri):
        try:
            return histories(file, mlflow_run_ids, keys)
        except sqlite3.Error:
            pass
    with connect(uri) as client:
        found = {
            (run, key): sorted((m.step, m.value) for m in client.get_metric_history(run, key))
            for run in mlflow_run_ids
            for key in keys
        }
    return {pair: points for pair, points in found.items() if points}


def read_history(uri: str, mlflow_run_id: str, key: str) -> list[tuple[int, float]]:
    """(step, value) of one metric of one run, by step; empty where it was never logged."""
    return read_histories(uri, [mlflow_run_id], [key]).get((mlflow_run_id, key), [])

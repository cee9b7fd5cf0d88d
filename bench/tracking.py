"""The store: MLflow, read by reports and written by bench.mirror.

The only file that imports mlflow, and only when the store is used (that import costs seconds).
"""

from __future__ import annotations

import functools
import logging
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import SeglossError
from bench.manifest import Manifest
from bench.rundir import read_json
from bench.saved_view import VIEW_KEY
from bench.spec import parse
from bench.store_rows import (
    RunRow,
    artifact_uri,
    experiment_id,
    experiment_names,
    histories,
    local_file,
    run_rows,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_MODEL_CATALOG_URI": "",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    # A server that is gone or hangs costs a minute, not the defaults' quarter of an hour.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    # Else a busy server may send us to sleep for as long as it likes.
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    # A pooled connection goes on writing into a database file that was deleted.
    "MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool",
}


class StoreError(SeglossError):
    """The store cannot be reached, refuses a request or does not hold what was asked for."""


@dataclass(frozen=True)
class StudyRecord:
    """A study in the store: its manifest and where its runs are."""

    manifest: Manifest
    experiment_id: str
    mlflow_run_id: str


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


def default_uri(root: Path) -> str:
    """The store beside the run directories of ``root``."""
    return f"sqlite:///{root.resolve()}/mlflow.db"


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
    fullest: dict[str, RunRow] = {}
    for run in _rows(uri, record.experiment_id):
        run_id = run.tags.get("segloss.run_id", "")
        if run.tags.get("segloss.role") == "study" or not run_id:
            continue
        if run_id not in fullest or _size(run) > _size(fullest[run_id]):
            fullest[run_id] = run
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
        for run_id, run in fullest.items()
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


def _size(run: RunRow) -> tuple[int, int, int]:
    return len(run.tags), len(run.metrics), len(run.params)


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


def fetch_artifact(uri: str, mlflow_run_id: str, path: str) -> Path | None:
    """A local copy of a run's file or folder (for a local store the file itself), or None."""
    if file := database(uri):
        with suppress(sqlite3.Error):
            place = artifact_uri(file, mlflow_run_id)
            if place is None or place.startswith("file:"):
                return local_file(place or "", path)
    with connect(uri) as client:
        from mlflow.exceptions import MlflowException

        try:
            return Path(client.download_artifacts(mlflow_run_id, path))
        except (MlflowException, OSError):
            return None


def log_report(uri: str, record: StudyRecord, files: Iterable[Path], note: str) -> None:
    """Keep ``files`` as report/<name> with the study; show ``note`` (Markdown) on its pages."""
    with connect(uri) as client:
        for file in files:
            client.log_artifact(record.mlflow_run_id, str(file), "report")
        # MLflow's limits for a tag: 8,000 characters of a run, 20,000 of an experiment.
        client.set_tag(record.mlflow_run_id, "mlflow.note.content", _cut(note, 8_000))
        client.set_experiment_tag(record.experiment_id, "mlflow.note.content", _cut(note, 20_000))


def view_url(base: str, record: StudyRecord, key: str = VIEW_KEY) -> str:
    """Address of one of the study's saved views in the MLflow pages served at ``base``."""
    # Without the workflow type MLflow opens its pages for language models, which stay empty here.
    query = f"workflowType=machine_learning&viewStateShareKey={key}"
    return f"{base.rstrip('/')}/#/experiments/{record.experiment_id}/runs?{query}"


def serve(uri: str, artifact_root: Path, port: int) -> subprocess.Popen[bytes]:
    """Start MLflow's pages on 127.0.0.1:``port``; the caller ends the process with terminate()."""
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri]
    command += ["--default-artifact-root", artifact_root.resolve().as_uri()]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    return subprocess.Popen(command, env=ENVIRONMENT | os.environ)


@contextmanager
def connect(uri: str) -> Iterator[MlflowClient]:
    """A client whose failures are StoreErrors; they name the store without its password."""
    with failures(uri):
        yield _client(uri)


@contextmanager
def failures(uri: str) -> Iterator[None]:
    """Turn whatever goes wrong inside into a StoreError of one line."""
    try:
        yield
    except SeglossError:
        raise
    # MLflow lets errors of a dozen libraries through, and none of them may end a night.
    except Exception as error:
        message = f"store {uri}: {_cause(error)}"
        raise StoreError(re.sub("//[^/@ ]*@", "//", message)) from error


def database(uri: str) -> Path | None:
    """The file behind a sqlite URI; None for any other store."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def create_tables(file: Path) -> None:
    """Fill a new sqlite file with MLflow's tables."""
    _new_client(f"sqlite:///{file}").search_experiments()


def log_batches(
    client: MlflowClient,
    run_id: str,
    *,
    params: Mapping[str, str] | None = None,
    metrics: Iterable[tuple[str, float, int, int]] = (),
    tags: Mapping[str, str] | None = None,
) -> None:
    """Log params, metrics as (key, value, timestamp in ms, step), and tags, in few calls."""
    from mlflow.entities import Metric, Param, RunTag

    # MLflow's limits per call: 100 params, 1000 metrics, 100 tags.
    for batch in _batches((params or {}).items(), 100):
        client.log_batch(run_id, params=[Param(key, value) for key, value in batch])
    for batch in _batches(metrics, 1000):
        client.log_batch(run_id, metrics=[Metric(*metric) for metric in batch])
    for batch in _batches((tags or {}).items(), 100):
        client.log_batch(run_id, tags=[RunTag(key, value) for key, value in batch])


def search(client: MlflowClient, experiment: str, query: str = "") -> Iterator[Run]:
    """Every run of an experiment that is not deleted."""
    token = None
    while True:
        page = client.search_runs([experiment], query, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def fullest(runs: Iterable[Run]) -> dict[str, Run]:
    """One run for each id of ours: the one that most was written to.

    MLflow repeats a request whose answer came too late, which may create a run twice.
    """
    found: dict[str, Run] = {}
    for run in runs:
        run_id = run.data.tags.get("segloss.run_id", "")
        if run_id not in found or _fullness(run) > _fullness(found[run_id]):
            found[run_id] = run
    return found


def _fullness(run: Run) -> tuple[int, int, int]:
    return len(run.data.tags), len(run.data.metrics), len(run.data.params)


def _cause(error: Exception) -> str:
    """The innermost reason, in one line: HTTP errors come wrapped four times."""
    text = str(error).strip() or type(error).__name__
    wrapped = re.search(r"Caused by \w+\([\"'](?:.*\): )?(.*?)[\"']\)", text)
    first = wrapped.group(1) if wrapped else text.splitlines()[0]
    return first if len(first) <= 300 else first[:300] + "…"


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _cut(text: str, limit: int) -> str:
    """At most ``limit`` characters, in whole lines."""
    if len(text) <= limit:
        return text
    more = "\n\nThe rest is in report/index.html."
    return text[: text.rfind("\n", 0, limit - len(more))] + more


@functools.cache
def _client(uri: str) -> MlflowClient:
    return _new_client(uri)


def _new_client(uri: str) -> MlflowClient:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)  # MLflow reads them when it is imported
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise StoreError(f"mlflow cannot be imported: {error}") from error
    # They print every migration, retry and rollback; what comes of them is in our own line.
    for noisy in ("mlflow", "alembic", "sqlalchemy", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)

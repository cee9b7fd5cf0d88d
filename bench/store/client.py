"""The store: MLflow, read through bench.store.reading and written by bench.store.mirror.

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
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bench.errors import SeglossError
from bench.manifest import Manifest
from bench.store.saved_view import VIEW_KEY
from bench.store.sqlite_rows import artifact_uri, local_file

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

R = TypeVar("R")

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


def default_uri(root: Path) -> str:
    """The store beside the run directories of ``root``."""
    return f"sqlite:///{root.resolve()}/mlflow.db"


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


def fullest(runs: Iterable[R], written: Callable[[R], Any]) -> dict[str, R]:
    """One run for each id of ours: the one with the most tags, metrics and params ``written``.

    MLflow repeats a request whose answer came too late, which may create a run twice.
    """

    def size(run: R) -> tuple[int, ...]:
        data = written(run)
        return len(data.tags), len(data.metrics), len(data.params)

    found: dict[str, R] = {}
    for run in runs:
        run_id = written(run).tags.get("segloss.run_id", "")
        if run_id not in found or size(run) > size(found[run_id]):
            found[run_id] = run
    return found


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

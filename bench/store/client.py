"""The connection to the MLflow store: `reading` reads through it, `mirror` writes.

The only file that imports mlflow, and only on first use, because that import takes seconds.
"""

from __future__ import annotations

import functools
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bench.errors import SeglossError

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
    # With the defaults, a server that hangs would block a session for a quarter of an hour.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    # A busy server could otherwise make us wait for any length of time.
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    # A pooled connection would keep writing into a database file that was deleted.
    "MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool",
}


class StoreError(SeglossError):
    """The store cannot be reached, refuses a request, or lacks the requested study."""


def default_uri(root: Path) -> str:
    """Return the URI of the sqlite store in the output folder ``root``."""
    return f"sqlite:///{root.resolve()}/mlflow.db"


@contextmanager
def connect(uri: str) -> Iterator[MlflowClient]:
    """Yield a client; its errors become StoreErrors that name the store, without its password."""
    with failures(uri):
        yield _client(uri)


@contextmanager
def failures(uri: str) -> Iterator[None]:
    """Turn every exception inside the block into a StoreError of one line."""
    try:
        yield
    except SeglossError:
        raise
    # MLflow passes on exceptions of a dozen libraries; none of them may end a session.
    except Exception as error:
        message = f"store {uri}: {_cause(error)}"
        raise StoreError(re.sub("//[^/@ ]*@", "//", message)) from error


def database(uri: str) -> Path | None:
    """Return the file of a sqlite URI; None for any other store."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def create_tables(file: Path) -> None:
    """Create MLflow's tables in a new sqlite file."""
    _new_client(f"sqlite:///{file}").search_experiments()


def download(uri: str, mlflow_run_id: str, path: str) -> Path | None:
    """Return a local copy of a file or folder of a run; None where the run has none."""
    with connect(uri) as client:
        from mlflow.exceptions import MlflowException

        try:
            return Path(client.download_artifacts(mlflow_run_id, path))
        except (MlflowException, OSError):
            return None


def log_batches(
    client: MlflowClient,
    run_id: str,
    *,
    params: Mapping[str, str] | None = None,
    metrics: Iterable[tuple[str, float, int, int]] = (),
    tags: Mapping[str, str] | None = None,
) -> None:
    """Log to a run in as few calls as MLflow's limits allow.

    Args:
        client: an open client.
        run_id: MLflow's id of the run.
        params: by name.
        metrics: (key, value, timestamp in ms, step) of each number.
        tags: by name.
    """
    from mlflow.entities import Metric, Param, RunTag

    # MLflow's limits per call: 100 params, 1000 metrics, 100 tags.
    for batch in _batches((params or {}).items(), 100):
        client.log_batch(run_id, params=[Param(key, value) for key, value in batch])
    for batch in _batches(metrics, 1000):
        client.log_batch(run_id, metrics=[Metric(*metric) for metric in batch])
    for batch in _batches((tags or {}).items(), 100):
        client.log_batch(run_id, tags=[RunTag(key, value) for key, value in batch])


def log_datasets(
    client: MlflowClient, run_id: str, datasets: Iterable[tuple[str, str, str]]
) -> None:
    """Log the data of a run, each as (name, digest, split); a repetition changes nothing."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = [
        DatasetInput(Dataset(name, digest, "local", "{}"), [InputTag("mlflow.data.context", split)])
        for name, digest, split in datasets
    ]
    if inputs:
        client.log_inputs(run_id, datasets=inputs)


def search(client: MlflowClient, experiment: str, query: str = "") -> Iterator[Run]:
    """Yield every run of an experiment that is not deleted and matches ``query``."""
    token = None
    while True:
        page = client.search_runs([experiment], query, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def most_complete(runs: Iterable[R], data_of: Callable[[R], Any]) -> dict[str, R]:
    """Return one run for each segloss.run_id: the one with most tags, metrics and params.

    MLflow repeats a request whose answer comes too late, which may create a run twice.

    Args:
        runs: in any form.
        data_of: returns an object with the ``tags``, ``metrics`` and ``params`` of a run.
    """

    def size(run: R) -> tuple[int, ...]:
        data = data_of(run)
        return len(data.tags), len(data.metrics), len(data.params)

    chosen: dict[str, R] = {}
    for run in runs:
        run_id = data_of(run).tags.get("segloss.run_id", "")
        if run_id not in chosen or size(run) > size(chosen[run_id]):
            chosen[run_id] = run
    return chosen


def _cause(error: Exception) -> str:
    """Return the innermost cause in one line; HTTP errors arrive wrapped four times."""
    text = str(error).strip() or type(error).__name__
    wrapped = re.search(r"Caused by \w+\([\"'](?:.*\): )?(.*?)[\"']\)", text)
    first = wrapped.group(1) if wrapped else text.splitlines()[0]
    return first if len(first) <= 300 else first[:300] + "…"


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


@functools.cache
def _client(uri: str) -> MlflowClient:
    return _new_client(uri)


def _new_client(uri: str) -> MlflowClient:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)  # MLflow reads them at import
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise StoreError(f"mlflow cannot be imported: {error}") from error
    # They log every migration, retry and rollback; our StoreError has the outcome in one line.
    for noisy in ("mlflow", "alembic", "sqlalchemy", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)

"""The file of a sqlite store: created complete, and read twenty times as fast as by MLflow.

The queries use only columns that MLflow 3 keeps stable across its migrations.
"""

from __future__ import annotations

import math
import os
import shutil
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from sys import intern
from tempfile import TemporaryDirectory
from urllib.parse import quote, unquote, urlparse

from bench.store.client import StoreError, create_tables, database, failures
from bench.store.places import placed, placing, settle

WAY_OUT = "the runs are safe: delete the file, then segloss sync"
LEFT_OUT = ("segloss.setting.", "mlflow.")
"""Prefixes of tags that only MLflow's pages need; most tags have one."""
PERCENT = "percent/"
"""Beginning of the names of scores in percent, which only MLflow's pages need. It allows no "%"."""
NOTE = "mlflow.note.content"
"""Tag whose Markdown MLflow shows on a page."""
NAMING = ("method", "label", "seed")
"""Params that name a run; the others are settings, which the manifest has as well."""


@dataclass
class RunRow:
    """One run that is not deleted, with its latest metrics."""

    run_id: str
    artifact_uri: str
    """Where the files are now, which need not be where MLflow put them."""
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


def experiment_id(file: Path, name: str) -> str | None:
    """Return the id of the active experiment ``name``, or None; raises sqlite3.Error."""
    query = "SELECT experiment_id FROM experiments WHERE name = ? AND lifecycle_stage = 'active'"
    with _opened(file) as connection:
        found = connection.execute(query, (name,)).fetchone()
    return str(found[0]) if found else None


def experiment_names(file: Path) -> list[str]:
    """Return the "study/profile" of every active experiment; raises sqlite3.Error."""
    query = "SELECT name FROM experiments WHERE lifecycle_stage = 'active' AND name LIKE '%/%'"
    with _opened(file) as connection:
        return sorted(str(name) for (name,) in connection.execute(query))


def experiment_tags(file: Path, experiment: str) -> dict[str, str]:
    """Return the tags of an experiment, such as its saved views; raises sqlite3.Error."""
    query = "SELECT key, value FROM experiment_tags WHERE experiment_id = ?"
    with _opened(file) as connection:
        return dict(connection.execute(query, (int(experiment),)))


def tagged_runs(file: Path, experiment: str, key: str) -> set[str]:
    """Return MLflow's ids of the runs of an experiment that have a tag; raises sqlite3.Error."""
    query = (
        "SELECT runs.run_uuid FROM runs JOIN tags ON tags.run_uuid = runs.run_uuid"
        " WHERE experiment_id = ? AND lifecycle_stage = 'active' AND tags.key = ?"
    )
    with _opened(file) as connection:
        return {run for (run,) in connection.execute(query, (int(experiment), key))}


def run_rows(file: Path, experiment: str, role: str | None = None) -> list[RunRow]:
    """Return the runs of an experiment, or only those of one segloss.role; raises sqlite3.Error."""
    runs = "SELECT run_uuid FROM runs WHERE experiment_id = ? AND lifecycle_stage = 'active'"
    values: tuple[object, ...] = (int(experiment),)
    if role is not None:
        runs += " AND run_uuid IN (SELECT run_uuid FROM tags WHERE key = 'segloss.role'"
        runs += " AND value = ?)"
        values = (*values, role)
    with _opened(file) as connection:
        chosen = f"run_uuid IN ({runs})"
        places = f"SELECT run_uuid, artifact_uri FROM runs WHERE {chosen}"
        rows, now = connection.execute(places, values), placing(file)
        found = {run: RunRow(run, now(uri or "")) for run, uri in rows}
        unseen = " AND ".join(f"key NOT LIKE '{prefix}%'" for prefix in LEFT_OUT)
        columns = "SELECT run_uuid, key, value FROM"
        params = f"{columns} params WHERE {chosen} AND key IN {NAMING}"
        for run, key, value in connection.execute(params, values):
            found[run].params[intern(key)] = value
        tags = f"{columns} tags WHERE {chosen} AND {unseen}"
        for run, key, value in connection.execute(tags, values):
            found[run].tags[intern(key)] = value
        metrics = (
            f"SELECT run_uuid, key, value, is_nan FROM latest_metrics WHERE {chosen}"
            f" AND key NOT LIKE '{PERCENT}%'"
        )
        for run, key, value, is_nan in connection.execute(metrics, values):
            found[run].metrics[intern(key)] = math.nan if is_nan else value
    return list(found.values())


def artifact_uri(file: Path, run: str) -> str | None:
    """Return the URI of a run's files now; None for an unknown run. Raises sqlite3.Error."""
    query = "SELECT artifact_uri FROM runs WHERE run_uuid = ?"
    with _opened(file) as connection:
        found = connection.execute(query, (run,)).fetchone()
    return placed(file, str(found[0] or "")) if found else None


def run_states(file: Path, experiment: str) -> list[tuple[str, str, str]]:
    """Return id, status and time of the last sync of a study's runs; raises sqlite3.Error."""
    query = (
        "SELECT runs.run_uuid, status, coalesce(updated.value, '') FROM runs"
        " JOIN tags AS role ON role.run_uuid = runs.run_uuid AND role.key = 'segloss.role'"
        " LEFT JOIN tags AS updated"
        " ON updated.run_uuid = runs.run_uuid AND updated.key = 'segloss.updated'"
        " WHERE experiment_id = ? AND lifecycle_stage = 'active' AND role.value != 'study'"
        " ORDER BY runs.run_uuid"
    )
    with _opened(file) as connection:
        return connection.execute(query, (int(experiment),)).fetchall()


def set_note(file: Path, run: str, experiment: str, note: tuple[str, str]) -> None:
    """Replace the notes that MLflow shows on the pages of a run and of its experiment.

    Args:
        file: the database.
        run: MLflow's id of the run.
        experiment: id of its experiment.
        note: the note of the run, and that of the experiment.

    Raises:
        sqlite3.Error: the database cannot be written.
    """
    places = (("tags", "run_uuid", run), ("experiment_tags", "experiment_id", int(experiment)))
    with closing(sqlite3.connect(file, timeout=20)) as connection, connection:
        for (table, column, owner), text in zip(places, note, strict=True):
            statement = f"INSERT OR REPLACE INTO {table} (key, {column}, value) VALUES (?, ?, ?)"
            connection.execute(statement, (NOTE, owner, text))


def histories(
    file: Path, runs: Sequence[str], keys: Sequence[str]
) -> dict[tuple[str, str], list[tuple[int, float]]]:
    """Return the curve of each (run, metric) that was logged: (step, value) pairs by step.

    Raises sqlite3.Error.
    """
    found: defaultdict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
    with _opened(file) as connection:
        # SQLite limits the number of values in one statement.
        for some in (runs[i : i + 500] for i in range(0, len(runs), 500)):
            query = (
                "SELECT run_uuid, key, step, value, is_nan FROM metrics"
                f" WHERE run_uuid IN ({_marks(some)}) AND key IN ({_marks(keys)})"
            )
            for run, key, step, value, is_nan in connection.execute(query, (*some, *keys)):
                found[run, key].append((step, math.nan if is_nan else value))
    return {at: sorted(points) for at, points in found.items()}


def local_file(artifact_uri: str, path: str) -> Path | None:
    """Return the file or folder ``path`` of a run whose artifacts are on this machine, or None."""
    if not artifact_uri.startswith("file:"):
        return None
    file = Path(unquote(urlparse(artifact_uri).path)) / path
    return file if file.exists() else None


def _marks(values: Sequence[str]) -> str:
    return ",".join("?" * len(values))


@contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    file = file.resolve()
    log = file.with_name(f"{file.name}-wal")
    # In a folder that cannot be written, SQLite cannot create the files of its locks. Without a
    # log no process writes, and the database can be read without locks.
    logged = log.exists() and log.stat().st_size > 0
    locks = "" if logged or os.access(file.parent, os.W_OK) else "&immutable=1"
    uri = f"file:{quote(str(file))}?mode=ro{locks}"
    with closing(sqlite3.connect(uri, uri=True, timeout=20)) as connection:
        yield connection


def prepare(uri: str) -> None:
    """Create the database of a sqlite URI, or bring its addresses up to date after a move.

    Does nothing for any other store.

    Raises:
        StoreError: the file cannot be created, or it is not a database.
    """
    file = database(uri)
    if file is None:
        return
    try:
        with failures(uri):
            if not _has_tables(file):
                _create(file)
            with closing(sqlite3.connect(file)) as connection:
                # Readers need not wait for writers in this mode.
                connection.execute("PRAGMA journal_mode=WAL")
            settle(file)
    except StoreError as error:
        # Subclasses of DatabaseError are temporary, such as a lock or a full disk.
        if type(error.__cause__) is sqlite3.DatabaseError:
            raise StoreError(f"{error} ({WAY_OUT})") from error
        raise


def _has_tables(file: Path) -> bool:
    if not file.exists():
        return False
    with closing(sqlite3.connect(file)) as connection:
        # SQLite recreates a file that was deleted while in use, without any table.
        return connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] > 0


def _create(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    for left in file.parent.glob(".store-*"):
        shutil.rmtree(left, ignore_errors=True)  # from a process that was killed in this function
    with TemporaryDirectory(dir=file.parent, prefix=".store-") as folder:
        # MLflow takes seconds to create its tables and could not open a half-made file.
        fresh = Path(folder) / file.name
        create_tables(fresh)
        for suffix in ("-wal", "-shm", "-journal"):
            # SQLite would replay the log of a deleted database into the new one.
            file.with_name(file.name + suffix).unlink(missing_ok=True)
        fresh.replace(file)

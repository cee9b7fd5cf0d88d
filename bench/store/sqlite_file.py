"""The database file behind a sqlite store: made whole or not at all, and open to readers."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.store.client import StoreError, create_tables, database, failures

WAY_OUT = "the runs are safe: delete the file, then segloss sync"


def prepare(uri: str) -> None:
    """Have a database with MLflow's tables where ``uri`` is a sqlite file; else do nothing.

    Raises StoreError where the file cannot be made, or is no database.
    """
    file = database(uri)
    if file is None:
        return
    try:
        with failures(uri):
            if not _has_tables(file):
                _create(file)
            with closing(sqlite3.connect(file)) as connection:
                # Lets readers in while it is written; costs nothing where it is set already.
                connection.execute("PRAGMA journal_mode=WAL")
    except StoreError as error:
        # Its subclasses tell of trouble that passes: a lock, a full disk.
        if type(error.__cause__) is sqlite3.DatabaseError:
            raise StoreError(f"{error} ({WAY_OUT})") from error
        raise


def _has_tables(file: Path) -> bool:
    if not file.exists():
        return False
    with closing(sqlite3.connect(file)) as connection:
        # A file that was deleted while it was in use comes back as an empty database.
        return connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] > 0


def _create(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    for left in file.parent.glob(".store-*"):
        shutil.rmtree(left, ignore_errors=True)  # of a process that was killed right here
    with TemporaryDirectory(dir=file.parent, prefix=".store-") as folder:
        # MLflow takes seconds for its tables; cut short, it could never open them.
        create_tables(fresh := Path(folder) / file.name)
        for suffix in ("-wal", "-shm", "-journal"):
            # SQLite would play the log of a deleted database into the new one.
            file.with_name(file.name + suffix).unlink(missing_ok=True)
        fresh.replace(file)

"""The place of a run's files: in a root's own store, below ``artifacts/`` of that root.

MLflow writes an absolute address of each run's files into its database. In a root that was copied,
moved or mounted elsewhere, this address names the former place. A database that lies in a root is
therefore read as if each address began at the root. In every other store addresses are absolute.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlparse

from bench.store.client import StoreError, database, failures

BELOW_ROOT = re.compile(r"(?:(?:file:|/).*)?/(artifacts/[^/]+(?:/[^/]+/artifacts)?)")
"""Address of an experiment's files (artifacts/<study>) or of a run's (…/<run>/artifacts)."""
ADDRESSES = (
    ("experiments", "experiment_id", "artifact_location"),
    ("runs", "run_uuid", "artifact_uri"),
)
"""Table, key and column of the addresses in MLflow's database."""


def is_root(folder: Path) -> bool:
    """Return whether a folder is an output folder, in which a database is the root's own."""
    return (folder / "runs").is_dir()


def placed(file: Path, address: str) -> str:
    """Return the address at which files are now, see ``placing``."""
    return placing(file)(address)


def placing(file: Path) -> Callable[[str], str]:
    """Return a function from an address in the database ``file`` to where the files are now.

    It takes an address such as "file:///old/artifacts/losses-camvid/1f0c…/artifacts" and returns
    the same place below the database's folder if that is a root, or if the files lie there.
    Otherwise it returns the address; in a root "" for an address outside it.
    """
    folder = file.absolute().parent
    base, own = folder.as_uri(), is_root(folder)

    def now(address: str) -> str:
        rest = _below_root(address)
        if rest and (own or (folder / unquote(rest)).exists()):
            return f"{base}/{rest}"
        return "" if own and not rest and _local(address) else address

    return now


def local_folder(uri: str, address: str) -> Path | None:
    """Return the folder at an address of a database; None where only MLflow can reach the files.

    Raises:
        StoreError: the database is a root's own, and the address leads out of the root.
    """
    file = database(uri)
    if file is None:
        return None
    if address and not placed(file, address):
        raise StoreError(
            f"store {uri}: {address} is outside its root; repair it with segloss sync --rebuild"
        )
    return _local(placed(file, address))


@contextmanager
def store_for_pages(uri: str) -> Iterator[tuple[str, str]]:
    """Yield a store in which MLflow's own pages find each file, and a note for the user.

    The store is ``uri`` itself, brought up to date if its root was moved; the note is "". For a
    root that cannot be written it is a temporary copy, and the note says so.
    """
    file = database(uri)
    if file is None or not file.exists() or not is_root(file.parent):
        yield uri, ""
        return
    if os.access(file.parent, os.W_OK):
        with failures(uri):
            settle(file)
        yield uri, ""
        return
    with TemporaryDirectory() as folder:
        copy = Path(folder, file.name)
        with failures(uri):
            for suffix in ("", "-wal"):
                if (part := file.with_name(file.name + suffix)).exists():
                    shutil.copyfile(part, copy.with_name(part.name))
            settle(copy, file.parent)
        note = f"{file.parent} cannot be written: MLflow shows a copy, and keeps no change to it"
        yield f"sqlite:///{copy}", note


def settle(file: Path, root: Path | None = None) -> None:
    """Let the addresses in a root's own database name the place where the root is now.

    MLflow's own pages follow them. Nothing is written if they do already.

    Args:
        file: the database.
        root: the root that it describes; None for the folder that it lies in.

    Raises:
        sqlite3.Error: the database cannot be read or written.
    """
    own = root / file.name if root else file
    if not is_root(own.parent):
        return
    now = placing(own)
    with closing(sqlite3.connect(file, timeout=20)) as connection, connection:
        for table, key, column in ADDRESSES:
            stored = connection.execute(f"SELECT {key}, {column} FROM {table}").fetchall()
            found = [(now(old or "") or old, name, old) for name, old in stored]
            moved = [(new, name) for new, name, old in found if new != old]
            connection.executemany(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", moved)


def _below_root(address: str) -> str | None:
    """Return the part of an address that begins at the root; None where it may lead elsewhere."""
    found = BELOW_ROOT.fullmatch(address)
    if found is None:
        return None
    # Decoded, a name may hold further slashes or lead upwards.
    names = [unquote(name) for name in found[1].split("/")]
    return None if any("/" in name or name in (".", "..") for name in names) else found[1]


def _local(address: str) -> Path | None:
    """Return the path of an address on this machine; None for any other."""
    url = urlparse(address)
    return Path(unquote(url.path)) if address and url.scheme in ("file", "") else None

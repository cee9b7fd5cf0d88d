"""The place of a run's files: in a root's own store, below ``artifacts/`` of that root.

MLflow writes an absolute address of each run's files into its database. In a root that was copied,
moved or mounted elsewhere, this address names the former place. A database that lies in a root is
therefore read as if each address began at the root. In every other store addresses are absolute.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlparse

from bench.store.client import StoreError, database

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
    """Return the address at which files are now.

    Args:
        file: the database.
        address: what it says, such as "file:///old/artifacts/losses-camvid/1f0c…/artifacts".

    Returns:
        The same place below the database's folder if that is a root, or if the files lie there.
        Otherwise ``address``; in a root "" for an address outside it.
    """
    folder = file.absolute().parent
    rest = _below_root(address)
    if rest and (is_root(folder) or (folder / rest).exists()):
        return (folder / rest).as_uri()
    return "" if rest is None and is_root(folder) and _local(address) else address


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
    with closing(sqlite3.connect(file, timeout=20)) as connection, connection:
        for table, key, column in ADDRESSES:
            stored = connection.execute(f"SELECT {key}, {column} FROM {table}").fetchall()
            found = [(placed(own, old or "") or old, name, old) for name, old in stored]
            moved = [(new, name) for new, name, old in found if new != old]
            connection.executemany(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", moved)


def _below_root(address: str) -> Path | None:
    found = BELOW_ROOT.fullmatch(address)
    rest = Path(unquote(found[1])) if found else Path()
    # Decoded, a name may hold further slashes or lead upwards.
    steps = found[1].count("/") + 1 if found else 0
    return rest if found and len(rest.parts) == steps and ".." not in rest.parts else None


def _local(address: str) -> Path | None:
    """Return the path of an address on this machine; None for any other."""
    url = urlparse(address)
    return Path(unquote(url.path)) if address and url.scheme in ("file", "") else None

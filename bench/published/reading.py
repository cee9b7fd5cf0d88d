"""Read a study's own file of published tables: data, from one place, and nothing else."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath

from bench.errors import SpecError
from bench.files import parse
from bench.published.tables import PublishedFile, PublishedTable


def read_beside(
    folder: Traversable | Path, name: object, *, where: str
) -> tuple[PublishedTable, ...]:
    """Return the tables of the file ``name`` in the folder of a study file.

    Args:
        folder: The study's folder.
        name: What the study's ``published`` says.
        where: The study, for messages.

    Raises:
        SpecError: ``name`` is no name of a TOML file, or the file is missing or has a fault.
    """
    plain = isinstance(name, str) and name.endswith(".toml") and "\\" not in name
    if not plain or PurePosixPath(str(name)).name != name:
        raise SpecError(
            f"{where}: published = {name!r}: give the name of a TOML file in the study's own "
            'folder, such as "their-paper.toml"'
        )
    file = folder / str(name)
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise SpecError(f"{where}: published: {file} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{where}: published: {file} is not valid TOML: {error}") from None
    return parse(PublishedFile, content, where=str(file)).table


def choose(tables: Sequence[PublishedTable], key: str, head: str) -> PublishedTable | None:
    """Return the table called ``key``, of several the one of a model head; None without one."""
    found = [table for table in tables if table.key == key]
    return next((table for table in found if table.head == head), next(iter(found), None))

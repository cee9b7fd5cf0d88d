"""The files of a bundle: where they are, and how a stranger's file is read and ours is written.

A bundle may come from anyone. Every file is opened without following a link, must be a regular file
and has a largest size, also after decompression. Nothing in it is executed or imported.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import stat
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.errors import SeglossError
from bench.files import write_whole
from bench.spec import digest

SCHEMA = 1
"""Version of the format; raised when a field changes its meaning or is removed."""
INDEX = "bundle.json"
"""Marks a folder as a bundle: schema, manifest, and digests of the other files."""
SEALS = "seals"
"""Key of a JSON file's seals: a short digest for each of its values, by name."""
MIB = 2**20
MOST_MESSAGE = 6_000
"""Longest message about a bundle."""
TEXT_BYTES = 32 * MIB
"""Largest size of any file of a bundle; a run has about 30 kB, a page of a report about 400 kB."""
COUNTS_BYTES = 128 * MIB
"""Largest size of a file of counts after decompression; ADE20K's 2,000 images have about 2 MB."""


CONTROL = re.compile(
    r"(?<!\\)(?:\\\\)*\\(?:u00[01][0-9a-f]|[bfr])"
    "|[\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)
"""In JSON, a character that could rewrite what a terminal or an editor shows."""


class BundleError(SeglossError):
    """A folder is no bundle, or a file in it is missing, damaged or not what it says.

    The message may quote a stranger's text: what a terminal would not print is replaced.
    """

    def __init__(self, message: str) -> None:
        shown = (
            c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in message
        )
        super().__init__("".join(shown)[:MOST_MESSAGE])


def is_bundle(folder: Path) -> bool:
    """Return whether a folder holds a bundle."""
    return (folder / INDEX).is_file()


def run_file(run_id: str) -> str:
    """Return the name of a run's JSON file in its bundle."""
    return f"runs/{run_id}.json"


def counts_file(run_id: str) -> str:
    """Return the name of the file of a run's counts in its bundle."""
    return f"counts/{run_id}.jsonl.gz"


def read_bytes(folder: Path, name: str) -> bytes | None:
    """Return the content of a file of a bundle; None if it is missing.

    Args:
        folder: The bundle.
        name: Path inside it, with "/" between folders.

    Raises:
        BundleError: The file, or a folder on the way to it, is a link or no regular file; or the
            file is too large.
    """
    place = folder
    for part in name.split("/")[:-1]:
        place = place / part
        if place.is_symlink():
            raise BundleError(f"{place} is a link; a bundle holds regular files only")
    path = folder / name
    try:
        # Without O_NONBLOCK a named pipe would block for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        link = " (a link)" if path.is_symlink() else ""
        raise BundleError(f"{path} cannot be read: {error.strerror}{link}") from None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)  # fdopen refuses a folder with an error of its own
        raise BundleError(f"{path} is not a regular file; a bundle holds regular files only")
    with os.fdopen(descriptor, "rb") as file:
        if found.st_size > TEXT_BYTES:
            raise BundleError(
                f"{path} has {found.st_size:,} bytes; at most {TEXT_BYTES:,} are read"
            )
        return file.read(TEXT_BYTES)


def read_text(folder: Path, name: str) -> str | None:
    """Return a text file of a bundle; None if it is missing. Raises BundleError as above."""
    content = read_bytes(folder, name)
    try:
        return None if content is None else content.decode()
    except UnicodeDecodeError:
        raise BundleError(f"{folder / name}: not UTF-8 text") from None


def read_zipped(folder: Path, name: str) -> str | None:
    """Return the text of a gzip file of a bundle; None if it is missing.

    Raises BundleError as above, and if the text is longer than COUNTS_BYTES.
    """
    content = read_bytes(folder, name)
    if content is None:
        return None
    stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        text = stream.decompress(content, COUNTS_BYTES)
        if not stream.eof or stream.unused_data:
            raise BundleError(
                f"{folder / name}: not one whole gzip stream of at most {COUNTS_BYTES:,} bytes"
            )
        return text.decode()
    except (zlib.error, UnicodeDecodeError) as error:
        raise BundleError(f"{folder / name}: damaged: {error}") from None


def read_sealed(folder: Path, name: str) -> dict[str, Any]:
    """Return a JSON file of a bundle, with its seals.

    Raises:
        BundleError: It is missing, unreadable, or of another version of the format.
    """
    text = read_text(folder, name)
    if text is None:
        raise BundleError(f"{folder / name} is missing")
    data = parse_json(text, str(folder / name))
    if data.get("schema") != SCHEMA:
        raise BundleError(
            f"{folder / name}: schema is {data.get('schema')!r}, this version reads {SCHEMA}; "
            "read it with the version of segloss that wrote it"
        )
    return data


def parse_json(text: str, where: str) -> dict[str, Any]:
    """Return a JSON object; raises BundleError for anything else."""
    try:
        data = json.loads(text)
        written = json.dumps(data, ensure_ascii=False)
        written.encode()  # half a surrogate pair cannot be written
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where}: not valid JSON: {str(error)[:200]}") from None
    if found := CONTROL.search(written):
        around = written[max(0, found.start() - 30) : found.end()]
        raise BundleError(f"{where}: holds a control character: {around!r}")
    if not isinstance(data, dict):
        raise BundleError(f"{where}: not a JSON object")
    return data


def sealed(data: Mapping[str, Any], depth: int) -> dict[str, Any]:
    """Return JSON-shaped data with the seals of its values down to ``depth``."""
    content = {"schema": SCHEMA, **data}
    return {**content, SEALS: dict(_seals(content, depth))}


def broken_seals(data: Mapping[str, Any], depth: int) -> list[str]:
    """Return the name of each value that is not what its seal says, or has no seal.

    Args:
        data: The content of a file, with its seals.
        depth: The depth that it was sealed with.
    """
    stored = data.get(SEALS)
    stored = stored if isinstance(stored, dict) else {}
    found = dict(_seals({key: value for key, value in data.items() if key != SEALS}, depth))
    return [name for name in {**found, **stored} if found.get(name) != stored.get(name)]


def _seals(value: Any, depth: int, name: str = "") -> Iterator[tuple[str, str]]:
    inner = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        inner = enumerate(value)
    if not depth or not inner:
        yield name, digest([name, value])[:8]
        return
    for key, item in inner:
        yield from _seals(item, depth - 1, f"{name}.{key}" if name else str(key))


def json_text(value: Any, depth: int) -> str:
    """Return JSON with a line for each value down to ``depth``, so that versions compare well."""

    def write(item: Any, level: int) -> str:
        opened = isinstance(item, dict | list) and item and level < depth
        if not opened:
            return json.dumps(item, ensure_ascii=False)
        pad = " " * (level + 1)
        if isinstance(item, dict):
            lines = (f"{_quoted(key)}: {write(inner, level + 1)}" for key, inner in item.items())
            ends = "{}"
        else:
            lines, ends = (write(inner, level + 1) for inner in item), "[]"
        body = ",\n".join(pad + line for line in lines)
        return f"{ends[0]}\n{body}\n{' ' * level}{ends[1]}"

    return write(value, 0) + "\n"


def _quoted(text: object) -> str:
    return json.dumps(str(text), ensure_ascii=False)


def write_text(folder: Path, name: str, text: str) -> None:
    """Write a text file of a bundle unless it has this content already."""
    path = _place(folder, name)
    if read_bytes(folder, name) != text.encode():
        write_whole(path, lambda temporary: temporary.write_bytes(text.encode()))


def write_zipped(folder: Path, name: str, text: str) -> None:
    """Write a gzip file of a bundle unless it holds this text already.

    Other versions of zlib compress the same text to other bytes.
    """
    path = _place(folder, name)
    try:
        known = read_zipped(folder, name)
    except BundleError:
        known = None
    if known != text:
        content = gzip.compress(text.encode(), mtime=0)
        write_whole(path, lambda temporary: temporary.write_bytes(content))


def remove(folder: Path, name: str) -> None:
    """Remove a file of a bundle if it exists; raises BundleError if its folder is a link."""
    _place(folder, name).unlink(missing_ok=True)


def _place(folder: Path, name: str) -> Path:
    """Return where a file is written; raises BundleError if a folder on the way is a link."""
    path = folder / name
    if path.is_symlink() or path.parent.is_symlink():
        raise BundleError(f"{path} is a link; delete it, or publish into another folder")
    if path.parent.exists() and not path.parent.is_dir():
        raise BundleError(f"{path.parent} is no folder; delete it, or publish into another folder")
    return path

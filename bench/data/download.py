"""Download a published data set: resumed after an interruption, checked, unpacked. No torch."""

from __future__ import annotations

import hashlib
import http.client
import shutil
import ssl
import tarfile
import time
import tomllib
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from bench.errors import DataError, SpecError, unknown
from bench.files import Strict, parse

BLOCK_BYTES = 2**20
TIMEOUT_SECONDS = 60.0
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before each retry of a transfer that brought no further byte."""

OnProgress = Callable[[int, int | None], None]
"""Receives the number of bytes received and of all bytes; None if that is unknown."""


class Source(Strict):
    """The place where a data set is published."""

    url: str | None = None
    """Address of a tar archive; None if none is published with a digest."""
    file: str = ""
    """Name of the archive on disk."""
    md5: str = ""
    holds: str = ""
    """The folder that the archive unpacks to."""
    note: str = ""


def sources() -> dict[str, Source]:
    """Return the sources of data sets by name."""
    text = (files("bench.data") / "sources.toml").read_text()
    return {
        name: parse(Source, entry, where=f"sources.toml: {name}")
        for name, entry in tomllib.loads(text).items()
    }


def find_source(name: str, url: str | None = None) -> Source:
    """Return the source of a data set, at another ``url`` if given; raises SpecError."""
    known = sources()
    if name not in known:
        raise SpecError(unknown("data set to download", name, known))
    source = known[name]
    if source.url is None:
        raise SpecError(f"{name} cannot be downloaded: {source.note}")
    source = source.model_copy(update={"url": url or source.url})
    if urlsplit(source.url).scheme not in ("http", "https"):
        raise SpecError(f"--url {source.url!r}: an address with http:// or https:// is wanted")
    return source


def download(source: Source, folder: Path, on_progress: OnProgress = lambda *_: None) -> Path:
    """Download and unpack ``source`` into ``folder``; return the unpacked path.

    A folder that exists is left as it is. A transfer that fails is resumed by the next call.

    Args:
        source: The archive and its digest.
        folder: Where archive and content are written.
        on_progress: Called after every block.

    Raises:
        DataError: The server refuses, the archive is damaged, the disk is full, or another process
            downloads to the same folder.
    """
    place = folder / source.holds
    if place.exists():
        return place
    archive = folder / source.file
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{source.file}.lock", timeout=0, fallback_to_soft=False):
            if not archive.exists():
                _fetch(source, archive, on_progress)
            elif (found := _md5(archive)) != source.md5:
                raise DataError(f"{archive}: md5 {found}, not {source.md5}; delete the file")
            _unpack(archive, place, PurePosixPath(source.holds))
    except Timeout:
        raise DataError(f"{folder}: another download is running there; wait for it") from None
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror or error}; choose another folder") from None
    return place


def _fetch(source: Source, archive: Path, on_progress: OnProgress) -> None:
    """Transfer the archive, in several tries if need be, and check its digest."""
    part = archive.with_name(archive.name + ".part")
    url, failures = str(source.url), 0
    while True:
        before = _size(part)
        try:
            _transfer(url, part, on_progress)
            break
        except (ConnectionError, TimeoutError, ssl.SSLError, http.client.HTTPException) as error:
            failures = 0 if _size(part) > before else failures + 1
            if failures > len(PAUSES):
                raise DataError(
                    f"{url}: interrupted after {_size(part)} bytes ({error}); the same command "
                    "resumes it"
                ) from None
            time.sleep(PAUSES[failures - 1] if failures else 0)
    if (found := _md5(part)) != source.md5:
        length = _size(part)
        part.unlink()  # resuming a corrupt file cannot repair it
        raise DataError(
            f"{url}: the {length} bytes received have md5 {found}, not {source.md5}; removed: try "
            "again, or another --url"
        )
    part.replace(archive)


def _transfer(url: str, part: Path, on_progress: OnProgress) -> None:
    """Append the missing bytes to ``part``.

    Raises DataError if the server refuses, ConnectionError or the like if the transfer ends early.
    """
    have = _size(part)
    headers = {"User-Agent": "segloss-bench", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SECONDS
        )
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            if error.headers.get("Content-Range") != f"bytes */{have}":
                part.unlink()
                raise ConnectionError("the server has another file") from None
            return  # the file is complete
        raise DataError(f"{url}: {error.code} {error.reason}; try another --url") from None
    except urllib.error.URLError as error:
        why = getattr(error.reason, "strerror", None) or error.reason
        raise DataError(f"{url}: no connection ({why}); try again, or another --url") from None
    with response, part.open("ab") as file:
        if response.status == http.HTTPStatus.OK:  # the server sends the whole file again
            file.truncate(0)
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        _check_room(part.parent, have, total)
        while block := response.read(BLOCK_BYTES):
            file.write(block)
            have += len(block)
            on_progress(have, total)
    if total is not None and have < total:
        raise ConnectionError(f"{total - have} bytes are missing")


def _check_room(folder: Path, have: int, total: int | None) -> None:
    free = shutil.disk_usage(folder).free
    # The archive and its content, which for images is about as large.
    if total is not None and free < (needed := 2 * total - have):
        raise DataError(
            f"{folder}: {free / 1e9:.1f} GB are free, {needed / 1e9:.1f} GB are needed for the "
            "archive and its content; make room or choose another folder"
        )


def _unpack(archive: Path, place: Path, holds: PurePosixPath) -> None:
    """Move the folder ``holds`` of the archive to ``place``, completely or not at all."""
    temporary = archive.with_name(f".{archive.name}.unpacking")
    shutil.rmtree(temporary, ignore_errors=True)  # left by a killed process
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(temporary, filter="data")
        if not (temporary / holds).is_dir():
            raise DataError(f"{archive}: holds no folder {holds}; it may be another archive")
        place.parent.mkdir(parents=True, exist_ok=True)
        (temporary / holds).rename(place)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        why = str(error).splitlines()[0].rstrip(":")  # tarfile lists every way it has tried
        raise DataError(f"{archive}: cannot be unpacked: {why}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()

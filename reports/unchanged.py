"""Whether a report on disk is the one that its inputs would give again. No pandas here."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.files import read_json, write_json
from bench.runs.source_code import installed_version, project_digest
from bench.spec import digest
from bench.store.client import database
from bench.store.reading import read_runs, read_study, run_folder
from bench.store.sqlite import local_file

STAMP = ".inputs.json"
"""File of a report's folder: the digest of its inputs, its summary, the digests of its files."""
LIBRARIES = ("numpy", "scipy", "pandas", "matplotlib", "jinja2", "PIL")
"""Libraries whose version may change a number or a figure."""
REPORT = "report"
"""Folder of the report among the files of a study's run."""


def inputs_of(uri: str, study: str, profile: str, options: Any) -> str | None:
    """Return a digest of everything that decides a report; None for a store without a file here.

    Args:
        uri: address of the store.
        study: name of the study.
        profile: name of its profile.
        options: JSON-shaped; what decides beside the store and the code.
    """
    record = read_study(uri, study, profile) if database(uri) else None
    if record is None:
        return None
    runs = sorted(read_runs(uri, record), key=lambda run: run.mlflow_run_id)
    content = [asdict(run) | {"artifact_uri": _stamps(run.artifact_uri)} for run in runs]
    manifest = record.manifest.model_dump(mode="json")
    code = [project_digest(), sys.version, *map(installed_version, LIBRARIES)]
    return digest([manifest, record.mlflow_run_id, content, options, code])


def unchanged_summary(uri: str, study: str, profile: str, folder: Path, inputs: str) -> str | None:
    """Return the summary of the report in ``folder`` if the same inputs made it.

    Returns None if one of its files has changed or is missing, in the folder or in the store.
    """
    stamp, record = read_json(folder / STAMP), read_study(uri, study, profile)
    if not isinstance(stamp, dict) or stamp.get("inputs") != inputs or record is None:
        return None
    if stamp != _stamp(inputs, stamp.get("files"), stamp.get("summary")):
        return None  # damaged
    stored = run_folder(uri, record.mlflow_run_id)
    for place in (folder, stored and stored / REPORT):
        if place and stamp["files"] != _digests(place / name for name in stamp["files"]):
            return None
    return stamp["summary"]


def keep_inputs(folder: Path, inputs: str, files: Sequence[Path], summary: str) -> None:
    """Note in a report's folder which inputs made its files."""
    write_json(folder / STAMP, _stamp(inputs, _digests(files), summary))


def _stamp(inputs: str, files: Any, summary: Any) -> dict[str, Any]:
    """Return the content of a stamp, with a digest by which a damaged one is known."""
    content = {"inputs": inputs, "files": files, "summary": summary}
    return {**content, "check": digest(content)}


def _stamps(address: str) -> str | list[tuple[str, int, int]]:
    """Return name, size and time of each file of a run; the address if they are not here."""
    folder = local_file(address, "")
    if folder is None:
        return address
    found = ((path, path.stat()) for path in sorted(folder.rglob("*")) if path.is_file())
    return [(str(path.relative_to(folder)), s.st_size, s.st_mtime_ns) for path, s in found]


def _digests(files: Iterable[Path]) -> dict[str, str | None]:
    """Return the digest of each file by its name; None for a missing one."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else None
        for file in files
    }

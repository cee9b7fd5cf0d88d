"""Read a bundle: check every record, and unpack it into run directories that reports read."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import SeglossError
from bench.files import parse, write_json
from bench.manifest import Manifest
from bench.runs.rundir import run_dir
from reports.bundle.counts import Counts, parse_counts
from reports.bundle.files import (
    INDEX,
    BundleError,
    counts_file,
    is_bundle,
    read_bytes,
    read_sealed,
    read_zipped,
    run_file,
)
from reports.bundle.run import check_record, leave_run

RUN_ID = re.compile(r"[0-9a-f]{12}")
MOST_RUNS = 100_000
LONGEST_NAME = 100


@dataclass(frozen=True)
class Bundle:
    """A bundle whose index was read."""

    folder: Path
    manifest: Manifest
    index: dict[str, Any]
    """The content of bundle.json."""

    @property
    def rerun(self) -> str:
        """Return the command that runs the study, from inside the bundle."""
        study = f"study/{self.manifest.study}.toml"
        name, at, steps = self.manifest.profile.partition("@")
        return f"segloss run {study} --profile profile/{name}.toml{at}{steps}"

    def unchecked(self, run_id: str) -> dict[str, Any] | None:
        """Return what the file of a run holds; None if the bundle has none."""
        name = run_file(run_id)
        exists = read_bytes(self.folder, name) is not None
        return read_sealed(self.folder, name) if exists else None

    def record(self, run_id: str) -> dict[str, Any] | None:
        """Return the checked record of a run; None if the bundle has none."""
        record = self.unchecked(run_id)
        if record is not None:
            check_record(record, run_id, run_file(run_id))
        return record

    def counts(self, record: dict[str, Any]) -> Counts | None:
        """Return the counts of a run; None if the bundle has none."""
        name = counts_file(record["run_id"])
        text = read_zipped(self.folder, name)
        if text is None or record["result"] is None:
            return None
        return parse_counts(text, len(record["result"]["classes"]), name)


def open_bundle(folder: Path) -> Bundle:
    """Return the bundle in a folder.

    Raises:
        BundleError: The folder holds none, or its index is damaged or of another version.
    """
    if not is_bundle(folder):
        raise BundleError(
            f"{folder} holds no {INDEX}: name a folder that segloss publish --out wrote"
        )
    index = read_sealed(folder, INDEX)
    try:
        manifest = parse(Manifest, index.get("manifest"), where=INDEX)
        check_manifest(manifest)
        check_files(index.get("files"))
    except SeglossError as error:
        raise BundleError(f"{folder}: {error}") from None
    return Bundle(folder, manifest, index)


def check_files(files: Any) -> None:
    """Raise BundleError unless the texts of an index lie inside the bundle, each with a digest."""
    if not isinstance(files, dict) or not all(isinstance(value, str) for value in files.values()):
        raise BundleError(f"{INDEX}: files is no object of digests by name")
    for name in files:
        parts = name.split("/")
        if len(parts) > 2 or any(part in ("", ".", "..") or len(part) > 200 for part in parts):
            raise BundleError(f"{INDEX}: files names {name[:80]!r}, which is no text of a bundle")


def check_manifest(manifest: Manifest) -> None:
    """Raise BundleError unless the names in a manifest can name files, and no other place."""
    base, _, steps = manifest.profile.partition("@")
    for name in (manifest.study, base):
        plain = all(part.isalnum() or part in "-_" for part in name)
        if not plain or not 0 < len(name) <= LONGEST_NAME:
            raise BundleError(f"manifest: {name[:80]!r} is not the name of a study or a profile")
    if "@" in manifest.profile and not (steps.isascii() and steps.isdecimal() and len(steps) < 10):
        raise BundleError(f"manifest.profile: {manifest.profile[:80]!r} is not a profile's name")
    ids = run_ids(manifest)
    if len(ids) > MOST_RUNS:
        raise BundleError(f"manifest: {len(ids):,} runs; at most {MOST_RUNS:,} are read")
    for run_id in ids:
        if not RUN_ID.fullmatch(run_id):
            raise BundleError(f"manifest: {run_id[:80]!r} is not the id of a run")
    for row in manifest.rows.values():
        if len(row.run_ids) != len(manifest.seeds):
            raise BundleError(f"manifest: row {row.label[:80]!r} has not one run for each seed")


def run_ids(manifest: Manifest) -> list[str]:
    """Return the ids of all runs of a study, with the trainings that only evaluations need."""
    rows = (run_id for table in manifest.tables for row in table.rows for run_id in row.run_ids)
    jobs = (run for job in manifest.jobs for run in (*job.run_ids, job.source) if run)
    return list(dict.fromkeys([*rows, *jobs]))


def unpack(bundle: Bundle, root: Path) -> None:
    """Write a bundle's runs and its manifest into ``root``, as sessions leave them."""
    made_by = str(bundle.index.get("made_by"))
    for run_id in run_ids(bundle.manifest):
        if record := bundle.record(run_id):
            leave_run(record, bundle.counts(record), run_dir(root, run_id), made_by)
    (root / "runs").mkdir(parents=True, exist_ok=True)
    manifest = bundle.manifest.model_dump(mode="json")
    write_json(root / "studies" / f"{bundle.manifest.name}.json", manifest)


@contextmanager
def unpacked(folder: Path) -> Iterator[tuple[Bundle, Path]]:
    """Yield a bundle, and a temporary root with its runs; raises BundleError as ``open_bundle``."""
    bundle = open_bundle(folder)
    with tempfile.TemporaryDirectory(prefix="segloss-bundle-") as place:
        root = Path(place)
        unpack(bundle, root)
        yield bundle, root

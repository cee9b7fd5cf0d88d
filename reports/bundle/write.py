"""Write a study of a root as a bundle, or bring a bundle up to date."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from bench.errors import DataError
from bench.manifest import Manifest
from bench.runs.rundir import run_dir
from bench.runs.source_code import project_digest
from reports.bundle.cite import EDITED
from reports.bundle.counts import counts_of, text_of
from reports.bundle.files import (
    INDEX,
    BundleError,
    counts_file,
    is_bundle,
    json_text,
    read_bytes,
    remove,
    run_file,
    sealed,
    write_text,
    write_zipped,
)
from reports.bundle.read import check_manifest, open_bundle, run_ids
from reports.bundle.run import DEPTH, run_record

MANIFEST_DEPTH = 9
"""Depth of the seals of bundle.json: every setting of every row."""
LINES = 5
"""Depth to which a JSON file has a line for each value."""


@dataclass
class Published:
    """What was published."""

    runs: int = 0
    """Number of runs in the bundle."""
    total: int = 0
    """Number of runs that the study asks for."""
    notes: tuple[str, ...] = ()
    """A line for each run whose counts are missing."""


def publish(
    root: Path, manifest: Manifest, folder: Path, definitions: Mapping[str, str]
) -> Published:
    """Write the runs of a study that have ended into a bundle; files that stay equal are kept.

    Args:
        root: The output folder that holds the run directories.
        manifest: The study.
        folder: The bundle; made if it does not exist.
        definitions: The texts of its study and profile files, by their names in the bundle.

    Raises:
        BundleError: The folder holds something else, or runs that the root lacks.
    """
    check_manifest(manifest)
    records = {}
    for run_id in run_ids(manifest):
        if record := run_record(run_dir(root, run_id)):
            records[run_id] = record
    if not records:
        raise BundleError(f"{root}: no run of {manifest.study} on {manifest.profile} has ended")
    _check_place(folder, manifest, set(records), root)
    known = open_bundle(folder).index["files"] if is_bundle(folder) else {}
    held = [run_id for run_id in records if (folder / run_file(run_id)).exists()]
    # First, so that an interrupted start can be repeated.
    _write_index(folder, manifest, known, held)
    notes = []
    for run_id, record in records.items():
        write_text(folder, run_file(run_id), json_text(sealed(record, DEPTH), DEPTH))
        try:
            if record["result"] and (counts := counts_of(run_dir(root, run_id))):
                write_zipped(folder, counts_file(run_id), text_of(counts))
            else:  # those of an earlier result
                remove(folder, counts_file(run_id))
        except DataError as error:
            notes.append(str(error))
    for name, text in definitions.items():
        write_text(folder, name, text)
    own = {name: _sha256(text) for name, text in definitions.items()}
    _write_index(folder, manifest, {**known, **own}, list(records))
    return Published(len(records), len(run_ids(manifest)), tuple(notes))


def add_report(folder: Path) -> None:
    """Build the report of a bundle from its own files, and put it into the bundle."""
    from reports.bundle.texts import texts_of

    texts = texts_of(folder)
    for name, text in texts.items():
        write_text(folder, name, text)
    bundle = open_bundle(folder)
    digests = {name: _sha256(text) for name, text in texts.items() if name not in EDITED}
    files = {**bundle.index["files"], **digests}
    _write_index(folder, bundle.manifest, files, bundle.index["runs"])


def _check_place(folder: Path, manifest: Manifest, ours: set[str], root: Path) -> None:
    if not is_bundle(folder):
        if folder.exists() and (not folder.is_dir() or any(map(_is_shown, folder.iterdir()))):
            raise BundleError(f"{folder} holds other files; give --out an empty folder or a bundle")
        return
    old = open_bundle(folder).manifest
    if (old.study, old.profile) != (manifest.study, manifest.profile):
        raise BundleError(
            f"{folder} is the bundle of {old.study} on {old.profile}; give --out another folder"
        )
    held = [run_id for run_id in run_ids(old) if (folder / run_file(run_id)).exists()]
    if lacking := [run_id for run_id in held if run_id not in ours and not _ended(root, run_id)]:
        raise BundleError(
            f"{folder} has {len(lacking)} runs that {root} lacks, such as {lacking[0]}; bring them "
            f"in first: segloss sync --from {folder}"
        )
    for run_id in set(held) - ours:  # of a row that the study no longer has
        remove(folder, run_file(run_id))
        remove(folder, counts_file(run_id))


def _is_shown(path: Path) -> bool:
    return not path.name.startswith(".")


def _ended(root: Path, run_id: str) -> bool:
    return run_record(run_dir(root, run_id)) is not None


def made_by() -> dict[str, str]:
    """Return the version that writes a bundle, and the digest of its code: the same in any verb."""
    return {"made_by": f"segloss-bench {version('segloss-bench')}", "code": project_digest()}


def _write_index(
    folder: Path, manifest: Manifest, files: Mapping[str, str], runs: list[str]
) -> None:
    content = {
        **made_by(),
        "manifest": manifest.model_dump(mode="json"),
        "files": dict(sorted(files.items())),
        "runs": runs,
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder, INDEX, json_text(sealed(content, MANIFEST_DEPTH), LINES))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def size_of(folder: Path) -> int:
    """Return the bytes of all files that a bundle is made of."""
    index = open_bundle(folder)
    names = [INDEX, *index.index["files"], ".zenodo.json", "CITATION.cff"]
    names += [
        name(run_id) for run_id in run_ids(index.manifest) for name in (run_file, counts_file)
    ]
    return sum(len(read_bytes(folder, name) or b"") for name in dict.fromkeys(names))

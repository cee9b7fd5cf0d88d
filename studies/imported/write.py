"""Write imported runs as a study of a root: its manifest, and a run directory for each run."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.files import write_json, write_whole
from bench.iou import HEADLINE
from bench.manifest import IMPORTED, Manifest, Row, TableSpec, check_role, recall, remember
from bench.runs.rundir import run_dir
from bench.spec import Scalar, digest
from studies.imported.images import ImageTable, RunKey, image_arrays
from studies.imported.runs import ImportedRun, ImportedRuns
from studies.imported.sheet import Sheet


@dataclass(frozen=True)
class Written:
    """What an import has changed in the root."""

    manifest: Manifest
    before: Manifest | None
    """The study as it was imported before; None for the first time."""
    new: int = 0
    changed: int = 0
    gone: int = 0

    @property
    def sentence(self) -> str:
        """What has changed, in words."""
        if self.before is None:
            return f"{self.new} runs imported"
        facts = (("new", self.new), ("changed", self.changed), ("gone", self.gone))
        words = ", ".join(f"{count} {word}" for word, count in facts if count)
        if words:
            return f"imported before, and the file has changed since; runs replaced: {words}"
        return "imported before: no run has changed"


def manifest_of(
    names: tuple[str, str], found: ImportedRuns, sheets: Mapping[str, Sheet]
) -> Manifest:
    """Return the study that imported runs make up: one table, a row for each method.

    Args:
        names: The names of study and profile.
        found: The runs.
        sheets: The files, by "file" and "images".
    """
    rows = tuple(
        Row(
            label=method,
            method=method,
            settings={"method": method},
            run_ids=tuple(_run_id(names, method, seed) for seed in found.seeds),
        )
        for method in found.methods
    )
    metrics = list(found.runs[0].scores)
    settings: dict[str, Scalar | None] = {}
    for kind, sheet in sheets.items():
        settings |= {f"import.{kind}": sheet.name, f"import.{kind}_sha256": sheet.sha256}
    file = sheets["file"].name
    return Manifest(
        study=names[0],
        profile=names[1],
        title=f"{names[0]}: imported runs",
        scale=f"Imported from {file}",
        role=IMPORTED,
        metric=metrics[0],
        seeds=found.seeds,
        comparison_key=digest({"imported": names}),
        settings={**settings, "import.unit": found.unit},
        tables=(
            TableSpec(
                key="imported",
                title="Imported runs",
                columns=(HEADLINE, *metrics[1:]),
                rows=rows,
            ),
        ),
    )


def write_runs(
    root: Path,
    manifest: Manifest,
    found: ImportedRuns,
    images: Mapping[RunKey, ImageTable],
) -> Written:
    """Write the runs that differ from those in ``root``, and remove those that are gone.

    Args:
        root: The output folder; the caller has locked it.
        manifest: The study.
        found: The runs.
        images: The images of each run; empty without a file of images.

    Raises:
        RootError: A study of the same name was trained in ``root``.
    """
    check_role(root, manifest)
    before = recall(root, manifest.study, manifest.profile)
    old = {i for row in before.rows.values() for i in row.run_ids} if before else set()
    wanted: dict[str, tuple[str, int, ImportedRun | None]] = {}
    for row in manifest.rows.values():
        for seed, run_id in zip(manifest.seeds, row.run_ids, strict=True):
            wanted[run_id] = (row.method, seed, found.methods[row.method].get(seed))
    gone = [run_id for run_id in old - wanted.keys() if run_dir(root, run_id).has_result()]
    for run_id in old - wanted.keys():
        shutil.rmtree(run_dir(root, run_id).path, ignore_errors=True)
    counts = {"new": 0, "changed": 0, "gone": len(gone)}
    file = str(manifest.settings["import.file"])
    for run_id, (method, seed, run) in wanted.items():
        table = images.get((method, seed))
        result = None if run is None else _result(run_id, run, table)
        if change := _write(root, run_id, result, table, file):
            counts[change] += 1
    remember(root, manifest)
    return Written(manifest, before, **counts)


def _run_id(names: tuple[str, str], method: str, seed: int) -> str:
    return digest({"imported": names, "method": method, "seed": seed})


def _result(run_id: str, run: ImportedRun, table: ImageTable | None) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "metrics": run.scores,
        "class_iou": run.class_iou,
        "settings": {"method": run.method},
        "digests": {},
        "cost": {},
        "classes": list(run.class_iou),
        "images": table and digest(image_arrays(table)),
    }


def _write(
    root: Path, run_id: str, result: dict[str, Any] | None, table: ImageTable | None, file: str
) -> str | None:
    """Write one run if it differs; return how: "new", "changed" or "gone".

    A run that only other methods have at this seed counts as failed, so that the report names it.
    """
    directory = run_dir(root, run_id)
    old, state = directory.result(), directory.state()
    status, reason = ("failed", f"not in {file}") if result is None else ("finished", None)
    if old == result and (state.status, state.reason) == (status, reason):
        return None
    shutil.rmtree(directory.path, ignore_errors=True)
    write_json(directory.imported, {"file": file})
    if table is not None:
        write_whole(directory.counts, lambda path: _save(path, table))
    if result is not None:
        write_json(directory.result_file, result)
    directory.write_state(status=status, reason=reason)
    if result is None:
        return "gone" if old else None
    return "changed" if old else "new"


def _save(path: Path, table: ImageTable) -> None:
    import numpy as np

    arrays: dict[str, Any] = {name: np.asarray(v) for name, v in image_arrays(table).items()}
    np.savez_compressed(path, **arrays)

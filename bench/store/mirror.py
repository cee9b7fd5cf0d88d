"""Mirror: the writing side of the store, which makes MLflow show what the run directories hold."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from bench.errors import SeglossError
from bench.files import write_json
from bench.manifest import Manifest, Row
from bench.runs.rundir import run_dir
from bench.spec import digest
from bench.store.client import StoreError, connect, fullest, search
from bench.store.pages import headline
from bench.store.run_writer import RunWriter
from bench.store.saved_view import decode_view, encode_view, saved_views, view_tag
from bench.store.sqlite_file import prepare

if TYPE_CHECKING:
    from bench.store.client import MlflowClient, Run

log = logging.getLogger(__name__)


class Mirror:
    """The writing side of the store; exactly one process may hold one for a store.

    ``artifact_root`` is where a database store keeps files (a tracking server has its own place).
    """

    until = math.inf
    """The time.monotonic() at which a sync under way leaves the other runs to the next one."""

    def __init__(self, uri: str, artifact_root: Path) -> None:
        self.uri = uri
        self.artifact_root = artifact_root.resolve()

    def sync(self, root: Path, manifest: Manifest) -> int:
        """Bring the store up to date with the run directories of ``manifest``; return runs touched.

        Idempotent and incremental: a run whose state has not changed since costs nothing. Runs that
        never started are not mirrored. Raises StoreError and nothing else, whatever the store does;
        calling again later goes on from there, also where this process was killed.
        """
        prepare(self.uri)
        with connect(self.uri) as client:
            experiment = self._experiment(client, manifest)
            known = _single(client, search(client, experiment, "tags.`segloss.role` != 'study'"))
            _mirror_study(client, experiment, manifest)
            writer = RunWriter(client, experiment, manifest)
            touched = 0
            for run_id, (row, seed) in _cells(manifest).items():
                if time.monotonic() > self.until:
                    raise StoreError(f"store {self.uri}: too slow, not all runs were written")
                directory = run_dir(root, run_id)
                try:
                    touched += writer.mirror(directory, row, seed, known.get(run_id))
                except SeglossError as error:
                    log.warning("not mirrored: %s", error)
            _write_views(client, experiment, manifest)
        return touched

    def forget(self, manifest: Manifest) -> int:
        """Delete every run of the study from the store, so that the next sync makes all anew."""
        prepare(self.uri)
        with connect(self.uri) as client:
            runs = list(search(client, self._experiment(client, manifest)))
            for run in runs:
                client.delete_run(run.info.run_id)
        return len(runs)

    def _experiment(self, client: MlflowClient, manifest: Manifest) -> str:
        name = f"{manifest.study}/{manifest.profile}"
        if found := client.get_experiment_by_name(name):
            if found.lifecycle_stage == "deleted":
                client.restore_experiment(found.experiment_id)
            return found.experiment_id
        served = self.uri.startswith("http")
        # Absolute, because MLflow freezes the location when the experiment is made.
        location = None if served else (self.artifact_root / manifest.name).as_uri()
        tags = {
            "mlflow.experiment.primaryMetric.name": headline(manifest),
            "mlflow.note.content": manifest.title,
        }
        return client.create_experiment(name, artifact_location=location, tags=tags)


def _single(client: MlflowClient, runs: Iterable[Run]) -> dict[str, Run]:
    """One run for each id of ours; any other of the same id is deleted from the store."""
    found = list(runs)
    kept = fullest(found, lambda run: run.data)
    for run in found:
        if run is not kept[run.data.tags.get("segloss.run_id", "")]:
            client.delete_run(run.info.run_id)
    return kept


def _mirror_study(client: MlflowClient, experiment: str, manifest: Manifest) -> None:
    content = manifest.model_dump(mode="json")
    studies = search(client, experiment, "tags.`segloss.role` = 'study'")
    known = next(iter(_single(client, studies).values()), None)
    if known and known.data.tags.get("segloss.manifest") == digest(content):
        return
    if known is None:
        tags = {
            "segloss.role": "study",
            "segloss.study": manifest.study,
            "segloss.profile": manifest.profile,
            "mlflow.note.content": manifest.title,
        }
        known = client.create_run(experiment, run_name=f"study {manifest.study}", tags=tags)
    with TemporaryDirectory() as folder:
        write_json(file := Path(folder) / "manifest.json", content)
        client.log_artifact(known.info.run_id, str(file))
    client.set_terminated(known.info.run_id)
    # Last, so that a sync that was cut off is repeated.
    client.set_tag(known.info.run_id, "segloss.manifest", digest(content))


def _write_views(client: MlflowClient, experiment: str, manifest: Manifest) -> None:
    try:
        found = client.get_experiment(experiment)
        for key, view in saved_views(manifest).items():
            old = found.tags.get(view_tag(key))
            if old is None or decode_view(old) != view:
                value = encode_view(view, found.creation_time or 0)
                client.set_experiment_tag(experiment, view_tag(key), value)
    except Exception as error:  # a nicety, in an undocumented format
        log.info("no saved view in MLflow: %s", error)


def _cells(manifest: Manifest) -> dict[str, tuple[Row, int]]:
    """The row and seed of each distinct run; one that several rows share belongs to the first."""
    cells: dict[str, tuple[Row, int]] = {}
    for row in manifest.rows.values():
        for run_id, seed in zip(row.run_ids, manifest.seeds, strict=True):
            cells.setdefault(run_id, (row, seed))
    return cells

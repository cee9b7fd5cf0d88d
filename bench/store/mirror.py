"""The mirror: copies the run directories into the MLflow store, in a thread during a session."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from bench.errors import SeglossError
from bench.files import write_json
from bench.manifest import Manifest, Row
from bench.runs.rundir import run_dir
from bench.spec import digest
from bench.store.client import StoreError, connect, database, most_complete, search
from bench.store.pages import VIEW_KEY, headline, source_tags
from bench.store.places import local_folder, placed
from bench.store.run_files import keep_files
from bench.store.run_writer import RunWriter
from bench.store.sqlite import prepare
from bench.store.views.saved import encode_view, saved_views, view_tag

if TYPE_CHECKING:
    from bench.store.client import MlflowClient, Run

log = logging.getLogger(__name__)

SYNC_SECONDS = 15.0
SOURCE = "mlflow.source.name"
"""Tag that the runs of older versions lack, as they lack what the views show."""
SHARE_OF_A_CORE = 1 / 50
LONGEST_PAUSE_SECONDS = 60.0
FINISH_SECONDS = 120.0
"""Time that the end of a session allows the store; `segloss sync` writes what is missing then."""


class Mirror:
    """Writes studies into one store. Only one process may write to a store at a time."""

    def __init__(self, uri: str, artifact_root: Path) -> None:
        """Prepare to write; nothing is opened yet.

        Args:
            uri: MLflow's tracking URI of the store.
            artifact_root: folder for the files of a database store. A tracking server keeps files
                in a place of its own.
        """
        self.uri = uri
        self.artifact_root = artifact_root.resolve()

    def sync(
        self, root: Path, manifest: Manifest, is_late: Callable[[], bool] = lambda: False
    ) -> int:
        """Bring the store up to date with the run directories of one study.

        Idempotent and incremental: a run whose state has not changed costs nothing, and a later
        call continues where this one was interrupted. Runs that never started are left out.

        Args:
            root: the output folder that holds the run directories.
            manifest: the study.
            is_late: asked before each run; True ends the sync with a StoreError.

        Returns:
            The number of runs that were written.

        Raises:
            StoreError: whatever goes wrong in the store.
        """
        prepare(self.uri)
        with connect(self.uri) as client:
            experiment = self._experiment(client, manifest)
            known = _single(client, search(client, experiment, "tags.`segloss.role` != 'study'"))
            _mirror_study(client, self.uri, experiment, manifest)
            writer = RunWriter(client, self.uri, experiment, manifest)
            written = 0
            for run_id, (row, seed) in _cells(manifest).items():
                if is_late():
                    raise StoreError(f"store {self.uri}: too slow, not all runs were written")
                directory = run_dir(root, run_id)
                try:
                    written += writer.mirror(directory, row, seed, known.get(run_id))
                except SeglossError as error:
                    log.warning("not mirrored: %s", error)
            # --rebuild writes runs of an older version anew.
            if all(SOURCE in run.data.tags for run in known.values()):
                _write_views(client, experiment, manifest)
        return written

    def forget(self, manifest: Manifest) -> int:
        """Delete every run of the study from the store and return their number."""
        prepare(self.uri)
        with connect(self.uri) as client:
            runs = list(search(client, self._experiment(client, manifest)))
            for run in runs:
                client.delete_run(run.info.run_id)
        return len(runs)

    def _experiment(self, client: MlflowClient, manifest: Manifest) -> str:
        name = f"{manifest.study}/{manifest.profile}"
        if known := client.get_experiment_by_name(name):
            if known.lifecycle_stage == "deleted":
                client.restore_experiment(known.experiment_id)
            return known.experiment_id
        file = database(self.uri)
        # Absolute: MLflow fixes the location when it creates the experiment.
        location = file and placed(file, (self.artifact_root / manifest.name).as_uri())
        tags = {
            "mlflow.experiment.primaryMetric.name": headline(manifest),
            "mlflow.note.content": _note(manifest),
        }
        return client.create_experiment(name, artifact_location=location, tags=tags)


class MirrorThread(threading.Thread):
    """Mirrors studies every few seconds; a failure of the store never affects a run."""

    def __init__(
        self, mirror: Mirror, root: Path, manifests: list[Manifest], first: Callable[[], None]
    ) -> None:
        """Prepare the thread.

        Args:
            mirror: writes the studies.
            root: the output folder.
            manifests: the studies; may be replaced while the thread runs.
            first: called once in the thread before the first sync; its errors are ignored.
        """
        super().__init__(name="mirror", daemon=True)
        self.mirror, self.root, self.manifests = mirror, root, manifests
        self.first = first
        self.changed = threading.Event()
        self.ending = threading.Event()
        self.deadline: float | None = None
        self.error: SeglossError | None = None

    def run(self) -> None:
        """Sync whenever ``changed`` is set and every few seconds, until ``finish`` is called."""
        with contextlib.suppress(Exception):
            self.first()
        while not self.ending.is_set():
            self.changed.wait(SYNC_SECONDS)
            self.changed.clear()
            began = time.thread_time()
            self._sync()
            pause = (time.thread_time() - began) / SHARE_OF_A_CORE
            self.ending.wait(min(pause, LONGEST_PAUSE_SECONDS))
        self._sync()

    def finish(self) -> None:
        """Write what is missing, then end the thread; ``error`` says what could not be written."""
        self.deadline = time.monotonic() + FINISH_SECONDS
        self.ending.set()
        self.changed.set()
        if self.ident is not None:
            self.join(2 * FINISH_SECONDS)  # a call that is under way has a time limit of its own
            if self.is_alive():
                self.error = StoreError(f"store {self.mirror.uri}: it does not answer")

    def _is_late(self) -> bool:
        return self.deadline is not None and time.monotonic() > self.deadline

    def _sync(self) -> None:
        try:
            for manifest in self.manifests:
                self.mirror.sync(self.root, manifest, self._is_late)
            self.error = None
        except SeglossError as error:
            self.error = error
        except Exception as error:  # any other error must not end the thread before the session
            self.error = StoreError(f"{type(error).__name__}: {error}")


def _single(client: MlflowClient, runs: Iterable[Run]) -> dict[str, Run]:
    """Return one run for each run id; delete duplicates from the store."""
    every = list(runs)
    kept = most_complete(every, lambda run: run.data)
    for run in every:
        if run is not kept[run.data.tags.get("segloss.run_id", "")]:
            client.delete_run(run.info.run_id)
    return kept


def _note(manifest: Manifest) -> str:
    """Return the study's title and scale, which its report replaces later."""
    return f"{manifest.title.rstrip('.')}. {manifest.scale.rstrip('.')}."


def _mirror_study(client: MlflowClient, uri: str, experiment: str, manifest: Manifest) -> None:
    content = manifest.model_dump(mode="json")
    studies = search(client, experiment, "tags.`segloss.role` = 'study'")
    known = next(iter(_single(client, studies).values()), None)
    if known and known.data.tags.get("segloss.manifest") == digest(content):
        folder = local_folder(uri, known.info.artifact_uri or "")
        if folder is None or (folder / "manifest.json").exists():
            return
    if known is None:
        tags = {
            "segloss.role": "study",
            "segloss.study": manifest.study,
            "segloss.profile": manifest.profile,
            "mlflow.note.content": _note(manifest),
            **source_tags(manifest),
        }
        known = client.create_run(experiment, run_name=f"study {manifest.study}", tags=tags)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "manifest.json"
        write_json(file, content)
        keep_files(client, uri, known, [file])
    client.set_terminated(known.info.run_id)
    # Written last: without this tag, the next sync repeats an interrupted one.
    client.set_tag(known.info.run_id, "segloss.manifest", digest(content))


def _write_views(client: MlflowClient, experiment: str, manifest: Manifest) -> None:
    try:
        stored, views = client.get_experiment(experiment), saved_views(manifest)
        for key, view in views.items():
            value = encode_view(view, stored.creation_time or 0)
            if stored.tags.get(view_tag(key)) != value:
                client.set_experiment_tag(experiment, view_tag(key), value)
        for tag in stored.tags.keys() - set(map(view_tag, views)):
            if tag.startswith(view_tag(VIEW_KEY)):  # of a table that the study no longer has
                client.delete_experiment_tag(experiment, tag)
    except Exception as error:  # views are optional, and their format is undocumented
        log.info("no saved view in MLflow: %s", error)


def _cells(manifest: Manifest) -> dict[str, tuple[Row, int]]:
    """Return row and seed of each distinct run; a shared run belongs to its first row."""
    cells: dict[str, tuple[Row, int]] = {}
    for row in manifest.rows.values():
        for run_id, seed in zip(row.run_ids, manifest.seeds, strict=True):
            cells.setdefault(run_id, (row, seed))
    return cells

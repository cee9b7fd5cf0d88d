"""Mirror: the writing side of the store, which makes MLflow show what the run directories hold."""

from __future__ import annotations

import json
import logging
import math
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from bench.errors import SeglossError
from bench.manifest import Manifest, Row
from bench.mlflow_view import (
    VIEW_TAG,
    decode_view,
    encode_view,
    headline,
    method_colours,
    run_name,
    run_params,
    saved_view,
    setting_tags,
)
from bench.rundir import RunDir, State, run_dir, write_json
from bench.spec import digest
from bench.tracking import StoreError, connect, create_tables, database, log_batches, search

if TYPE_CHECKING:
    from bench.tracking import MlflowClient, Run

# A diverged training is a result, so MLflow shows it as finished; its tag says what happened.
STATUS = {
    "queued": "SCHEDULED",
    "running": "RUNNING",
    "finished": "FINISHED",
    "diverged": "FINISHED",
    "failed": "FAILED",
    "interrupted": "KILLED",
}
OVER = frozenset({"finished", "diverged", "failed", "interrupted"})
ARTIFACTS = ("spec.json", "result.json", "env.json", "confusion.npz", "log.txt")
GRID_IMAGES = 4
"""So many predictions go into MLflow's image grid; each costs a PNG and a WebP there."""

log = logging.getLogger(__name__)


class Mirror:
    """The writing side of the store; exactly one process may hold one for a store.

    ``artifact_root`` is where a database store keeps files (a tracking server has its own place).
    """

    def __init__(self, uri: str, artifact_root: Path) -> None:
        self.uri = uri
        self.artifact_root = artifact_root.resolve()

    def sync(self, root: Path, manifest: Manifest) -> int:
        """Bring the store up to date with the run directories of ``manifest``; return runs touched.

        Idempotent and incremental: a run whose state has not changed since costs nothing. Runs that
        never started are not mirrored. Raises StoreError; calling again later goes on from there.
        """
        _prepare(self.uri)
        with connect(self.uri) as client:
            experiment = self._experiment(client, manifest)
            known = {run.data.tags.get("segloss.run_id"): run for run in search(client, experiment)}
            _mirror_study(client, experiment, manifest)
            writer = _Writer(client, experiment, manifest)
            touched = 0
            for run_id, (row, seed) in _cells(manifest).items():
                directory = run_dir(root, run_id)
                try:
                    touched += writer.mirror(directory, row, seed, known.get(run_id))
                except SeglossError as error:
                    log.warning("not mirrored: %s", error)
            if touched:
                _write_view(client, experiment, manifest)
        return touched

    def forget(self, manifest: Manifest) -> int:
        """Delete every run of the study from the store, so that the next sync makes all anew."""
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
        experiment = client.create_experiment(name, artifact_location=location)
        client.set_experiment_tag(
            experiment, "mlflow.experiment.primaryMetric.name", headline(manifest)
        )
        client.set_experiment_tag(experiment, "mlflow.note.content", manifest.title)
        return experiment


@dataclass(frozen=True)
class _Writer:
    client: MlflowClient
    experiment: str
    manifest: Manifest

    def mirror(self, directory: RunDir, row: Row, seed: int, run: Run | None) -> Literal[0, 1]:
        """Write what is new in ``directory``; 1 if that was anything."""
        state = directory.state()
        params = run_params(self.manifest, row, seed)
        if run and _stale(run, params, directory):
            self.client.delete_run(run.info.run_id)
            run = None
        if run is None and state.status == "queued":
            return 0
        if run and run.data.tags.get("segloss.updated") == repr(state.updated):
            return 0
        lines, result = directory.metrics(), directory.result()
        mirrored = run.data.tags if run else {}
        if run is None:
            role = self.manifest.role
            if role == "train" and directory.spec().crf:
                role = "evaluate"
            start = lines[0]["time"] if lines else state.updated
            run = self._create(row, seed, directory.run_id, start, role)
        run_id = run.info.run_id
        missing = {key: value for key, value in params.items() if key not in run.data.params}
        log_batches(self.client, run_id, params=missing)
        last = int(mirrored.get("segloss.step", -1))
        log_batches(
            self.client, run_id, metrics=_history(line for line in lines if line["step"] > last)
        )
        tags = {
            "segloss.status": state.status,
            "segloss.reason": (state.reason or "")[:2000],
            "segloss.step": str(lines[-1]["step"] if lines else -1),
            "segloss.updated": repr(state.updated),
        }
        if result and "segloss.result" not in mirrored:
            log_batches(self.client, run_id, metrics=_final(result, state))
            self._log_grid(run_id, directory)
            tags["segloss.result"] = digest(result)
            # MLflow keeps no order of metrics, but tables want the data set's.
            tags["segloss.classes"] = json.dumps(result["classes"])
            tags |= {f"segloss.digest.{k}": str(v) for k, v in result["digests"].items()}
        if state.status in OVER:
            self._log_files(run_id, directory)
            self.client.set_terminated(run_id, STATUS[state.status], _ms(state.updated))
        else:
            self.client.update_run(run_id, STATUS[state.status])
        # Last, so that a sync that was cut off is repeated.
        log_batches(self.client, run_id, tags=tags)
        return 1

    def _create(self, row: Row, seed: int, run_id: str, start: float, role: str) -> Run:
        manifest = self.manifest
        tables = [table.key for table in manifest.tables if row in table.rows]
        return self.client.create_run(
            self.experiment,
            start_time=_ms(start),
            run_name=run_name(manifest, row, seed),
            tags={
                "segloss.role": role,
                "segloss.run_id": run_id,
                "segloss.study": manifest.study,
                "segloss.profile": manifest.profile,
                "segloss.comparison_key": manifest.comparison_key,
                "segloss.tables": ",".join(tables),
                "mlflow.runColor": method_colours(manifest)[row.method],
                **setting_tags(manifest, row),
            },
        )

    def _log_files(self, run_id: str, directory: RunDir) -> None:
        for name in ARTIFACTS:
            if (file := directory.path / name).exists():
                self.client.log_artifact(run_id, str(file))
        if directory.predictions.is_dir():
            self.client.log_artifacts(run_id, str(directory.predictions), "predictions")

    def _log_grid(self, run_id: str, directory: RunDir) -> None:
        """Show predictions side by side: the image grid lines runs up by key and step."""
        from PIL import Image

        for file in sorted(directory.predictions.glob("*.prediction.png"))[:GRID_IMAGES]:
            key = f"prediction/{file.name.removesuffix('.prediction.png')}"
            with Image.open(file) as image:
                self.client.log_image(run_id, image.convert("RGB"), key=key, step=0)


def _prepare(uri: str) -> None:
    """Make a database file whole or not at all, and let readers in while it is written."""
    if file := database(uri):
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            if not file.exists():
                with TemporaryDirectory(dir=file.parent, prefix=".store-") as folder:
                    # MLflow takes seconds for its tables; cut short, it could never open them.
                    create_tables(fresh := Path(folder) / file.name)
                    fresh.replace(file)
            with closing(sqlite3.connect(file)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
        except (OSError, sqlite3.Error) as error:
            way_out = "the runs are safe: delete the file, then segloss sync"
            raise StoreError(f"store {uri}: {error} ({way_out})") from error


def _mirror_study(client: MlflowClient, experiment: str, manifest: Manifest) -> None:
    content = manifest.model_dump(mode="json")
    known = next(search(client, experiment, "tags.`segloss.role` = 'study'"), None)
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
        client.set_terminated(known.info.run_id)
    with TemporaryDirectory() as folder:
        write_json(file := Path(folder) / "manifest.json", content)
        client.log_artifact(known.info.run_id, str(file))
    client.set_tag(known.info.run_id, "segloss.manifest", digest(content))


def _write_view(client: MlflowClient, experiment: str, manifest: Manifest) -> None:
    try:
        found = client.get_experiment(experiment)
        state, old = saved_view(manifest), found.tags.get(VIEW_TAG)
        if old is None or decode_view(old) != state:
            value = encode_view(state, found.creation_time or 0)
            client.set_experiment_tag(experiment, VIEW_TAG, value)
    except Exception as error:  # a nicety, in an undocumented format
        log.info("no saved view in MLflow: %s", error)


def _cells(manifest: Manifest) -> dict[str, tuple[Row, int]]:
    """The row and seed of each distinct run; one that several rows share belongs to the first."""
    cells: dict[str, tuple[Row, int]] = {}
    for row in manifest.rows.values():
        for run_id, seed in zip(row.run_ids, manifest.seeds, strict=True):
            cells.setdefault(run_id, (row, seed))
    return cells


def _stale(run: Run, params: dict[str, str], directory: RunDir) -> bool:
    """Whether the mirrored run is of an earlier life of its directory, or of another row."""
    old, tags = run.data.params, run.data.tags
    if any(old.get(key, value) != value for key, value in params.items()):
        return True  # MLflow never changes a parameter
    if tags.get("segloss.updated") == repr(directory.state().updated):
        return False
    lines, result = directory.metrics(), directory.result()
    restarted = (lines[-1]["step"] if lines else -1) < int(tags.get("segloss.step", -1))
    return restarted or tags.get("segloss.result") not in (None, digest(result))


def _history(lines: Iterable[dict[str, Any]]) -> Iterator[tuple[str, float, int, int]]:
    """(key, value, timestamp, step) of every number in the lines of a metrics.jsonl."""
    for line in lines:
        for key, value in line.items():
            if key not in ("step", "time") and isinstance(value, int | float):
                yield key, _shown(value), _ms(line["time"]), line["step"]


def _final(result: dict[str, Any], state: State) -> Iterator[tuple[str, float, int, int]]:
    """A finished run's numbers, all at step 0: MLflow draws those as bars."""
    groups = {"final": "metrics", "iou": "class_iou", "cost": "cost"}
    for prefix, group in groups.items():
        for key, value in result[group].items():
            if value is not None:
                yield f"{prefix}/{key}", _shown(value), _ms(state.updated), 0


def _shown(value: float) -> float:
    """Five places, because MLflow's table cuts long numbers off; inf has no place in its charts."""
    return round(float(value), 5) if math.isfinite(value) else math.nan


def _ms(seconds: float) -> int:
    return int(seconds * 1000)

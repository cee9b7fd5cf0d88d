"""Write one run into the store: everything that its directory has and MLflow lacks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bench.errors import RootError
from bench.manifest import IMPORTED, Manifest, Row, row_colour, run_name
from bench.runs.rundir import RunDir, State
from bench.store.client import log_batches, log_datasets
from bench.store.pages import (
    dataset_name,
    run_note,
    run_params,
    setting_params,
    source_tags,
    table_tag,
)
from bench.store.places import local_folder
from bench.store.run_files import keep_grid, keep_run, lost_files
from bench.store.snapshot import IMPORTED_PLACES, PLACES, Numbers, RunSnapshot, milliseconds

if TYPE_CHECKING:
    from bench.store.client import MlflowClient, Run

# A diverged training is a result, so MLflow shows it as finished; its tag says "diverged".
STATUS = {
    "queued": "SCHEDULED",
    "running": "RUNNING",
    "finished": "FINISHED",
    "diverged": "FINISHED",
    "failed": "FAILED",
    "interrupted": "KILLED",
}
OVER = frozenset({"finished", "diverged", "failed", "interrupted"})
SPLITS = {"train_data": "data.train", "data": "data.evaluate"}
"""The setting that names a split, by the digest of its images."""


@dataclass(frozen=True)
class RunWriter:
    """Writes the runs of one study into one experiment."""

    client: MlflowClient
    uri: str
    experiment: str
    manifest: Manifest

    def mirror(self, directory: RunDir, row: Row, seed: int, run: Run | None) -> Literal[0, 1]:
        """Write what is new in ``directory``.

        Args:
            directory: the run directory.
            row: the row that the run belongs to.
            seed: the run's seed.
            run: the run in the store, or None.

        Returns:
            1 if anything was written, else 0.

        Raises:
            RootError: a file of the run directory cannot be read.
        """
        params = run_params(self.manifest, row, seed)
        with _readable(directory):
            state = directory.state()
        if run and _complete(run, params, state) and not self._lost(run, state, directory):
            return 0
        if run is None and state.status == "queued":
            return 0
        places = IMPORTED_PLACES if self.manifest.role == IMPORTED else PLACES
        with _readable(directory):
            snapshot = RunSnapshot.read(directory, places)
        held = self._held(run) if run else {}
        if run and _contradicts(run, params, snapshot, held):
            # MLflow can neither change a param nor delete a metric: replace the run.
            self.client.delete_run(run.info.run_id)
            run, held = None, {}
            if state.status == "queued":
                return 0
        if run is None:
            run = self._create(directory, row, seed, snapshot)
        wanted = params | setting_params(self.manifest, row)
        missing = {key: value for key, value in wanted.items() if key not in run.data.params}
        new = {at: number for at, number in snapshot.numbers.items() if at not in held}
        note = run_note(self.manifest, row, seed, _outcome(state), snapshot.scores)
        self._write(run, directory, snapshot, missing, new, note)
        return 1

    def _held(self, run: Run) -> dict[tuple[str, int], list[float]]:
        """Return every value in the store; an interrupted sync leaves some."""
        held: dict[tuple[str, int], list[float]] = {}
        for key in run.data.metrics:
            for metric in self.client.get_metric_history(run.info.run_id, key):
                held.setdefault((key, metric.step), []).append(metric.value)
        return held

    def _write(
        self,
        run: Run,
        directory: RunDir,
        snapshot: RunSnapshot,
        params: dict[str, str],
        numbers: Numbers,
        note: str,
    ) -> None:
        run_id, state = run.info.run_id, snapshot.state
        log_batches(self.client, run_id, params=params)
        rows = ((key, value, time, step) for (key, step), (value, time) in numbers.items())
        log_batches(self.client, run_id, metrics=rows)
        lost = self._lost(run, state, directory)
        if "segloss.result" in snapshot.tags and ("segloss.result" not in run.data.tags or lost):
            keep_grid(self.client, self.uri, run, directory)
            log_datasets(self.client, run_id, self._datasets(snapshot))
        if state.status in OVER:
            keep_run(self.client, self.uri, run, directory)
            self.client.set_terminated(run_id, STATUS[state.status], milliseconds(state.updated))
        else:
            self.client.update_run(run_id, STATUS[state.status])
        tags = {
            "segloss.status": state.status,
            "segloss.reason": (state.reason or "")[:2000],
            "segloss.step": str(snapshot.step),
            "segloss.kept": state.kept or "",
            **snapshot.tags,
            "mlflow.note.content": note,
            **_commit_tag(snapshot),
            "segloss.updated": repr(state.updated),
        }
        # Written last: without these tags, the next sync repeats an interrupted one.
        log_batches(self.client, run_id, tags=tags)

    def _lost(self, run: Run, state: State, directory: RunDir) -> bool:
        """Return whether a run has ended and a file of it is missing; a server is not asked."""
        folder = local_folder(self.uri, run.info.artifact_uri or "")
        return folder is not None and state.status in OVER and lost_files(folder, directory)

    def _create(self, directory: RunDir, row: Row, seed: int, snapshot: RunSnapshot) -> Run:
        manifest = self.manifest
        role = manifest.role
        if role == "train" and not directory.spec().trains:
            role = "evaluate"
        tables = [
            table.key
            for table in manifest.tables
            if any(directory.run_id in other.run_ids for other in table.rows)
        ]
        return self.client.create_run(
            self.experiment,
            start_time=milliseconds(snapshot.started),
            run_name=run_name(manifest, row, seed),
            tags={
                "segloss.role": role,
                "segloss.run_id": directory.run_id,
                "segloss.study": manifest.study,
                "segloss.profile": manifest.profile,
                "segloss.comparison_key": manifest.comparison_key,
                "segloss.tables": ",".join(tables),
                **{table_tag(key): "yes" for key in tables},
                "mlflow.runColor": row_colour(manifest, row),
                **source_tags(manifest),
            },
        )

    def _datasets(self, snapshot: RunSnapshot) -> list[tuple[str, str, str]]:
        """Return name, digest and split of the data that the run was trained and scored on."""
        name, settings = dataset_name(self.manifest), self.manifest.settings
        return [
            (name, str(snapshot.digests[key]), str(settings.get(split) or split))
            for key, split in SPLITS.items()
            if snapshot.digests.get(key)
        ]


@contextmanager
def _readable(directory: RunDir) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        cause = f"{type(error).__name__}: {error}"
        raise RootError(f"{directory.path} cannot be read: {cause}; delete it") from error


def _complete(run: Run, params: dict[str, str], state: State) -> bool:
    """Return whether a sync of this state was completed, for this row."""
    updated = run.data.tags.get("segloss.updated") == repr(state.updated)
    updated &= run.data.tags.get("segloss.kept", "") == (state.kept or "")
    return updated and params.items() <= run.data.params.items()


def _contradicts(
    run: Run,
    params: dict[str, str],
    snapshot: RunSnapshot,
    held: dict[tuple[str, int], list[float]],
) -> bool:
    """Return whether the mirrored run is of another row or of a deleted run directory."""
    old, tags = run.data.params, run.data.tags
    if any(old.get(key, value) != value for key, value in params.items()):
        return True
    if tags.get("segloss.result") not in (None, snapshot.tags.get("segloss.result")):
        return True
    return any(
        len(values) > 1
        or at not in snapshot.numbers
        or not _same(values[0], snapshot.numbers[at][0])
        for at, values in held.items()
    )


def _same(a: float, b: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-9)


def _outcome(state: State) -> str:
    """Return the status and the first line of its reason."""
    reason = (state.reason or "").partition("\n")[0]
    return f"{state.status} ({reason})" if reason else state.status


def _commit_tag(snapshot: RunSnapshot) -> dict[str, str]:
    return {"mlflow.source.git.commit": snapshot.commit} if snapshot.commit else {}

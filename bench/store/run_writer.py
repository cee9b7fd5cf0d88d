"""One run in the store: what its directory holds and MLflow lacks is written, once."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from bench.errors import RootError
from bench.manifest import Manifest, Row
from bench.runs.rundir import RunDir, State
from bench.spec import digest
from bench.store.client import log_batches
from bench.store.pages import method_colours, run_name, run_params, setting_tags
from bench.store.saved_view import table_tag

if TYPE_CHECKING:
    from bench.store.client import MlflowClient, Run

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
ARTIFACTS = ("spec.json", "result.json", "env.json", "confusion.npz", "boundaries.npz", "log.txt")
GRID_IMAGES = 4
"""So many predictions go into MLflow's image grid; each costs a PNG and a WebP there."""
THUMBNAIL = (256, 256)
"""The size at which MLflow's own log_image keeps a compressed copy."""

Numbers = dict[tuple[str, int], tuple[float, int]]
"""Value and timestamp in ms of each (metric, step)."""


@dataclass(frozen=True)
class Found:
    """What a run directory holds at one moment."""

    state: State
    step: int
    started: float
    numbers: Numbers
    tags: dict[str, str]
    """About the result; empty where there is none."""

    @classmethod
    def read(cls, directory: RunDir) -> Found:
        """All that is to be mirrored."""
        state, lines, result = directory.state(), directory.metrics(), directory.result()
        numbers = dict(_history(lines))
        tags: dict[str, str] = {}
        if result is not None:
            numbers |= dict(_final(result, state))
            tags["segloss.result"] = digest(result)
            # MLflow keeps no order of metrics, but tables want the data set's.
            tags["segloss.classes"] = json.dumps(result["classes"])
            tags |= {f"segloss.digest.{k}": str(v) for k, v in result["digests"].items()}
        started = lines[0]["time"] if lines else state.updated
        return cls(state, lines[-1]["step"] if lines else -1, started, numbers, tags)


@dataclass(frozen=True)
class RunWriter:
    """Writes the runs of one study into one experiment."""

    client: MlflowClient
    experiment: str
    manifest: Manifest

    def mirror(self, directory: RunDir, row: Row, seed: int, run: Run | None) -> Literal[0, 1]:
        """Write what is new in ``directory``; 1 if that was anything.

        Raises RootError where one of its files is not what a run leaves.
        """
        params = run_params(self.manifest, row, seed)
        with _readable(directory):
            state = directory.state()
        if run and _complete(run, params, state):
            return 0
        if run is None and state.status == "queued":
            return 0
        with _readable(directory):
            found = Found.read(directory)
        held = self._held(run) if run else {}
        if run and _contradicts(run, params, found, held):
            # MLflow changes no parameter and forgets no number, so the run is made anew.
            self.client.delete_run(run.info.run_id)
            run, held = None, {}
            if state.status == "queued":
                return 0
        if run is None:
            run = self._create(directory, row, seed, found)
        missing = {key: value for key, value in params.items() if key not in run.data.params}
        new = {at: number for at, number in found.numbers.items() if at not in held}
        self._write(run, directory, found, missing, new)
        return 1

    def _held(self, run: Run) -> dict[tuple[str, int], list[float]]:
        """Every value that stands in the store: a sync that was cut off has left some."""
        held: dict[tuple[str, int], list[float]] = {}
        for key in run.data.metrics:
            for metric in self.client.get_metric_history(run.info.run_id, key):
                held.setdefault((key, metric.step), []).append(metric.value)
        return held

    def _write(
        self, run: Run, directory: RunDir, found: Found, params: dict[str, str], numbers: Numbers
    ) -> None:
        run_id, state = run.info.run_id, found.state
        log_batches(self.client, run_id, params=params)
        rows = ((key, value, time, step) for (key, step), (value, time) in numbers.items())
        log_batches(self.client, run_id, metrics=rows)
        if found.tags and "segloss.result" not in run.data.tags:
            self._log_grid(run, directory)
        if state.status in OVER:
            self._log_files(run_id, directory)
            self.client.set_terminated(run_id, STATUS[state.status], _ms(state.updated))
        else:
            self.client.update_run(run_id, STATUS[state.status])
        tags = {
            "segloss.status": state.status,
            "segloss.reason": (state.reason or "")[:2000],
            "segloss.step": str(found.step),
            **found.tags,
            "segloss.updated": repr(state.updated),
        }
        # Last, so that a sync that was cut off is repeated.
        log_batches(self.client, run_id, tags=tags)

    def _create(self, directory: RunDir, row: Row, seed: int, found: Found) -> Run:
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
            start_time=_ms(found.started),
            run_name=run_name(manifest, row, seed),
            tags={
                "segloss.role": role,
                "segloss.run_id": directory.run_id,
                "segloss.study": manifest.study,
                "segloss.profile": manifest.profile,
                "segloss.comparison_key": manifest.comparison_key,
                "segloss.tables": ",".join(tables),
                **{table_tag(key): "yes" for key in tables},
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

    def _log_grid(self, run: Run, directory: RunDir) -> None:
        """Show predictions side by side: the image grid lines runs up by key and step.

        As client.log_image does it, but under names that a repeated sync writes over.
        """
        from PIL import Image

        files = sorted(directory.predictions.glob("*.prediction.png"))[:GRID_IMAGES]
        if not files:
            return
        with TemporaryDirectory() as folder:
            for file in files:
                key = f"prediction~{file.name.removesuffix('.prediction.png')}"
                unique = uuid.uuid5(uuid.NAMESPACE_OID, f"{run.info.run_id}/{key}")
                name = f"{key}+step+0+timestamp+{run.info.start_time}+{unique}"
                try:
                    with Image.open(file) as stored:
                        image = stored.convert("RGB")
                except OSError:
                    continue  # a torn picture costs its place in the grid, no number
                image.save(Path(folder) / f"{name}.png")
                image.thumbnail(THUMBNAIL)
                image.save(Path(folder) / f"{name}+compressed.webp")
            self.client.log_artifacts(run.info.run_id, folder, "images")
        self.client.set_tag(run.info.run_id, "mlflow.loggedImages", True)


@contextmanager
def _readable(directory: RunDir) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        what = f"{type(error).__name__}: {error}"
        raise RootError(f"{directory.path} cannot be read: {what}; delete it") from error


def _complete(run: Run, params: dict[str, str], state: State) -> bool:
    """Whether the last sync of this state went through, under this row."""
    updated = run.data.tags.get("segloss.updated") == repr(state.updated)
    return updated and params.items() <= run.data.params.items()


def _contradicts(
    run: Run, params: dict[str, str], found: Found, held: dict[tuple[str, int], list[float]]
) -> bool:
    """Whether the mirrored run is of an earlier life of its directory, or of another row."""
    old, tags = run.data.params, run.data.tags
    if any(old.get(key, value) != value for key, value in params.items()):
        return True
    if tags.get("segloss.result") not in (None, found.tags.get("segloss.result")):
        return True
    return any(
        len(values) > 1 or at not in found.numbers or not _same(values[0], found.numbers[at][0])
        for at, values in held.items()
    )


def _same(a: float, b: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-9)


Number = tuple[tuple[str, int], tuple[float, int]]


def _history(lines: Iterable[dict[str, Any]]) -> Iterator[Number]:
    """Every number in the lines of a metrics.jsonl."""
    for line in lines:
        for key, value in line.items():
            if key not in ("step", "time") and isinstance(value, int | float):
                yield (key, line["step"]), (_shown(value), _ms(line["time"]))


def _final(result: dict[str, Any], state: State) -> Iterator[Number]:
    """A finished run's numbers, all at step 0: MLflow draws those as bars."""
    groups = {"final": "metrics", "iou": "class_iou", "cost": "cost"}
    for prefix, group in groups.items():
        for key, value in result[group].items():
            if value is not None:
                yield (f"{prefix}/{key}", 0), (_shown(value), _ms(state.updated))


def _shown(value: float) -> float:
    """Five places, because MLflow's table cuts long numbers off; inf has no place in its charts."""
    return round(float(value), 5) if math.isfinite(value) else math.nan


def _ms(seconds: float) -> int:
    return int(seconds * 1000)

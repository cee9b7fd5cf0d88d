"""Keep files in the store: those of a run, and a report with its study.

In a database store they are copied into the run's folder. MLflow's client would follow the address
in the database, which may name a root's former place.
"""

from __future__ import annotations

import shutil
import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from bench.runs.rundir import RunDir
from bench.store.client import connect, database, failures
from bench.store.pages import image_key
from bench.store.places import local_folder
from bench.store.reading import StudyRecord, run_folder
from bench.store.sqlite import NOTE, set_note
from bench.store.views.charts import EXAMPLES

if TYPE_CHECKING:
    from bench.store.client import MlflowClient, Run

KEPT = (
    "spec.json",
    "result.json",
    "env.json",
    "probes.json",
    "confusion.npz",
    "counts.npz",
    "boundaries.npz",
    "log.txt",
)
THUMBNAIL = (256, 256)
"""Size of the compressed copy that MLflow's own log_image stores."""
RUN_NOTE, EXPERIMENT_NOTE = 8_000, 20_000
"""MLflow's limits for a tag of a run and of an experiment, in characters."""


def keep_run(client: MlflowClient, uri: str, run: Run, directory: RunDir) -> None:
    """Keep the files of a run directory that a report or a reader needs."""
    named = [directory.path / name for name in KEPT]
    keep_files(client, uri, run, [file for file in named if file.exists()])
    if directory.predictions.is_dir():
        keep_files(client, uri, run, sorted(directory.predictions.iterdir()), "predictions")


def keep_grid(client: MlflowClient, uri: str, run: Run, directory: RunDir) -> None:
    """Keep predictions for the image grid, which lines runs up by key and step.

    Like client.log_image, but under names that a repeated sync overwrites.
    """
    from PIL import Image

    files = sorted(directory.predictions.glob("*.prediction.png"))[:EXAMPLES]
    if not files:
        return
    with TemporaryDirectory() as folder:
        for number, file in enumerate(files):
            key = image_key(number).replace("/", "~")
            unique = uuid.uuid5(uuid.NAMESPACE_OID, f"{run.info.run_id}/{key}")
            name = f"{key}+step+0+timestamp+{run.info.start_time}+{unique}"
            try:
                with Image.open(file) as stored:
                    image = stored.convert("RGB")
            except OSError:
                continue  # a damaged image is missing in the grid; no number depends on it
            image.save(Path(folder) / f"{name}.png")
            image.thumbnail(THUMBNAIL)
            image.save(Path(folder) / f"{name}+compressed.webp")
        keep_files(client, uri, run, sorted(Path(folder).iterdir()), "images")
    client.set_tag(run.info.run_id, "mlflow.loggedImages", True)


def keep_files(
    client: MlflowClient, uri: str, run: Run, files: Iterable[Path], folder: str = ""
) -> None:
    """Keep files with a run under their names.

    Args:
        client: an open client.
        uri: the store.
        run: the run in it.
        files: the files to copy.
        folder: a folder among the run's files, such as "predictions".
    """
    place = local_folder(uri, run.info.artifact_uri or "")
    if place is not None:
        copy_files(files, place / folder)
        return
    for file in files:
        client.log_artifact(run.info.run_id, str(file), folder or None)


def copy_files(files: Iterable[Path], folder: Path) -> None:
    """Copy files into a folder, which is created if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copyfile(file, folder / file.name)


def keep_report(uri: str, record: StudyRecord, files: Sequence[Path], note: str) -> None:
    """Keep a report with its study; in a database store without MLflow, whose import takes seconds.

    Args:
        uri: the store.
        record: the study in it.
        files: kept as report/<name>.
        note: Markdown that MLflow shows on the pages of the study and of its experiment.

    Raises:
        StoreError: the store cannot be written.
    """
    run, notes = record.mlflow_run_id, (_cut(note, RUN_NOTE), _cut(note, EXPERIMENT_NOTE))
    file, folder = database(uri), run_folder(uri, record.mlflow_run_id)
    with failures(uri):
        if file is not None and folder is not None:
            copy_files(files, folder / "report")
            with suppress(sqlite3.OperationalError):  # MLflow either writes or reports the cause
                set_note(file, run, record.experiment_id, notes)
                return
    with connect(uri) as client:
        for path in files if folder is None else ():
            client.log_artifact(run, str(path), "report")
        client.set_tag(run, NOTE, notes[0])
        client.set_experiment_tag(record.experiment_id, NOTE, notes[1])


def _cut(text: str, limit: int) -> str:
    """Return at most ``limit`` characters of ``text``, in whole lines."""
    if len(text) <= limit:
        return text
    more = "\n\nThe rest is in report/index.html."
    return text[: text.rfind("\n", 0, limit - len(more))] + more

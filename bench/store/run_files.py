"""Keep the files of a run in the store.

In a database store they are copied into the run's folder. MLflow's client would follow the address
in the database, which may name a root's former place.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from bench.runs.rundir import RunDir
from bench.store.pages import EXAMPLES, image_key
from bench.store.places import local_folder

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


def keep_run(client: MlflowClient, uri: str, run: Run, directory: RunDir) -> None:
    """Keep the files of a run directory that a report or a reader needs."""
    named = [directory.path / name for name in KEPT]
    keep_files(client, uri, run, [file for file in named if file.exists()])
    if directory.predictions.is_dir():
        keep_files(client, uri, run, sorted(directory.predictions.iterdir()), "predictions")


def lost_files(folder: Path, directory: RunDir) -> bool:
    """Return whether a run's folder of the store lacks a file that ``keep_run`` kept there."""
    names = [name for name in KEPT if (directory.path / name).exists()]
    if directory.predictions.is_dir():
        names += [f"predictions/{file.name}" for file in directory.predictions.iterdir()]
    return not all((folder / name).exists() for name in ("", *names))


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

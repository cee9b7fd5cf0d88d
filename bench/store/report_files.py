"""Keep a report in the store, with its study."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bench.store.client import connect, database, failures
from bench.store.reading import StudyRecord, run_folder
from bench.store.run_files import copy_files
from bench.store.sqlite import NOTE, set_note

RUN_NOTE, EXPERIMENT_NOTE = 8_000, 20_000
"""MLflow's limits for a tag of a run and of an experiment, in characters."""


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
            _replace_files(files, folder / "report")
            with suppress(sqlite3.OperationalError):  # MLflow either writes or reports the cause
                set_note(file, run, record.experiment_id, notes)
                return
    with connect(uri) as client:
        for path in files if folder is None else ():
            client.log_artifact(run, str(path), "report")
        client.set_tag(run, NOTE, notes[0])
        client.set_experiment_tag(record.experiment_id, NOTE, notes[1])


def _replace_files(files: Sequence[Path], folder: Path) -> None:
    """Copy files into a folder, and remove those of an earlier report that this one lacks."""
    copy_files(files, folder)
    names = {file.name for file in files}
    for old in folder.iterdir():
        if old.name not in names:
            old.unlink()


def _cut(text: str, limit: int) -> str:
    """Return at most ``limit`` characters of ``text``, in whole lines."""
    if len(text) <= limit:
        return text
    more = "\n\nThe rest is in report/index.html."
    return text[: text.rfind("\n", 0, limit - len(more))] + more

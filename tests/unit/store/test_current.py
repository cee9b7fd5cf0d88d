"""A store that needs no sync is recognised by its tables."""

from pathlib import Path

import pytest

from bench.files import read_json, write_json
from bench.store.client import database
from bench.store.current import is_current
from bench.store.places import local_folder
from bench.store.sqlite import experiment_id, run_rows


def test_a_store_is_current_after_a_sync_and_until_anything_changes(fresh, monkeypatch):
    """A run that ended, one marked as kept, new views and an edited manifest need a sync."""
    where = (fresh.uri, fresh.root)
    assert not is_current(*where, fresh.manifest)
    fresh.finish("CE", 0)
    fresh.sync()
    assert is_current(*where, fresh.manifest)
    directory = fresh.finish("RMI", 0)
    assert not is_current(*where, fresh.manifest)
    fresh.sync()
    assert is_current(*where, fresh.manifest)
    state = directory.path / "state.json"
    before = read_json(state)
    write_json(state, {**before, "kept": "loss"})
    assert not is_current(*where, fresh.manifest)
    write_json(state, before)
    monkeypatch.setattr("bench.store.current.saved_views", lambda manifest: {"new": None})
    assert not is_current(*where, fresh.manifest)
    monkeypatch.undo()
    assert is_current(*where, fresh.manifest)
    renamed = fresh.manifest.model_copy(update={"title": "Another title"})
    assert not is_current(*where, renamed)


def folders(fresh) -> list[Path]:
    """The folder of the study and of each of its runs in the store."""
    file = database(fresh.uri)
    assert file is not None
    number = experiment_id(file, f"{fresh.manifest.study}/{fresh.manifest.profile}")
    assert number is not None
    found = [local_folder(fresh.uri, run.artifact_uri) for run in run_rows(file, number)]
    return [folder for folder in found if folder is not None]


def test_a_run_whose_files_are_gone_needs_a_sync(fresh):
    fresh.finish("CE", 0)
    fresh.sync()
    for folder in folders(fresh):
        folder.rename(folder.with_name("away"))
        assert not is_current(fresh.uri, fresh.root, fresh.manifest)
        folder.with_name("away").rename(folder)
    assert is_current(fresh.uri, fresh.root, fresh.manifest)


def test_a_file_that_is_gone_is_written_again(fresh):
    """One file of a run, such as its counts, in the store."""
    directory = fresh.finish("CE", 0)
    fresh.sync()
    (kept,) = (file for folder in folders(fresh) for file in folder.glob("result.json"))
    kept.unlink()
    assert not is_current(fresh.uri, fresh.root, fresh.manifest)
    fresh.sync()
    assert kept.read_text() == (directory.path / "result.json").read_text()
    assert is_current(fresh.uri, fresh.root, fresh.manifest)


@pytest.mark.parametrize("uri", ["sqlite:////nowhere/mlflow.db", "http://127.0.0.1:9"])
def test_of_another_store_nothing_is_known(fresh, uri):
    assert not is_current(uri, fresh.root, fresh.manifest)


def test_a_file_that_is_no_database_is_left_to_the_sync(fresh, tmp_path):
    (tmp_path / "mlflow.db").write_text("no database")
    assert not is_current(f"sqlite:///{tmp_path}/mlflow.db", fresh.root, fresh.manifest)

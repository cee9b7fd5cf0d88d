"""A store that needs no sync is recognised by its tables."""

import pytest

from bench.files import read_json, write_json
from bench.store.current import is_current


def test_a_store_is_current_after_a_sync_and_until_anything_changes(fresh):
    """A run that ended, a run marked as kept, and an edited manifest each need a sync."""
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
    renamed = fresh.manifest.model_copy(update={"title": "Another title"})
    assert not is_current(*where, renamed)


@pytest.mark.parametrize("uri", ["sqlite:////nowhere/mlflow.db", "http://127.0.0.1:9"])
def test_of_another_store_nothing_is_known(fresh, uri):
    assert not is_current(uri, fresh.root, fresh.manifest)


def test_a_file_that_is_no_database_is_left_to_the_sync(fresh, tmp_path):
    (tmp_path / "mlflow.db").write_text("no database")
    assert not is_current(f"sqlite:///{tmp_path}/mlflow.db", fresh.root, fresh.manifest)

"""A root is a place: its store means the files below it, wherever its database says they are."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from places import digest_of

from bench.files import read_json
from bench.store.client import StoreError, default_uri
from bench.store.mirror import Mirror
from bench.store.places import local_folder, placed, settle, store_for_pages
from bench.store.reading import fetch_artifact, read_runs, read_study, study_stamp
from bench.store.report_files import keep_report
from bench.store.sqlite import run_rows
from reports.stored import read_frame


@pytest.fixture
def copied(store, tmp_path) -> Path:
    """A copy of the made-up root, which stays where it was."""
    shutil.copytree(store.root, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("file:///old/artifacts/losses-p%401/1f/artifacts", "artifacts/losses-p%401/1f/artifacts"),
        ("/old/artifacts/losses-p/1f/artifacts", "artifacts/losses-p/1f/artifacts"),
        ("file:///old/artifacts/losses-p", "artifacts/losses-p"),
        # The folder of the old root, or the study, may have the same name.
        (
            "file:///artifacts/x/artifacts/artifacts/1f/artifacts",
            "artifacts/artifacts/1f/artifacts",
        ),
    ],
)
def test_an_address_in_a_root_begins_at_the_root(tmp_path, address, here):
    (tmp_path / "runs").mkdir()
    assert placed(tmp_path / "mlflow.db", address) == f"{tmp_path.as_uri()}/{here}"


@pytest.mark.parametrize(
    "address",
    [
        "file:///etc",
        "/etc/artifacts",
        "file:///old/artifacts/../1f/artifacts",
        "file:///old/artifacts/%2E%2E/1f/artifacts",
        "file:///old/artifacts/a%2F..%2F..%2Fb/1f/artifacts",
    ],
)
def test_no_address_leads_out_of_a_root(tmp_path, address):
    (tmp_path / "runs").mkdir()
    assert placed(tmp_path / "mlflow.db", address) == ""
    with pytest.raises(StoreError, match="outside its root; repair it with segloss sync --rebuild"):
        local_folder(default_uri(tmp_path), address)


@pytest.mark.parametrize("address", ["s3://bucket/artifacts/a/1f/artifacts", "mlflow-artifacts:/1"])
def test_an_address_of_a_server_stays(tmp_path, address):
    (tmp_path / "runs").mkdir()
    assert placed(tmp_path / "mlflow.db", address) == address


def test_a_database_outside_any_root_has_absolute_addresses(tmp_path):
    """Unless the files were copied with it."""
    file, address = tmp_path / "mlflow.db", "file:///old/artifacts/losses-p/1f/artifacts"
    assert placed(file, address) == address
    (tmp_path / "artifacts/losses-p/1f/artifacts").mkdir(parents=True)
    assert placed(file, address) == f"{tmp_path.as_uri()}/artifacts/losses-p/1f/artifacts"
    assert local_folder("http://127.0.0.1:1", address) is None


def test_a_copy_is_read_and_written_alone(store, copied, tmp_path):
    """Also where the first root is still there, with other files."""
    uri, manifest = default_uri(copied), store.manifest
    before = digest_of(store.root)
    record = read_study(uri, "losses", "tiny")
    assert record is not None
    for run in read_runs(uri, record):
        assert run.artifact_uri.startswith(copied.as_uri())
    found = fetch_artifact(uri, record.mlflow_run_id, "manifest.json")
    assert found is not None
    assert found.is_relative_to(copied)
    page = tmp_path / "index.html"
    page.write_text("of the copy")
    keep_report(uri, record, [page], "A sentence.")
    kept = fetch_artifact(uri, record.mlflow_run_id, "report/index.html")
    assert kept is not None
    assert kept.read_text() == "of the copy"
    (kept.parent / "gains.pdf").write_text("of an earlier report")
    keep_report(uri, record, [page], "A sentence.")
    assert [file.name for file in kept.parent.iterdir()] == ["index.html"]
    mirror = Mirror(uri, copied / "artifacts")
    assert mirror.forget(manifest)
    assert mirror.sync(copied, manifest)
    assert digest_of(store.root) == before


def test_the_database_of_a_moved_root_is_brought_up_to_date_once(copied, tmp_path):
    moved = copied.rename(tmp_path / "moved")
    file = moved / "mlflow.db"
    settle(file)
    with closing(sqlite3.connect(file)) as connection:
        runs = [uri for (uri,) in connection.execute("SELECT artifact_uri FROM runs")]
        query = "SELECT artifact_location FROM experiments WHERE name = 'losses/tiny'"
        (location,) = connection.execute(query).fetchone()
    assert location == (moved / "artifacts/losses-tiny").as_uri()
    assert all(uri.startswith(f"{location}/") for uri in runs if "losses-tiny" in uri)
    before = digest_of(moved)
    settle(file)
    assert digest_of(moved) == before


def test_the_pages_of_a_root_that_cannot_be_written_are_those_of_a_copy(copied, monkeypatch):
    """The root's own database stays as it is, and the copy names the root's files."""
    before = digest_of(copied)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with store_for_pages(default_uri(copied)) as (uri, note):
        assert note == f"{copied} cannot be written: MLflow shows a copy, and keeps no change to it"
        file = Path(uri.removeprefix("sqlite:///"))
        rows = run_rows(copied / "mlflow.db", "1")
        with closing(sqlite3.connect(file)) as connection:
            query = "SELECT run_uuid, artifact_uri FROM runs WHERE experiment_id = 1"
            found = dict(connection.execute(query).fetchall())
        assert {row.run_id: row.artifact_uri for row in rows}.items() <= found.items()
    assert not file.exists()
    assert digest_of(copied) == before


def test_files_that_are_missing_are_written_again(store, copied):
    """Until then one line says so."""
    uri = default_uri(copied)
    shutil.rmtree(copied / "artifacts")
    with pytest.raises(StoreError, match="files are missing from the store; segloss sync writes"):
        read_frame(uri, "losses", "tiny")
    assert Mirror(uri, copied / "artifacts").sync(copied, store.manifest)
    _, frame = read_frame(uri, "losses", "tiny")
    done = frame.loc[frame["status"] == "finished", :]
    for run_id, mlflow_run_id in zip(done["run_id"], done["mlflow_run_id"], strict=True):
        kept = fetch_artifact(uri, mlflow_run_id, "result.json")
        assert kept is not None
        assert read_json(kept)["run_id"] == run_id
        images = fetch_artifact(uri, mlflow_run_id, "images")
        assert images is not None
    assert Mirror(uri, copied / "artifacts").sync(copied, store.manifest) == 0


def test_the_stamp_of_a_study_changes_with_its_runs(fresh):
    """Read from the tables, without MLflow."""
    fresh.directory("CE", 0).write_state(status="running", step=1)
    fresh.sync()
    record = read_study(fresh.uri, fresh.manifest.study, "tiny")
    assert record is not None
    stamps = [study_stamp(fresh.uri, record)]
    fresh.directory("CE", 0).write_state(step=2)
    fresh.sync()
    stamps.append(study_stamp(fresh.uri, record))  # a heartbeat is no news
    fresh.finish("RMI", 0)
    fresh.sync()
    stamps.append(study_stamp(fresh.uri, record))
    fresh.directory("CE", 0).write_state(status="failed", reason="crash")
    fresh.sync()
    stamps.append(study_stamp(fresh.uri, record))
    assert stamps[0] == stamps[1]
    assert len(set(stamps)) == 3

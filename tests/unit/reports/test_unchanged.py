"""A report is drawn again when something that decides it has changed, and only then."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bench.cli.report import Builder
from bench.store.client import default_uri
from bench.store.reading import read_runs, read_study, run_folder
from reports import unchanged
from reports.unchanged import REPORT, inputs_of, keep_inputs, unchanged_summary

HEAVY = {"torch", "mlflow", "pandas", "matplotlib", "optuna", "timm", "scipy"}
WHERE = ("losses", "tiny")


@pytest.fixture
def root(store, tmp_path) -> Path:
    shutil.copytree(store.root, tmp_path / "root")
    return tmp_path / "root"


def inputs(root: Path, options: object = None) -> str:
    found = inputs_of(default_uri(root), *WHERE, options)
    assert found is not None
    return found


def change(root: Path, statement: str) -> None:
    with closing(sqlite3.connect(root / "mlflow.db")) as connection, connection:
        assert connection.execute(statement).rowcount


def folder_of(root: Path) -> Path:
    """The files of one finished run in the store."""
    uri = default_uri(root)
    record = read_study(uri, *WHERE)
    assert record is not None
    ids = (run.mlflow_run_id for run in read_runs(uri, record) if run.status == "finished")
    folder = run_folder(uri, next(ids))
    assert folder is not None
    return folder


def test_a_root_and_its_copy_have_the_same_inputs(store, root):
    """The address of the root is not among them; where it matters, it is an option."""
    assert inputs(root) == inputs(store.root)
    assert inputs(root, "--root a") != inputs(root, "--root b")


@pytest.mark.parametrize(
    "edit",
    [
        lambda root: change(root, "UPDATE latest_metrics SET value = 0.5 WHERE key LIKE 'final/%'"),
        lambda root: change(root, "UPDATE tags SET value = 'x' WHERE key = 'segloss.updated'"),
        lambda root: change(root, "UPDATE params SET value = 'x' WHERE key = 'label'"),
        lambda root: (folder_of(root) / "confusion.npz").write_bytes(b"other"),
        lambda root: os.utime(folder_of(root) / "result.json"),
        lambda root: shutil.rmtree(folder_of(root) / "predictions"),
    ],
)
def test_a_change_of_the_store_changes_the_inputs(root, edit: Callable[[Path], object]):
    before = inputs(root)
    edit(root)
    assert inputs(root) != before


def test_a_change_of_the_code_or_a_library_changes_the_inputs(root, monkeypatch):
    before = inputs(root)
    with monkeypatch.context() as patch:
        patch.setattr(unchanged, "project_digest", lambda: "other")
        assert inputs(root) != before
    with monkeypatch.context() as patch:
        patch.setattr(unchanged, "installed_version", lambda name: "0")
        assert inputs(root) != before
    assert inputs(root) == before


def kept(root: Path) -> tuple[str, Path]:
    """Keep a made-up report of one file; return its inputs and its folder."""
    uri, builder = default_uri(root), Builder(root, None, *WHERE)
    found, folder = inputs(root, builder.decisive(builder.compare())), builder.folder
    record = read_study(uri, *WHERE)
    assert record is not None
    stored = run_folder(uri, record.mlflow_run_id)
    assert stored is not None
    for place in (folder, stored / REPORT):
        place.mkdir(parents=True)
        (place / "index.html").write_text("drawn")
    keep_inputs(folder, found, [folder / "index.html"], "RMI is better.")
    return found, folder


def test_a_file_that_was_edited_or_lost_is_written_again(root):
    """In the folder of reports, and beside the runs in the store."""
    uri, (found, folder) = default_uri(root), kept(root)
    record = read_study(uri, *WHERE)
    assert record is not None
    stored = run_folder(uri, record.mlflow_run_id)
    assert stored is not None
    assert unchanged_summary(uri, *WHERE, folder, found) == "RMI is better."
    assert unchanged_summary(uri, *WHERE, folder, "other") is None
    for file in (folder / "index.html", stored / REPORT / "index.html"):
        file.write_text("edited")
        assert unchanged_summary(uri, *WHERE, folder, found) is None
        file.unlink()
        assert unchanged_summary(uri, *WHERE, folder, found) is None
        file.write_text("drawn")
    assert unchanged_summary(uri, *WHERE, folder, found) == "RMI is better."


@pytest.mark.parametrize("damage", ["5", "{", '{"inputs": "INPUTS"}', "\udcff"])
def test_a_damaged_note_of_the_inputs_is_not_trusted(root, damage):
    uri, (found, folder) = default_uri(root), kept(root)
    note = folder / unchanged.STAMP
    text = note.read_text()
    for other in (damage.replace("INPUTS", found), text.replace("better", "worse")):
        note.write_text(other, errors="surrogateescape")
        assert unchanged_summary(uri, *WHERE, folder, found) is None


def report_in_a_fresh_interpreter(root: Path) -> tuple[str, set[str]]:
    """Return what `segloss report` prints, and the heavy packages that it loads."""
    code = (
        "import atexit, sys\natexit.register(lambda: print(*sys.modules))\nimport bench.cli\n"
        f"sys.argv = 'segloss report losses --profile tiny --root {root}'.split()\n"
        "bench.cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    printed, _, modules = done.stdout.strip().rpartition("\n")
    return printed, HEAVY & set(modules.split())


def test_an_unchanged_report_is_not_drawn_and_loads_nothing_heavy(root):
    _, folder = kept(root)
    printed, loaded = report_in_a_fresh_interpreter(root)
    first, *between, last = printed.splitlines()
    assert first == "RMI is better."
    assert f"{folder}/index.html" in " ".join(between)
    assert last == "The report is unchanged: its runs, the code and the options are the same."
    assert loaded == set()
    assert (folder / "index.html").read_text() == "drawn"


@pytest.mark.long
def test_a_report_is_drawn_and_kept_without_mlflow(root):
    """And the second call says the same."""
    first, loaded = report_in_a_fresh_interpreter(root)
    assert "RMI is 3.36 points of mIoU_11 above CE" in first
    assert not loaded & {"mlflow", "torch", "optuna"}
    again, _ = report_in_a_fresh_interpreter(root)
    assert again.startswith(first)
    assert "The report is unchanged" in again

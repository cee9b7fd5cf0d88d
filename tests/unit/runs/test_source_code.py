"""The files and packages that a module consists of, found without importing anything."""

import shutil
import subprocess
import sys

import pytest

import bench.runs.source_code
from bench.runs.source_code import changed_text, code_commit, take_snapshot, text_of

FILES = {
    "mine/__init__.py": "",
    "mine/loss.py": (
        "import json\n"
        "from mine.helpers import (\n    soft,\n    hard,\n)\n"
        "from . import constants\n"
        "from .deep.inner import value as other\n"
        "import beside, losses.base as base\n"
        "import library.parts\n"
        "def late():\n    import mine.late\n"
    ),
    "mine/helpers.py": "from library import thing\n",
    "mine/constants.py": "",
    "mine/late.py": "raise RuntimeError('imported')\n",
    "mine/unused.py": "",
    "mine/deep/__init__.py": "",
    "mine/deep/inner.py": "from ..helpers import soft\nfrom .. import missing\n",
    "beside.py": "",
    "site-packages/library/__init__.py": "",
    "site-packages/library-1.2.dist-info/METADATA": "Name: library\nVersion: 1.2+cpu\n",
}


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for folder in (tmp_path / "site-packages", tmp_path):
        monkeypatch.syspath_prepend(str(folder))
    return tmp_path


def test_imports_are_followed_to_installed_packages(tree):
    """In parentheses, relative, in a function, several at once; a name of a module is none."""
    text = text_of("mine.loss")
    assert list(text["files"]) == [
        "beside",
        "losses.base",
        "mine",
        "mine.constants",
        "mine.deep.inner",
        "mine.helpers",
        "mine.late",
        "mine.loss",
    ]
    assert text["packages"]["library"] == "1.2"
    assert "torch" in text["packages"]
    assert not {"mine", "mine.loss", "library"} & sys.modules.keys()


def test_an_installed_plugin_is_read_file_by_file(tree):
    (tree / "mine").rename(tree / "site-packages" / "mine")
    assert "mine.helpers" in text_of("mine.loss")["files"]
    assert text_of("mine.loss", within=("mine.h", "lib"))["files"] == {}


def test_changes_are_named(tree):
    text = text_of("mine.loss")
    assert changed_text(text) == []
    (tree / "mine/helpers.py").write_text("from library import other\n")
    (tree / "mine/constants.py").unlink()
    other = {**text, "packages": {**text["packages"], "library": "1.1", "gone": "2.0"}}
    assert changed_text(other) == ["mine.constants", "mine.helpers", "library", "gone"]


@pytest.mark.parametrize("name", ["losses.rmi", "losses.dice"])
def test_a_loss_consists_of_its_helpers_and_not_of_other_losses(name):
    files = set(text_of(name)["files"])
    assert {name, "losses.base"} <= files
    assert "losses.affinity_field" not in files
    assert ("losses.region.term" in files) == (name == "losses.rmi")


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_snapshot_knows_the_commit_and_whether_the_code_was_edited(tmp_path, monkeypatch):
    """A folder without a checkout of its own has none, whatever lies around it."""

    def git(*arguments: str) -> str:
        name = ["-c", "user.name=n", "-c", "user.email=e"]
        command = ["git", "-C", str(checkout), *name, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def commit_of_a_run() -> str | None:
        monkeypatch.setattr(bench.runs.source_code, "SOURCE", checkout)
        snapshot = take_snapshot(tmp_path / "root")
        monkeypatch.setattr(bench.runs.source_code, "SOURCE", snapshot)
        return code_commit()

    checkout = tmp_path / "checkout"
    (checkout / "losses").mkdir(parents=True)
    (checkout / "losses/ce.py").write_text("1")
    assert commit_of_a_run() is None
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "first")
    assert commit_of_a_run() == git("rev-parse", "HEAD")
    (checkout / "notes.txt").write_text("beside the code")
    assert commit_of_a_run() == git("rev-parse", "HEAD")
    (checkout / "losses/ce.py").write_text("2")
    assert commit_of_a_run() == git("rev-parse", "HEAD") + "+edited"
    checkout = checkout / "losses"
    assert commit_of_a_run() is None

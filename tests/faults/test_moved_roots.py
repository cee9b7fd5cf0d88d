"""Every verb on a root that is not where it was made: copied, moved, or read-only."""

import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from command import call_in, command, segloss_in
from places import digest_of
from read_only import NO_MOUNT, mount_read_only, without_permission
from tiny import TINY_PROFILE, TINY_STUDY
from typer.main import get_command

from bench.cli.app import app
from bench.runs.rundir import all_run_dirs

STUDY = ("tiny-study.toml", "--profile", "tiny.toml")
CALLS = {
    "validate": STUDY,
    "plan": STUDY,
    "run": STUDY,
    "tune": (*STUDY, "--trials", "1"),
    "status": (),
    "logs": ("CE",),
    "retry": ("--failed",),
    "cancel": (),
    "report": ("tiny-study", "--profile", "tiny"),
    "compare": ("tiny-study@tiny", "tiny-study@tiny"),
    "sync": ("--rebuild",),
    "ui": ("--port", "5917", "--no-browser"),
    "export voc-test": ("CE", "--out", "ce.tgz"),
    "publish": (*STUDY, "--out", "out/bundle"),
    "import": ("runs.csv", "--study", "mine"),
}
"""What may be written outside the root lies in out/."""
REFUSED = {
    "cancel": "no session is running here",
    "export voc-test": "voc",
}
"""A word of the message of a verb that has nothing to do here."""
WRITES = ("run", "tune", "retry", "report", "sync", "import")


class Placed(NamedTuple):
    """A root in a folder, which holds nothing else that a verb may change."""

    folder: Path
    root: Path

    def outside(self) -> dict[str, str]:
        """Return the digest of every file outside the root and out/."""
        below = (f"{self.root.name}/", "out/")
        every = digest_of(self.folder)
        return {name: value for name, value in every.items() if not name.startswith(below)}


def verbs(group: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield every verb of the command line that has --root."""
    for name, verb in group.commands.items():
        if hasattr(verb, "commands"):
            yield from verbs(verb, (*path, name))
        elif any(parameter.name == "root" for parameter in verb.params):
            yield " ".join((*path, name))


def test_every_verb_with_a_root_is_called():
    assert sorted(verbs(get_command(app))) == sorted(CALLS)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with a study and a finished root, "old"."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "tiny.toml").write_text(TINY_PROFILE)
    (folder / "tiny-study.toml").write_text(TINY_STUDY.replace('"CE & CRF", ', ""))
    (folder / "runs.csv").write_text("method,seed,miou\nCE,0,0.5\nRMI,0,0.6\n")
    for verb in ("run", "tune"):
        done = segloss_in(folder, verb, *CALLS[verb], "--root", "old")
        assert done.returncode == 0, done.stderr + done.stdout
    return folder


@pytest.fixture(scope="module", params=["copied", "moved"])
def placed(request, made, tmp_path_factory) -> Placed:
    """The root in another place; what is left in the old one makes sense to nobody."""
    folder = tmp_path_factory.mktemp(request.param)
    shutil.copytree(made, folder, dirs_exist_ok=True)
    _forget(folder, made)
    if request.param == "moved":
        (folder / "old").rename(folder / "new")
        return Placed(folder, folder / "new")
    shutil.copytree(folder / "old", folder / "new")
    for file in (folder / "old").rglob("*"):
        if file.is_file():
            file.write_text("other content")
    return Placed(folder, folder / "new")


def _forget(folder: Path, made: Path) -> None:
    """Let the database name the folder's own root, as if the study had run there."""
    with closing(sqlite3.connect(folder / "old/mlflow.db")) as connection, connection:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            change = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
            connection.execute(change, (made.as_uri(), folder.as_uri()))


def command_without_server(root: Path | None = None) -> None:
    """Run `segloss`, where MLflow's pages only print which files they would show."""
    from bench.store import server

    if root is not None:
        mount_read_only(root)
    server.serving = _addresses
    command()


@contextmanager
def _addresses(uri: str, *_: object) -> Iterator[SimpleNamespace]:
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as connection:
        for (address,) in connection.execute("SELECT artifact_uri FROM runs"):
            sys.stdout.write(f"shows {address}\n")
    yield SimpleNamespace(wait=_stop)


def _stop() -> None:
    raise KeyboardInterrupt


@pytest.mark.long
@pytest.mark.parametrize("verb", CALLS)
def test_a_verb_works_on_the_root_that_it_is_given(placed, verb):
    """And changes nothing else."""
    before = placed.outside()
    done = call_in(
        placed.folder, command_without_server, *verb.split(), *CALLS[verb], "--root", placed.root
    )
    said = done.stdout + done.stderr
    assert done.returncode == (2 if verb in REFUSED else 0), said
    assert REFUSED.get(verb, "") in said
    assert "Traceback" not in said
    assert str(placed.folder / "old") not in said
    if verb == "ui":
        shown = [line for line in done.stdout.splitlines() if line.startswith("shows ")]
        assert shown
        assert all(placed.root.as_uri() in line for line in shown)
    assert placed.outside() == before


@pytest.mark.long
@pytest.mark.parametrize("verb", [*CALLS, "report --out"])
def test_a_verb_on_a_root_that_cannot_be_written(made, tmp_path, verb):
    """One that reads works; one that writes says in one line that it cannot."""
    folder = tmp_path / "folder"
    shutil.copytree(made, folder)
    root = (folder / "old").rename(folder / "new")
    if verb == "retry":
        all_run_dirs(root)[0].write_state(status="failed", failure="crash", reason="made up")
    before = digest_of(folder)
    word, *out = verb.split(" --out")
    options = [*CALLS[word], "--root", root, *(("--out", "out/report") if out else ())]
    with without_permission(root):
        main = partial(command_without_server, root)
        done = call_in(folder, main, *word.split(), *options)
    if done.returncode == NO_MOUNT:
        pytest.skip("this process may not mount a folder")
    assert "Traceback" not in done.stderr
    if verb in WRITES:
        assert done.returncode == 2, done.stdout + done.stderr
        assert done.stderr.count("\n") == 1
        assert f"segloss: {root}" in done.stderr
    else:
        assert done.returncode == (2 if verb in REFUSED else 0), done.stdout + done.stderr
        assert REFUSED.get(verb, "") in done.stderr
    after = digest_of(folder)
    assert {name: after[name] for name in after if not name.startswith("out/")} == before
    assert (folder / "out/report/index.html").exists() == (verb == "report --out")

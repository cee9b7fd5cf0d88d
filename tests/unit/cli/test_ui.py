"""The verb ui: what it prints, and which page it opens."""

import os
import signal
import subprocess
import sys
import urllib.request
import webbrowser
from contextlib import contextmanager
from pathlib import Path

import pytest

import bench.cli.views.ui
import bench.store.server
from bench.cli.views.ui import ui
from bench.manifest import remember
from bench.store.client import StoreError
from bench.store.server import serving

DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


class Ended:
    """A server that the user has stopped with Ctrl-C."""

    def wait(self) -> None:
        raise KeyboardInterrupt


@pytest.fixture
def opened(monkeypatch):
    """The pages that a browser was asked for; the server only seems to run."""

    @contextmanager
    def nothing(uri, artifact_root, port):
        yield Ended()

    pages: list[str] = []
    for name in DISPLAYS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(bench.store.server, "serving", nothing)
    monkeypatch.setattr(bench.store.server, "check_port", lambda port: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(webbrowser, "open", lambda page: pages.append(page))
    return pages


def show(store, root: Path, **options: object) -> None:
    ui(root=root, store=store.uri, **{"port": 5000, "no_browser": False} | options)  # type: ignore


def test_a_browser_opens_the_runs_of_the_study_that_ran_last(
    store, tmp_path, opened, monkeypatch, capsys
):
    monkeypatch.setenv("DISPLAY", ":0")
    remember(tmp_path, store.manifest)
    older = store.manifest.model_copy(update={"study": "a-study-that-the-store-lacks"})
    remember(tmp_path, older)
    os.utime(tmp_path / f"studies/{older.name}.json", (1, 1))
    show(store, tmp_path)
    (page,) = opened
    assert page.startswith("http://127.0.0.1:5000/#/experiments/")
    assert page.endswith("viewStateShareKey=segloss")
    assert capsys.readouterr().out.splitlines() == [
        "Starting MLflow; this takes a few seconds.",
        "MLflow: http://127.0.0.1:5000 (Ctrl-C stops it)",
        f"losses on tiny: {page}",
        'If another page opens, choose "Model training" at the top left, then the study, then '
        '"All runs" at the top right.',
    ]


@pytest.mark.parametrize(("variable", "no_browser"), [("DISPLAY", True), ("TERM", False)])
def test_no_browser_opens_where_none_is_wanted_or_it_would_take_the_terminal(
    store, tmp_path, opened, monkeypatch, variable, no_browser
):
    monkeypatch.setenv(variable, "xterm")
    remember(tmp_path, store.manifest)
    show(store, tmp_path, no_browser=no_browser)
    assert opened == []


class Died:
    """A server that has ended with a line in its log."""

    def __init__(self, command, *, env, stdout, stderr) -> None:
        Died.last = command, env
        stdout.write(b"INFO: starting\nthe database is from a newer MLflow\n")

    def poll(self) -> int:
        return 1

    terminate = wait = poll


def test_a_server_that_does_not_start_says_why_and_prints_no_log(monkeypatch, tmp_path, capfd):
    """It would listen on this machine only."""
    monkeypatch.setattr(subprocess, "Popen", Died)
    why = "port 50999 did not start: the database is from a newer MLflow"
    with pytest.raises(StoreError, match=why), serving("sqlite:////x/mlflow.db", tmp_path, 50_999):
        pass
    command, environment = Died.last
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--workers") + 1] == "1"
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert capfd.readouterr() == ("", "")


@pytest.mark.long
def test_a_real_server_answers_and_ends_with_the_block(store):
    with serving(store.uri, store.root / "artifacts", 50_998) as process:
        with urllib.request.urlopen("http://127.0.0.1:50998/health", timeout=60) as answer:
            assert answer.read() == b"OK"
        assert process.poll() is None
    assert process.poll() is not None

"""Studies on a Ray cluster of two nodes, with killed nodes, workers and drivers."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from ray_cluster import NO_GPU, RayCluster, why_not
from tiny import TINY_PROFILE, TINY_STUDY

from bench.errors import SpecError
from bench.runs.rundir import RunDir, all_run_dirs
from studies.executors.ray import RayExecutor, RayOptions

REASON = why_not()
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
]

# Long enough for an interruption with a heartbeat before and after it.
STEPS = 600
PARTS = {
    "all": '["CE", "CE & CRF", "RMI"]',
    "crf": '["CE", "CE & CRF"]',
    "trainings": '["CE", "RMI"]',
    "rmi": '["RMI"]',
}
ONE_THREAD_EACH = len(os.sched_getaffinity(0))


@pytest.fixture(scope="module")
def cluster():
    with contextlib.closing(RayCluster()) as running:
        yield running


@dataclass
class Folder:
    """A folder with a study and a profile, and the commands that run the study there."""

    path: Path

    def command(self, root: str, *options: object, study: str = "all") -> list[str]:
        files = (self.path / f"{study}.toml", "--profile", self.path / "tiny.toml")
        command = (sys.executable, "-m", "bench", "run", *files, "--root", self.path / root)
        return [*map(str, command), *map(str, options)]

    def run_dirs(self, root: str) -> dict[str, RunDir]:
        return {d.spec().loss.name: d for d in all_run_dirs(self.path / root) if not d.spec().crf}


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """Return the folder of the study, which has run on this machine without Ray."""
    folder = Folder(tmp_path_factory.mktemp("ray"))
    profile = TINY_PROFILE.replace("steps = 7", f"steps = {STEPS}")
    (folder.path / "tiny.toml").write_text(profile)
    for name, rows in PARTS.items():
        part = TINY_STUDY.replace('rows = ["CE", "CE & CRF", "RMI"]', f"rows = {rows}")
        (folder.path / f"{name}.toml").write_text(part)
    done = run(folder.command("local", "--workers", ONE_THREAD_EACH), CUDA_VISIBLE_DEVICES=NO_GPU)
    assert done.returncode == 0, done.stderr + done.stdout
    return folder


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.fixture
def on_ray(session, cluster):
    """Return a function that makes the command for a new root on the cluster.

    The root gets the passed canaries of the local session, so that they do not run again.
    """

    def command(root: str, study: str) -> list[str]:
        shutil.copytree(session.path / "local/canaries", session.path / root / "canaries")
        options = ("--executor", "ray", "--address", cluster.address)
        return cluster.inside(*session.command(root, *options, study=study))

    return command


def assert_same(folder: Folder, root: str) -> None:
    """Assert that every run of ``root`` equals the same run on this machine, bit for bit."""
    found = all_run_dirs(folder.path / root)
    assert found
    for directory in found:
        other = RunDir(folder.path / "local/runs" / directory.run_id)
        result, expected = directory.result(), other.result()
        assert result is not None
        assert expected is not None
        assert result["digests"] == expected["digests"]
        assert result["metrics"] == expected["metrics"]
        mine, theirs = (np.load(d.confusion)["matrices"] for d in (directory, other))
        assert np.array_equal(mine, theirs)


def worker_at_work(folder: Folder, root: str, loss: str) -> int:
    """Wait until a training has reported a step, and return its process id."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        directory = folder.run_dirs(root).get(loss)
        state = directory.state() if directory else None
        if state and state.step > 0 and state.lease:
            return state.lease.pid
        time.sleep(0.05)
    raise AssertionError(f"{loss} has not reported a step: {state}")


def test_a_study_on_ray_equals_a_local_one_bit_for_bit(session, on_ray):
    """The study has a training and its CRF evaluations."""
    done = run(on_ray("clean", "crf"))
    assert done.returncode == 0, done.stderr + done.stdout
    assert len(all_run_dirs(session.path / "clean")) == 3
    assert_same(session, "clean")


def test_a_killed_worker_and_a_lost_node_cost_one_attempt_each(session, on_ray, cluster):
    """One run starts again, the other resumes from its checkpoint; both results are unchanged."""
    command = on_ray("losses", "trainings")
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    os.kill(worker_at_work(session, "losses", "ce"), signal.SIGKILL)
    cluster.lose_node_of(worker_at_work(session, "losses", "rmi"))
    output, _ = driver.communicate(timeout=150)
    assert driver.returncode == 0, output
    assert "its worker was killed" in output, output
    assert re.search("its node .* was lost", output), output
    dirs = session.run_dirs("losses")
    assert {name: d.state().attempts for name, d in dirs.items()} == {"ce": 1, "rmi": 1}
    assert "resuming from step" in dirs["rmi"].log.read_text()
    assert_same(session, "losses")


def test_the_next_session_resumes_from_the_checkpoints_of_a_killed_driver(session, on_ray):
    """The same command runs again."""
    command = on_ray("driver", "rmi")
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    worker_at_work(session, "driver", "rmi")
    driver.kill()
    driver.wait()
    done = run(command)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "resuming from step" in session.run_dirs("driver")["rmi"].log.read_text()
    assert_same(session, "driver")


@pytest.mark.parametrize("hidden", ["root", "data"])
def test_nodes_that_do_not_share_a_folder_are_refused(session, cluster, hidden):
    """A file system is mounted over the folder for the driver, but not for the nodes."""
    data = session.path / "data"
    data.mkdir(exist_ok=True)
    over = data if hidden == "data" else session.path / "apart"
    over.mkdir(exist_ok=True)
    options = ("--executor", "ray", "--address", cluster.address, "--data-root", data)
    covered = f'mount -t tmpfs none "{over}" && touch "{over}/file" && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", covered, "sh", *session.command("apart", *options)]
    done = run(cluster.inside(*command))
    assert done.returncode == 2, done.stderr + done.stdout
    assert f"{over}" in done.stderr
    assert "must be on a file system that all nodes share" in done.stderr
    assert len(done.stderr.splitlines()) - done.stderr.count("network_util") == 1


def test_an_address_without_a_cluster_is_refused_at_once(session, tmp_path):
    """The port is closed or not Ray's, or the address has another form; one line either way."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        assert "no Ray cluster: timed out" in refusal(address, tmp_path)
    assert "no Ray cluster: Connection refused" in refusal(address, tmp_path)
    assert "give HOST:PORT" in refusal("auto", tmp_path)
    assert "give HOST:PORT" in refusal("ray://head:10001", tmp_path)
    done = run(session.command("refused", "--executor", "ray", "--address", address))
    assert done.returncode == 2
    assert done.stderr == f"segloss: {refusal(address, tmp_path)}\n"


def refusal(address: str, root: Path) -> str:
    with pytest.raises(SpecError) as refused:
        RayExecutor(RayOptions(address), root=root, snapshot=root, log=print)
    return str(refused.value)

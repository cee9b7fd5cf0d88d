"""Studies on a Ray cluster of two nodes, of which nodes, workers and drivers are killed."""

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

from bench.rundir import RunDir, all_run_dirs

REASON = why_not()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

# Long enough to be interrupted, with time for a heartbeat on either side.
STEPS = 150
ONE_THREAD_EACH = len(os.sched_getaffinity(0))


@pytest.fixture(scope="module")
def cluster():
    with contextlib.closing(RayCluster()) as running:
        yield running


@dataclass
class Folder:
    """Study and profile in a folder, and the night's command on a root there."""

    path: Path

    def command(self, root: str, *options: object, study: str = "tiny-study.toml") -> list[str]:
        files = (self.path / study, "--profile", self.path / "tiny.toml")
        command = (sys.executable, "-m", "bench", "run", *files, "--root", self.path / root)
        return [*map(str, command), *map(str, options)]

    def run_dirs(self, root: str) -> dict[str, RunDir]:
        return {d.spec().loss.name: d for d in all_run_dirs(self.path / root) if not d.spec().crf}


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """The study as it ends on this machine, without Ray."""
    folder = Folder(tmp_path_factory.mktemp("ray"))
    profile = TINY_PROFILE.replace("steps = 7", f"steps = {STEPS}")
    (folder.path / "tiny.toml").write_text(profile)
    (folder.path / "tiny-study.toml").write_text(TINY_STUDY)
    trainings = TINY_STUDY.replace('rows = ["CE", "CE & CRF", "RMI"]', 'rows = ["CE", "RMI"]')
    (folder.path / "trainings.toml").write_text(trainings)
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
def on_ray(night, cluster):
    """The command on a new root of the cluster, its canaries known to be well."""

    def command(root: str, study: str = "tiny-study.toml") -> list[str]:
        shutil.copytree(night.path / "local/canaries", night.path / root / "canaries")
        options = ("--executor", "ray", "--address", cluster.address)
        return cluster.inside(*night.command(root, *options, study=study))

    return command


def assert_same(folder: Folder, root: str) -> None:
    """Every run of ``root`` ended in the bits of the same run on this machine."""
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


def wait_for_steps(folder: Folder, root: str, *losses: str) -> dict[str, int]:
    """The workers of trainings that are under way, by loss."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        states = {name: d.state() for name, d in folder.run_dirs(root).items()}
        if all(name in states and states[name].step > 0 for name in losses):
            return {name: s.lease.pid for name in losses if (s := states[name]).lease}
        time.sleep(0.05)
    raise AssertionError(f"no step of {losses}: {states}")


def test_a_study_on_ray_ends_in_the_bits_of_a_local_one(night, on_ray):
    """Trainings and CRF evaluations."""
    done = run(on_ray("clean"))
    assert done.returncode == 0, done.stderr + done.stdout
    assert len(all_run_dirs(night.path / "clean")) == 4
    assert_same(night, "clean")


def test_a_killed_worker_and_a_lost_node_cost_a_try(night, on_ray, cluster):
    """One run begins again, the other goes on from its checkpoint; both end in the same bits."""
    command = on_ray("losses", study="trainings.toml")
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    workers = wait_for_steps(night, "losses", "ce", "rmi")
    os.kill(workers["ce"], signal.SIGKILL)
    cluster.lose_node_of(workers["rmi"])
    said, _ = driver.communicate(timeout=150)
    assert driver.returncode == 0, said
    assert "its worker was killed" in said
    assert re.search("the node .* was lost", said)
    dirs = night.run_dirs("losses")
    assert {name: d.state().attempts for name, d in dirs.items()} == {"ce": 1, "rmi": 1}
    assert "going on from step" in dirs["rmi"].log.read_text()
    assert_same(night, "losses")


def test_a_killed_driver_leaves_checkpoints_from_which_the_next_goes_on(night, on_ray):
    """The same command again."""
    command = on_ray("driver", study="trainings.toml")
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for_steps(night, "driver", "ce", "rmi")
    driver.kill()
    driver.wait()
    done = run(command)
    assert done.returncode == 0, done.stderr + done.stdout
    for directory in night.run_dirs("driver").values():
        assert "going on from step" in directory.log.read_text()
    assert_same(night, "driver")


@pytest.mark.parametrize("hidden", ["root", "data"])
def test_nodes_that_do_not_share_a_folder_are_refused(night, cluster, hidden):
    """The driver sees a file system over the folder that the nodes do not see."""
    data = night.path / "data"
    data.mkdir(exist_ok=True)
    over = data if hidden == "data" else night.path / "apart"
    over.mkdir(exist_ok=True)
    options = ("--executor", "ray", "--address", cluster.address, "--data-root", data)
    covered = f'mount -t tmpfs none "{over}" && touch "{over}/file" && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", covered, "sh", *night.command("apart", *options)]
    done = run(cluster.inside(*command))
    assert done.returncode == 2, done.stderr + done.stdout
    assert f"{over}" in done.stderr
    assert "must be on a file system that all nodes share" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_address_without_a_cluster_is_refused_at_once(night, cluster):
    """Where nothing listens, where something else does, and where there is no address at all."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        started = time.monotonic()
        assert_refused(night, "ray", f"127.0.0.1:{port}", "no Ray cluster: timed out")
        assert time.monotonic() - started < 30
    assert_refused(night, "ray", f"127.0.0.1:{port}", "no Ray cluster: Connection refused")
    assert_refused(night, "ray", "auto", "give HOST:PORT")
    assert_refused(night, "local", "127.0.0.1:1", "go together")


def assert_refused(night: Folder, executor: str, address: str, why: str) -> None:
    done = run(night.command("refused", "--executor", executor, "--address", address))
    assert done.returncode == 2
    assert why in done.stderr
    assert done.stderr.count("\n") == 1

"""What can be known of the Ray executor without a cluster, and without Ray."""

import sys
import time
from types import SimpleNamespace

import pytest

from bench.errors import InstallError, SpecError
from bench.runs.rundir import Lease, RunDir, own_lease
from studies.executors import ray_handle
from studies.executors.ray import RayExecutor, RayOptions, _share, ray_options
from studies.executors.ray_handle import KILLED, Handle
from studies.executors.ray_place import TOKEN, inspect, share_folders

GPUS = {"GPU": 4.0, "CPU": 32.0}


@pytest.mark.parametrize(
    ("nodes", "options", "gpus", "cpus"),
    [
        ([GPUS, GPUS], {}, 1.0, 8),
        ([GPUS, {"CPU": 64.0}], {"per_gpu": 3}, 0.3333, 2),  # the node without a GPU is not asked
        ([GPUS, {"GPU": 1.0, "CPU": 4.0}], {}, 1.0, 4),
        ([{"GPU": 8.0, "CPU": 4.0}], {}, 1.0, 0),
        ([{"CPU": 16.0}, {"CPU": 8.0}, {}], {}, 0, 4),
        ([{"CPU": 16.0}, {"CPU": 16.0}], {"workers": 2}, 0, 16),
    ],
)
def test_a_training_gets_an_even_share_of_the_smallest_node(nodes, options, gpus, cpus):
    """And at least one thread."""
    found = _share(nodes, RayOptions("head:6379", **options))
    assert (found.gpus, found.cpus, found.threads) == (gpus, cpus, max(1, cpus))


def test_a_cluster_of_heads_is_refused():
    """Nothing would ever start."""
    with pytest.raises(SpecError, match="neither GPU nor CPU"):
        _share([{"memory": 1e9}], RayOptions("head:6379"))


def test_without_ray_the_way_to_install_it_is_said(tmp_path, monkeypatch):
    """Before anything is written."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InstallError, match=r"pip install .*\[ray\]"):
        RayExecutor(RayOptions("head:1"), root=tmp_path, snapshot=tmp_path, log=print)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("executor", "address"), [("ray", None), ("local", "head:6379")])
def test_executor_and_address_go_together(executor, address):
    """No cluster is guessed at."""
    with pytest.raises(SpecError, match="go together"):
        ray_options(executor, address, None, 1)
    with pytest.raises(SpecError, match="each training has one GPU"):
        ray_options("ray", "head:6379", None, 1, 2)


def test_a_node_is_told_from_one_that_does_not_share_the_folders(tmp_path):
    """By the token in the root and the names in the data root."""
    root, data = tmp_path / "root", tmp_path / "data"
    root.mkdir()
    data.mkdir()
    shared = share_folders(root, data)
    assert inspect(shared)[1] is None
    (data / "camvid").mkdir()
    assert "holds other files" in str(inspect(shared)[1])
    (root / TOKEN).write_text("of another session")
    assert "another folder" in str(inspect(shared)[1])
    (root / TOKEN).unlink()
    assert "No such file" in str(inspect(shared)[1])


class Ray:
    """A cluster on which the actor is lost."""

    exceptions = SimpleNamespace(RayError=RuntimeError)

    def wait(self, references, timeout):
        return references, []

    def get(self, reference):
        raise RuntimeError("The actor is unavailable")

    def kill(self, actor):
        pass


@pytest.fixture
def lost(tmp_path):
    """The handle of a run whose place is lost, and the run."""
    (tmp_path / "run").mkdir()
    directory = RunDir(tmp_path / "run")
    released: list[Handle] = []
    handle = Handle(Ray(), None, "far", None, run_dirs=[directory], release=released.append)
    return handle, directory, released


def test_a_lost_run_of_another_host_is_taken_up_when_it_falls_silent(lost, monkeypatch):
    """Long before a scheduler that knows nothing of the loss would; it costs a try."""
    handle, directory, released = lost
    far = Lease(host="far", pid=1, started=0.0)
    directory.write_state(status="running", step=3, lease=far)
    assert handle.poll() is None
    assert handle.poll() is None
    start = time.monotonic()
    monkeypatch.setattr(ray_handle.time, "monotonic", lambda: start + 20)
    directory.write_state(step=4)
    assert handle.poll() is None
    monkeypatch.setattr(ray_handle.time, "monotonic", lambda: start + 45)
    assert handle.poll() is None
    monkeypatch.setattr(ray_handle.time, "monotonic", lambda: start + 51)
    assert handle.poll() == KILLED
    state = directory.state()
    assert (state.status, state.failure, state.lease) == ("failed", "killed", None)
    assert "its node far" in str(state.reason)
    assert released == [handle]


def test_a_lost_run_of_this_host_is_taken_up_when_its_process_ends(lost):
    """Not while it writes its checkpoint."""
    handle, directory, _ = lost
    directory.write_state(status="running", lease=own_lease())
    assert [handle.poll() for _ in range(3)] == [None] * 3
    directory.write_state(status="interrupted", lease=None)
    assert handle.poll() == KILLED
    assert directory.state().status == "failed"


def test_a_run_that_was_finished_when_its_place_was_lost_stays_finished(lost):
    """Its result is whole."""
    handle, directory, _ = lost
    directory.write_state(status="finished")
    assert handle.poll() is None
    assert handle.poll() == KILLED
    assert directory.state().status == "finished"

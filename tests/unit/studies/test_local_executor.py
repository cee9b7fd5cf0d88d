"""The local executor: workers forked from a snapshot of the code, one for each slot."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from made_up import planned

from bench.errors import SpecError
from bench.files import read_json
from bench.runs.environment import visible_gpus
from bench.runs.rundir import pid_exists, run_dir
from bench.runs.source_code import COMMIT, PACKAGES, environment_of, take_snapshot
from studies.executors.local import LocalExecutor, Slot, cpu_slots, gpu_slots, slots


def test_places_on_gpus_go_round_and_share_their_memory():
    """One on each before a second on any."""
    places = gpu_slots(["0", "1"], 2)
    assert [place.gpu for place in places] == ["0", "1", "0", "1"]
    assert {place.memory_share for place in places} == {0.5}
    assert cpu_slots(3) == [Slot()] * 3
    assert gpu_slots(list("01234"), 1, per_run=2) == [Slot("0,1"), Slot("2,3")]


def test_workers_are_no_more_than_the_gpus_have_places(monkeypatch):
    """And the GPUs are those that may be seen."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    gpus = visible_gpus()
    assert gpus == ["4", "7"]
    assert [place.gpu for place in slots(gpus, None, 1)] == ["4", "7"]
    assert len(slots(gpus, 3, 2)) == 3
    with pytest.raises(SpecError, match="use --per-gpu 2"):
        slots(gpus, 3, 1)
    assert slots(gpus, None, 1, 2) == [Slot("4,7")]
    with pytest.raises(SpecError, match=r"2 GPUs have 1 places$"):
        slots(gpus, 2, 1, 2)
    with pytest.raises(SpecError, match="--gpus-per-run 3: this machine has 2 GPUs"):
        slots(gpus, None, 1, 3)
    with pytest.raises(SpecError, match="several GPUs or a part of one"):
        slots(gpus, None, 2, 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert visible_gpus() == ["0", "1"]
    assert slots([], None, 1) == cpu_slots(2)


def test_a_worker_on_a_gpu_is_told_so(tmp_path, monkeypatch):
    """With its share, so that it can refuse where torch finds no GPU; without one, nothing."""
    started = []
    monkeypatch.setattr("studies.executors.local.start_worker", lambda *a: started.append(a))
    for slot in (Slot("4", 0.5), Slot()):
        LocalExecutor([slot], root=tmp_path, snapshot=tmp_path).start([tmp_path])
    (_, on_gpu, _, variables), (_, on_cpu, _, without) = started
    assert on_gpu[3:] == ["--memory-share", "0.5"]
    assert variables["CUDA_VISIBLE_DEVICES"] == "4"
    assert on_cpu[3:] == []
    assert "CUDA_VISIBLE_DEVICES" not in without


def test_a_snapshot_is_the_code_as_it_was(tmp_path):
    """And is imported from there, wherever the process starts."""
    snapshot = take_snapshot(tmp_path)
    assert take_snapshot(tmp_path) == snapshot
    assert {path.name for path in snapshot.iterdir()} == {*PACKAGES, COMMIT}
    code = "import bench, losses, studies; print(bench.__file__, losses.__file__, studies.__file__)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, **environment_of(snapshot)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(path.startswith(str(snapshot)) for path in done.stdout.split())


@pytest.fixture
def executor(tmp_path):
    """Two places."""
    (tmp_path / "runs").mkdir()
    made = LocalExecutor(cpu_slots(2), root=tmp_path, snapshot=take_snapshot(tmp_path))
    yield made
    made.close()


@pytest.fixture
def endless(tmp_path):
    """The directory of a training that goes on for ever."""
    spec = next(iter(planned().specs.values()))
    recipe = spec.recipe.model_copy(update={"steps": 10**6, "crop_size": (64, 64)})
    model = spec.model.model_copy(update={"pretrained": False, "backbone": "test_efficientnet"})
    data = spec.data.model_copy(update={"train_images": 12, "evaluate_images": 2})
    spec = spec.model_copy(update={"recipe": recipe, "model": model, "data": data})
    directory = run_dir(tmp_path, spec.run_id)
    directory.create(spec)
    return directory


def until(condition):
    end = time.monotonic() + 90
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def test_a_worker_is_stopped_with_a_checkpoint_and_its_place_is_free_again(executor, endless):
    """In a process group of its own, under the fork server."""
    handle = executor.start([endless.path])
    assert len(executor.free) == 1
    lease = until(lambda: endless.state().lease)
    assert os.getpgid(lease.pid) == lease.pid
    until(lambda: endless.metrics())
    handle.stop()
    assert until(lambda: handle.poll() is not None)
    assert handle.poll() == 75
    assert endless.state().status == "interrupted"
    assert endless.checkpoint.exists()
    assert len(executor.free) == 2


def test_a_forked_worker_has_the_code_digest_of_any_other(executor, endless):
    """Whatever else the scheduler has imported, or neither could resume the other's training."""
    handle = executor.start([endless.path])
    until(lambda: endless.metrics())
    handle.stop()
    until(lambda: handle.poll() is not None)
    forked = read_json(endless.path / "env.json")
    steps = len(endless.metrics())
    command = [sys.executable, "-m", "bench.worker", str(endless.path), "--threads", "1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as other:
        until(lambda: len(endless.metrics()) > steps)
        other.kill()
    assert read_json(endless.path / "env.json")["code"] == forked["code"]


def test_a_worker_that_is_killed_has_the_signal_as_code(executor, endless):
    """At once."""
    handle = executor.start([endless.path])
    until(lambda: endless.state().lease)
    handle.kill()
    until(lambda: handle.poll() is not None)
    assert handle.poll() == -9


def test_without_the_fork_server_workers_stop_and_the_next_gets_a_new_one(executor, endless):
    """A worker's end is then known by its number."""
    handle = executor.start([endless.path])
    lease = until(lambda: endless.state().lease)
    os.kill(psutil.Process(lease.pid).ppid(), signal.SIGKILL)
    until(lambda: handle.poll() is not None)
    assert handle.poll() == 75
    assert not pid_exists(lease.pid)
    endless.write_state(status="queued")
    second = executor.start([endless.path])
    until(lambda: endless.state().status == "running")
    second.kill()
    until(lambda: second.poll() is not None)

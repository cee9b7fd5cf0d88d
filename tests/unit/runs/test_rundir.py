"""Run directories: whole files, torn files, leases."""

import json
import subprocess
import sys

import pytest

from bench.errors import RootError
from bench.files import read_json, write_json, write_whole
from bench.runs.rundir import Lease, RunDir, all_run_dirs, is_alive, own_lease, run_dir
from bench.spec import DataSpec, LossSpec, ModelSpec, RecipeSpec, RunSpec

SPEC = RunSpec(
    data=DataSpec(name="scenes"),
    model=ModelSpec(backbone="test_efficientnet"),
    recipe=RecipeSpec(steps=10, batch_size=2, crop_size=(32, 32), lr=0.1),
    loss=LossSpec(name="ce"),
)


@pytest.fixture
def directory(tmp_path) -> RunDir:
    made = run_dir(tmp_path, SPEC.run_id)
    made.create(SPEC)
    return made


def test_spec_and_state_come_back(tmp_path, directory):
    """A fresh directory is queued; a state change keeps what it does not name."""
    assert directory.spec() == SPEC
    assert directory.state().status == "queued"
    directory.write_state(status="running", lease=own_lease(), steps=10)
    directory.write_state(step=4)
    state = directory.state()
    assert (state.status, state.step, state.steps) == ("running", 4, 10)
    assert all_run_dirs(tmp_path) == [directory]


def test_a_writer_that_fails_leaves_the_old_file_and_no_temporary(tmp_path):
    """A reader never sees half a file."""
    path = tmp_path / "result.json"
    write_json(path, {"a": 1})

    def fail(temporary):
        temporary.write_text('{"a": ')
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(path, fail)
    assert read_json(path) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_the_last_torn_line_of_a_killed_writer_is_left_out(directory):
    """And a step that was trained twice counts once, as it was last."""
    directory.append_metrics({"step": 5, "train/loss": 2.0})
    directory.append_metrics({"step": 10, "train/loss": 1.5})
    directory.append_metrics({"step": 5, "train/loss": 1.75})
    with (directory.path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 15, "tra')
    assert [(m["step"], m["train/loss"]) for m in directory.metrics()] == [(5, 1.75), (10, 1.5)]


def test_a_torn_spec_is_named(directory):
    """With the way out."""
    (directory.path / "spec.json").write_text(json.dumps(SPEC.model_dump(mode="json"))[:40])
    with pytest.raises(RootError, match=r"spec.json is missing or unreadable; delete the folder"):
        directory.spec()


def test_a_lease_tells_a_living_process_from_a_dead_or_reused_pid():
    """The start time tells a reused pid apart."""
    assert is_alive(own_lease())
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    assert not is_alive(Lease(host=own_lease().host, pid=child.pid, started=0.0))
    assert not is_alive(own_lease().model_copy(update={"started": own_lease().started - 60}))
    assert is_alive(Lease(host="elsewhere", pid=1, started=0.0))


def test_a_damaged_result_is_none(directory):
    """Whoever asks: a run that has none is executed again."""
    directory.result_file.write_text('{"metrics": ')
    assert directory.result() is None
    assert not directory.has_result()
    write_json(directory.result_file, {"metrics": {}})
    assert directory.has_result()

"""Ledger and schedule, with workers that train nothing."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from made_up import planned

from bench.errors import RootError
from bench.files import write_json
from bench.runs.rundir import RunDir, own_lease, run_dir
from studies.ledger import current_state, lock_root, states, summary
from studies.plan import jobs
from studies.queue import Attempts
from studies.schedule import Schedule


@pytest.fixture
def plan():
    return planned()


@dataclass
class StubWorker:
    """A worker that ends at its second poll with a given status and exit code."""

    directories: list[RunDir]
    status: str
    code: int
    polls: int = 0

    def poll(self):
        self.polls += 1
        if self.polls < 2:
            return None
        for directory in self.directories:
            if self.status == "finished":
                write_json(directory.path / "result.json", {})
            if self.status:
                directory.write_state(status=self.status, reason="as told")
        return self.code

    def stop(self):
        self.status, self.code = "interrupted", 75

    kill = stop


@dataclass
class StubExecutor:
    """An executor of such workers; ``outcomes`` maps a loss to status and exit code."""

    slots: int = 2
    outcomes: dict[str, tuple[str, int]] = field(default_factory=dict)
    started: list[list[str]] = field(default_factory=list)
    running: list[StubWorker] = field(default_factory=list)

    @property
    def has_room(self):
        self.running = [worker for worker in self.running if worker.polls < 2]
        return len(self.running) < self.slots

    def start(self, run_dirs: list[Path]):
        directories = [RunDir(path) for path in run_dirs]
        self.started.append([d.run_id for d in directories])
        status, code = self.outcomes.get(directories[0].spec().loss.name, ("finished", 0))
        self.running.append(StubWorker(directories, status, code))
        return self.running[-1]


def run_session(plan, root, executor, **options):
    options = {"attempts": Attempts(retries=0), **options}
    schedule = Schedule(jobs([plan]), root, executor, **options)
    return schedule.run()


def test_every_run_is_done_once_and_a_second_session_does_nothing(plan, tmp_path):
    """Finished runs are skipped."""
    executor = StubExecutor()
    run_session(plan, tmp_path, executor)
    assert summary(states(tmp_path, plan.specs).values()) == "14 finished"
    assert sorted(i for ids in executor.started for i in ids) == sorted(plan.specs)
    again = StubExecutor()
    run_session(plan, tmp_path, again)
    assert again.started == []


def test_one_failed_run_stops_neither_the_others_nor_the_next_session(plan, tmp_path):
    """Its evaluations fail with its reason; the next session runs all of them again."""
    run_session(plan, tmp_path, StubExecutor(outcomes={"ce": ("failed", 1)}))
    found = states(tmp_path, plan.specs)
    assert summary(found.values()) == "6 finished, 8 failed"
    crf = next(i for i, spec in plan.specs.items() if spec.crf)
    assert found[crf].reason == "its training failed: as told"
    run_session(plan, tmp_path, StubExecutor())
    assert summary(states(tmp_path, plan.specs).values()) == "14 finished"


def test_a_diverged_run_is_a_result(plan, tmp_path):
    """The next session does not train it again."""
    run_session(plan, tmp_path, StubExecutor(outcomes={"rmi": ("diverged", 0)}))
    again = StubExecutor()
    run_session(plan, tmp_path, again)
    assert again.started == []
    assert "2 diverged" in summary(states(tmp_path, plan.specs).values())


def test_the_reason_of_a_killed_worker_is_its_signal(plan, tmp_path):
    """After kill -9 a worker cannot write a reason; the scheduler does."""
    run_session(plan, tmp_path, StubExecutor(outcomes={"bce": ("", -9)}))
    bce = next(i for i, spec in plan.specs.items() if spec.loss.name == "bce")
    state = run_dir(tmp_path, bce).state()
    assert state.status == "failed"
    assert state.failure == "killed"
    assert state.reason == "its worker was killed (by the system, if memory ran out)"


def test_a_run_whose_worker_died_with_its_scheduler_is_interrupted(plan, tmp_path):
    """The process in its lease has ended."""
    spec = next(iter(plan.specs.values()))
    directory = run_dir(tmp_path, spec.run_id)
    directory.create(spec)
    dead = own_lease().model_copy(update={"started": 0.0})
    directory.write_state(status="running", lease=dead)
    assert current_state(directory).status == "interrupted"
    directory.write_state(status="running", lease=own_lease())
    assert current_state(directory).status == "running"


def test_a_run_of_another_host_is_interrupted_after_a_long_time_without_a_heartbeat(plan, tmp_path):
    """The process of another host cannot be checked, and a container has a new name each time."""
    spec = next(iter(plan.specs.values()))
    directory = run_dir(tmp_path, spec.run_id)
    directory.create(spec)
    state = directory.write_state(
        status="running", lease=own_lease().model_copy(update={"host": "elsewhere"})
    )
    assert current_state(directory).status == "running"
    long_ago = state.model_copy(update={"updated": state.updated - 3600})
    write_json(directory.path / "state.json", long_ago.model_dump(mode="json"))
    assert current_state(directory).status == "interrupted"


def test_a_single_stopped_training_does_not_stop_the_session(plan, tmp_path):
    """Its evaluations are interrupted with it; the next session runs all of them."""
    run_session(plan, tmp_path, StubExecutor(outcomes={"ce": ("interrupted", 75)}))
    assert summary(states(tmp_path, plan.specs).values()) == "6 finished, 8 interrupted"
    run_session(plan, tmp_path, StubExecutor())
    assert summary(states(tmp_path, plan.specs).values()) == "14 finished"


def test_a_worker_that_cannot_be_started_fails_its_run_alone(plan, tmp_path):
    """Here there is no memory for another process."""

    class Starved(StubExecutor):
        def start(self, run_dirs):
            if RunDir(run_dirs[0]).spec().loss.name == "bce":
                raise OSError(12, "Cannot allocate memory")
            return super().start(run_dirs)

    run_session(plan, tmp_path, Starved())
    assert summary(states(tmp_path, plan.specs).values()) == "12 finished, 2 failed"


def test_a_run_with_an_unreadable_state_counts_as_failed_and_is_done_again(plan, tmp_path):
    """Here the state has a field of a newer version."""
    spec = next(iter(plan.specs.values()))
    directory = run_dir(tmp_path, spec.run_id)
    directory.create(spec)
    write_json(directory.path / "state.json", {"status": "finished", "colour": "red"})
    assert directory.state().status == "failed"
    run_session(plan, tmp_path, StubExecutor())
    assert summary(states(tmp_path, plan.specs).values()) == "14 finished"


def test_a_finished_run_whose_result_is_missing_is_done_again(plan, tmp_path):
    """The other runs are skipped."""
    run_session(plan, tmp_path, StubExecutor())
    gone = run_dir(tmp_path, next(iter(plan.specs)))
    (gone.path / "result.json").unlink()
    again = StubExecutor()
    run_session(plan, tmp_path, again)
    assert again.started == [[gone.run_id]]


def test_a_root_has_one_scheduler(tmp_path):
    """The error of a second one names the process of the first."""
    with (
        lock_root(tmp_path),
        pytest.raises(RootError, match=rf"in use by process {os.getpid()} on"),
        lock_root(tmp_path),
    ):
        pass
    with lock_root(tmp_path):
        pass


def test_a_new_root_is_removed_again_if_nothing_was_written_to_it(tmp_path):
    """A refused study leaves no folder behind; a root that was there stays."""
    root = tmp_path / "new"
    with pytest.raises(ValueError, match="refused"), lock_root(root):
        raise ValueError("refused")
    assert not root.exists()
    for _ in range(2):
        with lock_root(root):
            write_json(root / "studies" / "mine.json", {})
        assert (root / "studies" / "mine.json").exists()
    (tmp_path / "empty").mkdir()
    with lock_root(tmp_path / "empty"):
        pass
    assert (tmp_path / "empty").exists()


def test_a_root_that_cannot_be_written_is_refused_with_the_reason(tmp_path):
    """A file where a folder is needed stops the superuser too."""
    write_json(tmp_path / "file", {})
    reason = r"file/root: cannot be written: Not a directory; choose"
    with pytest.raises(RootError, match=reason), lock_root(tmp_path / "file" / "root"):
        pass

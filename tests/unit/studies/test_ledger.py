"""Ledger and scheduler, with workers that only pretend."""

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
def night():
    return planned()


@dataclass
class Pretended:
    """A worker that ends at its second poll, in the way it was told to."""

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
class Pretending:
    """An executor of such workers; ``fates`` says how the runs of a loss end."""

    slots: int = 2
    fates: dict[str, tuple[str, int]] = field(default_factory=dict)
    started: list[list[str]] = field(default_factory=list)
    running: list[Pretended] = field(default_factory=list)

    @property
    def has_room(self):
        self.running = [worker for worker in self.running if worker.polls < 2]
        return len(self.running) < self.slots

    def start(self, run_dirs: list[Path]):
        directories = [RunDir(path) for path in run_dirs]
        self.started.append([d.run_id for d in directories])
        status, code = self.fates.get(directories[0].spec().loss.name, ("finished", 0))
        self.running.append(Pretended(directories, status, code))
        return self.running[-1]


def go(night, root, executor, **options):
    options = {"attempts": Attempts(retries=0), **options}
    schedule = Schedule(jobs([night]), root, executor, **options)
    return schedule.run()


def test_every_run_is_done_once_and_a_second_night_does_nothing(night, tmp_path):
    """Idempotent: finished runs are skipped."""
    executor = Pretending()
    go(night, tmp_path, executor)
    assert summary(states(tmp_path, night.specs).values()) == "14 finished"
    assert sorted(i for ids in executor.started for i in ids) == sorted(night.specs)
    again = Pretending()
    go(night, tmp_path, again)
    assert again.started == []


def test_one_failed_run_stops_neither_the_others_nor_the_next_night(night, tmp_path):
    """What depends on it fails with its reason; the next night tries both again."""
    go(night, tmp_path, Pretending(fates={"ce": ("failed", 1)}))
    found = states(tmp_path, night.specs)
    assert summary(found.values()) == "6 finished, 8 failed"
    crf = next(i for i, spec in night.specs.items() if spec.crf)
    assert found[crf].reason == "its training failed: as told"
    go(night, tmp_path, Pretending())
    assert summary(states(tmp_path, night.specs).values()) == "14 finished"


def test_a_diverged_run_is_a_result(night, tmp_path):
    """It is not trained again."""
    go(night, tmp_path, Pretending(fates={"rmi": ("diverged", 0)}))
    again = Pretending()
    go(night, tmp_path, again)
    assert again.started == []
    assert "2 diverged" in summary(states(tmp_path, night.specs).values())


def test_a_worker_that_dies_without_a_word_leaves_the_signal_as_reason(night, tmp_path):
    """As after kill -9."""
    go(night, tmp_path, Pretending(fates={"bce": ("", -9)}))
    bce = next(i for i, spec in night.specs.items() if spec.loss.name == "bce")
    state = run_dir(tmp_path, bce).state()
    assert state.status == "failed"
    assert state.failure == "killed"
    assert state.reason == "its worker was killed (by the system, if memory ran out)"


def test_a_run_whose_worker_died_with_its_scheduler_is_taken_over(night, tmp_path):
    """Its lease names a process that is no more."""
    spec = next(iter(night.specs.values()))
    directory = run_dir(tmp_path, spec.run_id)
    directory.create(spec)
    dead = own_lease().model_copy(update={"started": 0.0})
    directory.write_state(status="running", lease=dead)
    assert current_state(directory).status == "interrupted"
    directory.write_state(status="running", lease=own_lease())
    assert current_state(directory).status == "running"


def test_a_run_of_another_host_is_taken_over_when_it_has_long_been_silent(night, tmp_path):
    """A container has another name at every start; its heartbeat has to tell."""
    spec = next(iter(night.specs.values()))
    directory = run_dir(tmp_path, spec.run_id)
    directory.create(spec)
    state = directory.write_state(
        status="running", lease=own_lease().model_copy(update={"host": "elsewhere"})
    )
    assert current_state(directory).status == "running"
    long_ago = state.model_copy(update={"updated": state.updated - 3600})
    write_json(directory.path / "state.json", long_ago.model_dump(mode="json"))
    assert current_state(directory).status == "interrupted"


def test_a_training_that_is_stopped_alone_does_not_hold_up_the_night(night, tmp_path):
    """Its evaluations are interrupted with it; the next night does both."""
    go(night, tmp_path, Pretending(fates={"ce": ("interrupted", 75)}))
    assert summary(states(tmp_path, night.specs).values()) == "6 finished, 8 interrupted"
    go(night, tmp_path, Pretending())
    assert summary(states(tmp_path, night.specs).values()) == "14 finished"


def test_a_worker_that_cannot_be_started_fails_its_run_alone(night, tmp_path):
    """No memory for another process, say."""

    class Starved(Pretending):
        def start(self, run_dirs):
            if RunDir(run_dirs[0]).spec().loss.name == "bce":
                raise OSError(12, "Cannot allocate memory")
            return super().start(run_dirs)

    go(night, tmp_path, Starved())
    assert summary(states(tmp_path, night.specs).values()) == "12 finished, 2 failed"


def test_a_state_that_cannot_be_read_counts_as_failed_and_is_done_again(night, tmp_path):
    """Written by a newer version, say."""
    spec = next(iter(night.specs.values()))
    directory = run_dir(tmp_path, spec.run_id)
    directory.create(spec)
    write_json(directory.path / "state.json", {"status": "finished", "colour": "red"})
    assert directory.state().status == "failed"
    go(night, tmp_path, Pretending())
    assert summary(states(tmp_path, night.specs).values()) == "14 finished"


def test_a_finished_run_whose_result_is_gone_is_done_again(night, tmp_path):
    """Its evaluations could not be made without it."""
    go(night, tmp_path, Pretending())
    gone = run_dir(tmp_path, next(iter(night.specs)))
    (gone.path / "result.json").unlink()
    again = Pretending()
    go(night, tmp_path, again)
    assert again.started == [[gone.run_id]]


def test_a_root_has_one_scheduler(tmp_path):
    """The second one is told who holds it."""
    with (
        lock_root(tmp_path),
        pytest.raises(RootError, match=rf"in use by process {os.getpid()} on"),
        lock_root(tmp_path),
    ):
        pass
    with lock_root(tmp_path):
        pass


def test_a_root_that_cannot_be_written_is_refused_with_the_reason(tmp_path):
    """Also for the superuser: a file stands where a folder should."""
    write_json(tmp_path / "file", {})
    reason = r"file/root: cannot be written: Not a directory; choose"
    with pytest.raises(RootError, match=reason), lock_root(tmp_path / "file" / "root"):
        pass

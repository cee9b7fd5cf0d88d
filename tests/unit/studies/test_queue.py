"""Failures of a session: which are retried, and which end it; its workers train nothing."""

import time
from dataclasses import dataclass, field

import pytest
from made_up import planned

from bench.errors import UNWRITTEN
from bench.files import write_json
from bench.runs.rundir import RunDir, State, run_dir
from studies.estimates import Estimates
from studies.ledger import keep_reserve, states, summary, write_state
from studies.plan import jobs
from studies.queue import Attempts, stalled
from studies.schedule import Observer, Schedule


@pytest.fixture
def plan():
    return planned()


@dataclass
class Worker:
    """Ends at its first poll: finished, or failed at a given step."""

    directories: list[RunDir]
    failure: str | None
    step: int
    seconds: float
    over: bool = False

    def poll(self):
        self.over = True
        for directory in self.directories:
            if self.failure is None:
                cost = {"train_s": self.seconds, "evaluate_s": 0.0}
                write_json(directory.path / "result.json", {"cost": cost})
                directory.write_state(status="finished", reason=None)
            else:
                directory.write_state(
                    status="failed", failure=self.failure, reason="as told", step=self.step
                )
        return 0 if self.failure is None else 1

    def stop(self):
        """Nothing to stop."""

    kill = stop


class DiskIsFull(Worker):
    """A worker that cannot write how it ended."""

    def poll(self):
        self.over = True
        for directory in self.directories:
            directory.write_state(status="running")
        return UNWRITTEN


@dataclass
class Failing:
    """An executor: every run of ``loss`` (None: of any loss) fails ``times`` times like this."""

    failure: str = "crash"
    loss: str | None = None
    times: int = 100
    step: int = 0
    seconds: float = 1.0
    worker: type[Worker] = Worker
    started: list[str] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)

    @property
    def has_room(self):
        return sum(not worker.over for worker in self.workers) < 2

    def start(self, run_dirs):
        directories = [RunDir(path) for path in run_dirs]
        self.started += [d.run_id for d in directories]
        spec = directories[0].spec()
        hit = self.loss in (None, spec.loss.name) and spec.crf is None
        failing = hit and self.started.count(directories[0].run_id) <= self.times
        failure = self.failure if failing else None
        self.workers.append(self.worker(directories, failure, self.step, self.seconds))
        return self.workers[-1]


def run_session(plan, root, executor, *, retries=2, end=None):
    attempts = Attempts(retries=retries, wait=0.0)
    schedule = Schedule(jobs([plan]), root, executor, end=end, attempts=attempts)
    return schedule.run(), schedule


@pytest.mark.parametrize("failure", ["oom", "disk", "crash", "timeout", "killed"])
def test_a_failure_that_may_not_recur_is_retried(plan, tmp_path, failure):
    """Here it is retried twice; the state counts the failures."""
    executor = Failing(failure, loss="bce", times=2)
    ending, _ = run_session(plan, tmp_path, executor)
    assert ending == "done"
    assert summary(states(tmp_path, plan.specs).values()) == "14 finished"
    bce = [i for i, spec in plan.specs.items() if spec.loss.name == "bce"]
    assert [executor.started.count(i) for i in bce] == [3, 3]
    assert states(tmp_path, bce)[bce[0]].attempts == 2


def test_after_its_last_retry_a_run_has_failed(plan, tmp_path):
    """The other runs are finished."""
    executor = Failing(loss="bce", step=3)
    run_session(plan, tmp_path, executor)
    found = states(tmp_path, plan.specs)
    assert summary(found.values()) == "12 finished, 2 failed"
    assert {s.failure for s in found.values() if s.status == "failed"} == {"crash"}


def test_a_refused_run_is_not_retried(plan, tmp_path):
    """The same input would be refused again."""
    executor = Failing("refused", loss="rmi")
    run_session(plan, tmp_path, executor)
    assert len(executor.started) == 14
    assert summary(states(tmp_path, plan.specs).values()) == "12 finished, 2 failed"


def test_a_refusal_at_the_start_of_the_first_run_ends_the_session(plan, tmp_path):
    """A missing data folder, for instance, is missing for every run."""
    executor = Failing("refused")
    ending, schedule = run_session(plan, tmp_path, executor)
    assert ending == "stopped"
    assert schedule.attempts.fatal_reason == "as told"
    assert len(executor.started) == 2  # both places were filled before the first ended


def test_the_same_crash_at_the_start_of_two_runs_ends_the_session(plan, tmp_path):
    """The crash of one run may be a fault of its loss."""
    ending, schedule = run_session(plan, tmp_path, Failing("crash"), retries=0)
    assert ending == "stopped"
    assert schedule.attempts.fatal_reason == "as told"


def test_a_session_that_has_trained_is_not_ended_by_crashes(plan, tmp_path):
    """A run that got past its first step shows that not every run fails at its start."""
    executor = Failing("crash", step=5)
    ending, _ = run_session(plan, tmp_path, executor, retries=0)
    assert ending == "done"


def test_the_wait_grows_from_retry_to_retry(plan):
    """Each wait is four times as long as the one before."""
    job = jobs([plan])[0]
    attempts = Attempts(retries=2, wait=100.0)
    attempts.has_progress = True
    waits = []
    for tries in (0, 1):
        failed = State(status="failed", failure="crash", attempts=tries, step=1)
        assert attempts.next_retry(job, [failed]) == tries + 1
        waits.append(attempts.not_before[job] - time.monotonic())
        assert not attempts.may_start(job)
    assert waits == pytest.approx([100, 400], abs=1)


@pytest.mark.parametrize(
    ("code", "failure", "word"),
    [
        (-9, "killed", "memory"),
        (-11, "killed", "signal 11"),
        (74, "disk", "disk full"),
        (75, "killed", "fork server"),
        (3, "crash", "code 3"),
    ],
)
def test_an_exit_code_gives_a_failure_and_a_reason(plan, code, failure, word):
    """The reason hints at the cause."""
    explained, reason = Attempts().explain(jobs([plan])[0], code)
    assert explained == failure
    assert word in reason


def test_a_run_without_progress_has_stalled():
    """The time counts from the last update, or from the start if there was none."""
    now = time.time()
    idle = State(status="running", updated=now - 100)
    assert stalled([idle], now - 200, 90)
    assert not stalled([idle], now - 200, 110)
    assert not stalled([State()], now - 50, 90)


def test_a_failed_run_that_a_user_queues_again_is_started(plan, tmp_path):
    """The running session starts it."""
    executor = Failing(loss="bce", step=3)
    attempts = Attempts(retries=0)
    done = []

    class Once(Observer):
        def on_run_change(self, run_id, state):
            if state is not None and state.status == "failed" and not done:
                done.append(run_id)
                executor.times = 0

    schedule = Schedule(jobs([plan]), tmp_path, executor, Once(), attempts=attempts)
    look = schedule._check_progress

    def look_at_once():
        if done and states(tmp_path, done)[done[0]].status == "failed":
            run_dir(tmp_path, done[0]).write_state(status="queued", attempts=0)
        schedule.last_check = 0.0
        look()

    schedule._check_progress = look_at_once
    schedule.run()
    assert states(tmp_path, done)[done[0]].status == "finished"


def test_a_job_that_would_not_end_in_time_is_not_started(plan, tmp_path):
    """The estimate comes from finished runs; without any, a job is started."""
    executor = Failing(times=0, seconds=3600.0)
    first, rest = jobs([plan])[0], jobs([plan])[1:]
    first_schedule = Schedule([first], tmp_path, executor)
    assert first_schedule.run() == "done"
    estimates = Estimates(tmp_path, [plan.manifest])
    end = time.time() + 1800
    schedule = Schedule([first, *rest], tmp_path, executor, end=end, estimates=estimates)
    assert schedule.run() == "deadline"
    found = states(tmp_path, [i for job in rest for i in job.run_ids if job.after is None])
    assert {state.status for state in found.values()} == {"queued"}


def test_a_full_disk_leaves_room_for_the_reason(plan, tmp_path, monkeypatch):
    """A part of the root's reserve file is freed for it, and filled again afterwards."""
    spec = next(iter(plan.specs.values()))
    directory = run_dir(tmp_path, spec.run_id)
    directory.create(spec)
    keep_reserve(tmp_path)
    write, reserve = RunDir.write_state, tmp_path / "reserve"
    size = reserve.stat().st_size

    def full(self, **changes):
        if reserve.stat().st_size == size:
            raise OSError(28, "No space left on device")
        return write(self, **changes)

    monkeypatch.setattr(RunDir, "write_state", full)
    state = write_state(directory, status="failed", failure="disk", reason="no space")
    assert state.reason == "no space"
    assert directory.state().failure == "disk"
    assert reserve.stat().st_size == size


def test_a_state_that_a_full_disk_keeps_unwritten_still_counts(plan, tmp_path, monkeypatch):
    """A failed job is retried, and at the end it is a failure."""

    def full(directory, **changes):
        return directory.state().model_copy(update=changes)

    monkeypatch.setattr("studies.schedule.write_state", full)
    executor = Failing(worker=DiskIsFull)
    ending, schedule = run_session(plan, tmp_path, executor)
    assert ending == "done"
    assert executor.started.count(jobs([plan])[0].run_ids[0]) == 3
    assert summary(schedule.states(plan.specs).values()) == "14 failed"

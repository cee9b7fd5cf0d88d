"""retry and cancel, on made-up runs."""

import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest
from made_up import MadeUp

from bench.errors import RootError, SpecError
from bench.runs.lease import Lease, own_lease
from studies import control
from studies.control import cancel_run, cancel_session, failed_runs, queue_again
from studies.ledger import Holder, holder, lock_root
from studies.runs import find_run, run_names

# As a schedule does, it hears SIGINT even where it was started with the signal ignored.
HOLD = """
import signal, sys, time
from pathlib import Path
from studies.ledger import lock_root
signal.signal(signal.SIGINT, signal.default_int_handler)
with lock_root(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def made_up(tmp_path):
    return MadeUp(tmp_path / "root")


@pytest.fixture
def sleeper():
    """A process of ours that sleeps, and its lease."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    started = psutil.Process(process.pid).create_time()
    yield process, Lease(host=socket.gethostname(), pid=process.pid, started=started)
    process.kill()
    process.wait()


@pytest.fixture
def scheduler(made_up):
    """A process that holds the root and does nothing else."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(made_up.root)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def fail(made_up, label, failure="crash", **state):
    made_up.set(label, status="failed", failure=failure, reason="why", attempts=3, **state)


def test_all_failed_runs_or_those_of_a_class(made_up):
    """What is diverged, finished or interrupted is not among them."""
    fail(made_up, "RMI", "oom")
    fail(made_up, "BCE", "disk")
    made_up.set("CE", status="interrupted")
    made_up.set("Affinity", status="diverged")
    assert set(failed_runs(made_up.root, None)) == {made_up.id_of("RMI"), made_up.id_of("BCE")}
    assert failed_runs(made_up.root, "oom") == [made_up.id_of("RMI")]
    with pytest.raises(SpecError, match="unknown class of failures 'omm'; did you mean 'oom'"):
        failed_runs(made_up.root, "omm")


def test_a_training_is_queued_with_the_evaluations_that_failed_of_it(made_up):
    """The training first; attempts count from none; an evaluation that failed itself stays."""
    fail(made_up, "CE")
    for steps in (1, 5):
        made_up.set(f"CE & CRF-{steps}", status="failed", reason="its training failed: why")
    made_up.set("CE & CRF-10", status="failed", failure="oom", reason="own")
    queued = queue_again(made_up.root, [made_up.id_of("CE")])
    assert queued[0] == made_up.id_of("CE")
    assert set(queued[1:]) == {made_up.id_of("CE & CRF-1"), made_up.id_of("CE & CRF-5")}
    state = made_up.dir_of("CE").state()
    assert (state.status, state.attempts, state.failure, state.reason) == ("queued", 0, None, None)
    assert made_up.dir_of("CE & CRF-10").state().status == "failed"


def test_an_evaluation_takes_its_failed_training_with_it(made_up):
    """Without it, it could only fail again."""
    fail(made_up, "CE")
    made_up.set("CE & CRF-1", status="failed", reason="its training failed: why")
    queued = queue_again(made_up.root, [made_up.id_of("CE & CRF-1")])
    assert queued == [made_up.id_of("CE"), made_up.id_of("CE & CRF-1")]


@pytest.mark.parametrize("kept", [True, False], ids=["jobs kept", "manifest of an older version"])
def test_a_multi_scale_evaluation_takes_its_failed_training_with_it(tmp_path, kept):
    """Every row of such a profile is an evaluation, with a CRF or without."""
    made_up = MadeUp(tmp_path / "root", flip=True)
    if not kept:
        made_up.forget_jobs()
    training = made_up.training_of("CE")
    training.write_state(status="failed", failure="crash", reason="why")
    for label in ("CE", "CE & CRF-1"):
        made_up.set(label, status="failed", reason="its training failed: why")
    queued = queue_again(made_up.root, [made_up.id_of("CE")])
    assert queued[0] == training.run_id
    assert set(queued[1:]) == {made_up.id_of("CE"), made_up.id_of("CE & CRF-1")}


@pytest.mark.parametrize("status", ["running", "finished", "diverged", "queued"])
def test_what_did_not_fail_is_left_alone(made_up, status):
    """To the byte."""
    before = made_up.set("RMI", status=status, lease=own_lease(), step=3)
    assert queue_again(made_up.root, [made_up.id_of("RMI")]) == []
    assert made_up.dir_of("RMI").state() == before


def test_a_living_scheduler_answers_a_fresh_failure_first(made_up, monkeypatch):
    """It may just be about to queue the run itself."""
    fail(made_up, "RMI")
    monkeypatch.setattr(control.time, "sleep", lambda _: made_up.set("RMI", status="running"))
    with lock_root(made_up.root):
        assert failed_runs(made_up.root, None) == []
    assert made_up.dir_of("RMI").state().status == "running"


def run_of(made_up, label, seed=0):
    return find_run(run_names(made_up.root), label, seed)


def test_a_running_run_is_asked_to_end_by_its_lease(made_up, sleeper):
    """By the signal that makes a worker write its checkpoint."""
    process, lease = sleeper
    made_up.set("RMI", status="running", lease=lease)
    assert f"process {process.pid}" in cancel_run(made_up.root, run_of(made_up, "RMI"))
    assert process.wait(timeout=10) == -signal.SIGTERM


def test_a_reused_pid_is_never_signalled(made_up, sleeper):
    """Its start time is another; the run is no longer running."""
    process, lease = sleeper
    made_up.set("RMI", status="running", lease=lease.model_copy(update={"started": 1.0}))
    with pytest.raises(SpecError, match="is interrupted: there is nothing to cancel"):
        cancel_run(made_up.root, run_of(made_up, "RMI"))
    assert process.poll() is None


def test_a_run_of_another_host_is_cancelled_there(made_up):
    """Its name is in the message."""
    made_up.set("RMI", status="running", lease=Lease(host="elsewhere", pid=1, started=1.0))
    with pytest.raises(RootError, match=r"runs on elsewhere \(process 1\)"):
        cancel_run(made_up.root, run_of(made_up, "RMI"))


def test_a_queued_run_leaves_the_queue_of_a_night(made_up):
    """Without a night there is none to leave."""
    with pytest.raises(SpecError, match="no night runs"):
        cancel_run(made_up.root, run_of(made_up, "RMI"))
    with lock_root(made_up.root):
        cancel_run(made_up.root, run_of(made_up, "RMI"))
    state = made_up.dir_of("RMI").state()
    assert (state.status, state.reason) == ("interrupted", "cancelled")
    assert queue_again(made_up.root, [made_up.id_of("RMI")]) == [made_up.id_of("RMI")]


def test_the_holder_is_known_by_the_lock_not_by_its_text(made_up, scheduler):
    """A process that has ended leaves its name behind."""
    assert holder(made_up.root) == Holder(scheduler.pid, socket.gethostname())
    scheduler.kill()
    scheduler.wait()
    assert str(scheduler.pid) in (made_up.root / "lock").read_text()
    assert holder(made_up.root) is None
    with pytest.raises(RootError, match="no night runs here"):
        cancel_session(made_up.root)


def test_a_look_at_the_lock_does_not_refuse_a_scheduler(made_up):
    """Who looks lets go at once."""
    (made_up.root / "lock").write_text("process 1 on elsewhere")
    assert holder(made_up.root) is None
    with lock_root(made_up.root):
        assert holder(made_up.root) == Holder(os.getpid(), socket.gethostname())


def test_the_night_is_interrupted_as_by_ctrl_c(made_up, scheduler):
    """The process that holds the lock, and no other."""
    assert "was asked to stop" in cancel_session(made_up.root)
    assert scheduler.wait(timeout=10) in (-signal.SIGINT, 1, 130)


def test_a_process_that_does_not_hold_the_lock_is_not_signalled(made_up, scheduler, sleeper):
    """Whatever the text says; nor is one of another host."""
    process, lease = sleeper
    lock = made_up.root / "lock"
    lock.write_text(f"process {process.pid} on {lease.host}")
    with pytest.raises(RootError, match="nothing was stopped"):
        cancel_session(made_up.root)
    lock.write_text("process 1 on elsewhere")
    with pytest.raises(RootError, match="by process 1 on elsewhere: cancel it there"):
        cancel_session(made_up.root)
    lock.write_text("what is this")
    with pytest.raises(RootError, match="cancel it there"):
        cancel_session(made_up.root)
    time.sleep(0.2)
    assert process.poll() is None
    assert scheduler.poll() is None

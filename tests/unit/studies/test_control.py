"""The functions behind retry and cancel, on made-up runs."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest
from made_up import MadeUp

from bench.errors import HeldError, RootError, SpecError
from bench.runs.heartbeat import Heartbeat
from bench.runs.rundir import TIMING_LOCK, Lease, own_lease
from studies import control
from studies.control import cancel_run, cancel_session, failed_runs, queue_again
from studies.ledger import LATE_SECONDS, Holder, current_state, holder, lock_root
from studies.runs import find_run, run_names

# SIGINT may be ignored in the parent; like a schedule, this process handles it all the same.
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
    """Yield a process of this test that sleeps, and its lease."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    started = psutil.Process(process.pid).create_time()
    yield process, Lease(host=socket.gethostname(), pid=process.pid, started=started)
    process.kill()
    process.wait()


@pytest.fixture
def scheduler(made_up):
    """Yield a process that holds the root's lock and does nothing else."""
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
    """Diverged, finished and interrupted runs are not among them."""
    fail(made_up, "RMI", "oom")
    fail(made_up, "BCE", "disk")
    made_up.set("CE", status="interrupted")
    made_up.set("Affinity", status="diverged")
    assert set(failed_runs(made_up.root, None)) == {made_up.id_of("RMI"), made_up.id_of("BCE")}
    assert failed_runs(made_up.root, "oom") == [made_up.id_of("RMI")]
    with pytest.raises(SpecError, match="unknown class of failures 'omm'; did you mean 'oom'"):
        failed_runs(made_up.root, "omm")


def test_a_training_is_queued_with_the_evaluations_that_failed_because_of_it(made_up):
    """The training comes first with 0 attempts; an evaluation with its own failure stays."""
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
    """Without its training, the evaluation would fail again."""
    fail(made_up, "CE")
    made_up.set("CE & CRF-1", status="failed", reason="its training failed: why")
    queued = queue_again(made_up.root, [made_up.id_of("CE & CRF-1")])
    assert queued == [made_up.id_of("CE"), made_up.id_of("CE & CRF-1")]


@pytest.mark.parametrize("kept", [True, False], ids=["jobs kept", "manifest of an older version"])
def test_a_multi_scale_evaluation_takes_its_failed_training_with_it(tmp_path, kept):
    """In such a profile every row is an evaluation, with or without a CRF."""
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
def test_a_run_that_did_not_fail_is_left_alone(made_up, status):
    """Its state stays equal in every field."""
    before = made_up.set("RMI", status=status, lease=own_lease(), step=3)
    assert queue_again(made_up.root, [made_up.id_of("RMI")]) == []
    assert made_up.dir_of("RMI").state() == before


def test_a_running_scheduler_may_retry_a_recent_failure_first(made_up, monkeypatch):
    """It may be about to queue the run itself."""
    fail(made_up, "RMI")
    monkeypatch.setattr(control.time, "sleep", lambda _: made_up.set("RMI", status="running"))
    with lock_root(made_up.root):
        assert failed_runs(made_up.root, None) == []
    assert made_up.dir_of("RMI").state().status == "running"


def run_of(made_up, label, seed=0):
    return find_run(run_names(made_up.root), label, seed)


def test_cancel_signals_the_process_of_the_lease(made_up, sleeper):
    """SIGTERM makes a worker write its checkpoint and stop."""
    process, lease = sleeper
    made_up.set("RMI", status="running", lease=lease)
    assert f"process {process.pid}" in cancel_run(made_up.root, run_of(made_up, "RMI"))
    assert process.wait(timeout=10) == -signal.SIGTERM


WORK = """
import sys, time
with open(sys.argv[1], "w"):
    print("open", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def worker(made_up):
    """Yield a process that keeps the timing lock of the root open, as a worker does; its lease."""
    lock = made_up.root / f"{TIMING_LOCK}here"
    process = subprocess.Popen([sys.executable, "-c", WORK, lock], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    started = psutil.Process(process.pid).create_time()
    yield process, Lease(host=socket.gethostname(), pid=process.pid, started=started)
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_worker_is_cancelled_in_its_own_root_not_in_a_copy_of_it(made_up, worker, tmp_path):
    """Nor is a run of the copy held up by it: there it counts as interrupted."""
    process, lease = worker
    made_up.set("CE", status="running", lease=lease)
    shutil.copytree(made_up.root, tmp_path / "copy")
    copy = MadeUp(tmp_path / "copy")
    run = find_run(run_names(copy.root), "CE", 0)
    with pytest.raises(RootError, match=r"of which .*copy is a copy: cancel it there"):
        cancel_run(copy.root, run)
    assert process.poll() is None
    later = time.time() + LATE_SECONDS + 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("studies.ledger.time.time", lambda: later)
        assert current_state(made_up.dir_of("CE")).status == "running"
        state = current_state(copy.dir_of("CE"))
    assert state.status == "interrupted"
    assert state.reason == "its worker works in the folder that this is a copy of"
    heartbeat = Heartbeat([copy.dir_of("CE")], None)
    heartbeat.acquire_leases([copy.plan.specs[copy.id_of("CE")]], {})
    heartbeat.timing.close()
    with pytest.raises(HeldError):
        Heartbeat([made_up.dir_of("CE")], None).acquire_leases([], {})
    assert "was asked to stop" in cancel_run(made_up.root, run)
    assert process.wait(10) == -signal.SIGTERM


def test_a_reused_pid_is_never_signalled(made_up, sleeper):
    """The process has another start time than the lease, so the run counts as interrupted."""
    process, lease = sleeper
    made_up.set("RMI", status="running", lease=lease.model_copy(update={"started": 1.0}))
    with pytest.raises(SpecError, match="is interrupted: there is nothing to cancel"):
        cancel_run(made_up.root, run_of(made_up, "RMI"))
    assert process.poll() is None


def test_a_run_of_another_host_is_cancelled_there(made_up):
    """The message names the host and the process."""
    made_up.set("RMI", status="running", lease=Lease(host="elsewhere", pid=1, started=1.0))
    with pytest.raises(RootError, match=r"runs on elsewhere \(process 1\)"):
        cancel_run(made_up.root, run_of(made_up, "RMI"))


def test_a_queued_run_leaves_the_queue_of_a_session(made_up):
    """Without a session there is no queue, and cancel is refused."""
    with pytest.raises(SpecError, match=r"queued, but no session is running in .*root: there is"):
        cancel_run(made_up.root, run_of(made_up, "RMI"))
    with lock_root(made_up.root):
        cancel_run(made_up.root, run_of(made_up, "RMI"))
    state = made_up.dir_of("RMI").state()
    assert (state.status, state.reason) == ("interrupted", "cancelled")
    assert queue_again(made_up.root, [made_up.id_of("RMI")]) == [made_up.id_of("RMI")]


def test_the_holder_is_known_by_the_lock_not_by_its_text(made_up, scheduler):
    """The text of a process that has ended stays in the lock file."""
    assert holder(made_up.root) == Holder(scheduler.pid, socket.gethostname())
    scheduler.kill()
    scheduler.wait()
    assert str(scheduler.pid) in (made_up.root / "lock").read_text()
    assert holder(made_up.root) is None
    with pytest.raises(RootError, match="no session is running here"):
        cancel_session(made_up.root)


def test_reading_the_holder_does_not_keep_a_scheduler_out(made_up):
    """The function ``holder`` releases the lock at once."""
    (made_up.root / "lock").write_text("process 1 on elsewhere")
    assert holder(made_up.root) is None
    with lock_root(made_up.root):
        assert holder(made_up.root) == Holder(os.getpid(), socket.gethostname())


def test_the_session_is_interrupted_as_by_ctrl_c(made_up, scheduler):
    """SIGINT goes to the process that holds the lock."""
    assert "was asked to stop" in cancel_session(made_up.root)
    assert scheduler.wait(timeout=10) in (-signal.SIGINT, 1, 130)


def test_a_process_that_does_not_hold_the_lock_is_not_signalled(made_up, scheduler, sleeper):
    """The text of the lock file alone is not enough, and another host is never signalled."""
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

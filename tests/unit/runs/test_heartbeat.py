"""Exclusive timing: while one process is timed, no other of the same root works."""

import subprocess
import sys
import time
from itertools import pairwise

import pytest

from bench.runs.heartbeat import ExclusiveTiming, Heartbeat
from bench.runs.rundir import run_dir
from bench.spec import DataSpec, LossSpec, ModelSpec, RecipeSpec, RunSpec

WORKER = """
import sys, time
from pathlib import Path
from bench.runs.heartbeat import ExclusiveTiming
timing = ExclusiveTiming(Path(sys.argv[1]))
while True:
    timing.yield_to_timing()
    print(time.monotonic(), flush=True)
    time.sleep(0.005)
"""
TIMED = """
import sys, time
from pathlib import Path
from bench.runs.heartbeat import ExclusiveTiming
timing = ExclusiveTiming(Path(sys.argv[1]))
for _ in range(3):
    with timing.exclusive():
        began = time.monotonic()
        time.sleep(0.2)
        print(began, time.monotonic(), flush=True)
"""


def start(code, root):
    return subprocess.Popen(
        [sys.executable, "-c", code, str(root)], stdout=subprocess.PIPE, text=True
    )


def test_no_one_works_while_another_is_timed(tmp_path):
    """Nor are two timed at once."""
    workers = [start(WORKER, tmp_path) for _ in range(2)]
    assert all(worker.stdout and worker.stdout.readline() for worker in workers)
    timed = [start(TIMED, tmp_path) for _ in range(2)]
    spans = [
        tuple(map(float, line.split()))
        for process in timed
        for line in process.communicate(timeout=60)[0].splitlines()
    ]
    time.sleep(0.1)
    for worker in workers:
        worker.kill()
    steps = [
        float(line) for worker in workers for line in worker.communicate()[0].splitlines()[:-1]
    ]
    assert len(spans) == 6
    assert sum(step > max(end for _, end in spans) for step in steps) > 0  # they went on
    # A step that was under way when the lock was taken ends within its own few milliseconds.
    inside = [s for s in steps for began, end in spans if began + 0.05 < s < end]
    assert inside == []
    ordered = sorted(spans)
    assert all(a[1] <= b[0] for a, b in pairwise(ordered))


def test_a_killed_process_keeps_nobody_waiting(tmp_path):
    """The system lets go of its locks."""
    holder = start(
        TIMED.replace("sleep(0.2)", "sleep(100)").replace(
            "began =", "print(1, flush=True); began ="
        ),
        tmp_path,
    )
    assert holder.stdout
    assert holder.stdout.readline()
    holder.kill()
    holder.communicate()
    timing = ExclusiveTiming(tmp_path)
    with timing.exclusive():
        timing.yield_to_timing()
    timing.close()


@pytest.mark.parametrize("times", [1, 3])
def test_one_who_is_alone_need_not_wait(tmp_path, times):
    """Not for itself either."""
    timing = ExclusiveTiming(tmp_path)
    for _ in range(times):
        timing.yield_to_timing()
        with timing.exclusive():
            timing.yield_to_timing()
    timing.close()


def test_a_run_starts_once_however_often_it_is_resumed(tmp_path):
    spec = RunSpec(
        data=DataSpec(name="scenes"),
        model=ModelSpec(backbone="test_efficientnet"),
        recipe=RecipeSpec(steps=10, batch_size=2, crop_size=(32, 32), lr=0.1),
        loss=LossSpec(name="ce"),
    )
    directory = run_dir(tmp_path, spec.run_id)
    directory.create(spec)
    assert directory.state().started is None
    began = time.time()
    Heartbeat([directory], None).acquire_leases([spec], {})
    started = directory.state().started
    assert started is not None
    assert began <= started <= time.time()
    directory.write_state(status="interrupted", lease=None)
    Heartbeat([directory], None).acquire_leases([spec], {})
    assert directory.state().started == started


def test_a_pulse_keeps_the_last_step_and_says_what_else_is_done(tmp_path, monkeypatch):
    """Steps come faster than heartbeats; scoring comes after the last one."""
    monkeypatch.setattr("bench.runs.heartbeat.HEARTBEAT_SECONDS", 3600.0)
    directory = run_dir(tmp_path, "a")
    directory.path.mkdir(parents=True)
    heartbeat = Heartbeat([directory], None)
    heartbeat.pulse(39)
    heartbeat.pulse(40)
    assert directory.state().step == 0
    monkeypatch.setattr("bench.runs.heartbeat.HEARTBEAT_SECONDS", 0.0)
    heartbeat.pulse(activity="scoring image 1 of 60")
    state = directory.state()
    assert (state.step, state.activity) == (40, "scoring image 1 of 60")
    heartbeat.pulse(41)
    assert directory.state().activity is None

"""A tiny study under kills, signals and a full disk, and with many workers at once."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
import storm

from bench.runs.rundir import all_run_dirs, pid_exists

pytestmark = pytest.mark.long


def test_random_kills_do_not_change_the_results(tmp_path):
    """Three kills; tests/faults/storm.py --kills 100 is the long version."""
    seed = random.SystemRandom().randrange(10**6)
    done, faults = storm.run_storm(tmp_path, 3, seed)
    assert faults == [], f"--kills 3 --seed {seed}"
    assert done.kills.total() == 3
    assert max(done.orphans_s, default=0.0) < 30


def test_a_second_signal_ends_the_session_at_once(tmp_path):
    """Its workers end too, and the same command continues."""
    command = storm.write_study(tmp_path)
    session = storm.run(command, tmp_path / "out", tmp_path / "log")
    assert storm.wait_for(lambda: any(d.metrics() for d in all_run_dirs(tmp_path / "out")), 90)
    leases = [s.lease for d in all_run_dirs(tmp_path / "out") if (s := d.state()).lease]
    session.send_signal(signal.SIGINT)
    session.send_signal(signal.SIGINT)
    assert session.wait(60) == 130
    assert storm.wait_for(lambda: not any(pid_exists(lease.pid) for lease in leases), 10)
    again = storm.run(command, tmp_path / "out", tmp_path / "log")
    assert again.wait(300) == 0


def _full_disk_session(folder, mount):
    """Return a shell script: a session on a small disk that fills up, then one with free space."""
    command = " ".join(storm.write_study(folder))
    return f"""
        set -e
        mount -t tmpfs -o size=40m none {mount}
        export SEGLOSS_CHECKPOINT_SECONDS=0.2
        {command} --root {mount}/out > {folder}/full.log 2>&1 &
        until ls {mount}/out/runs/*/metrics.jsonl 2> /dev/null; do sleep 0.05; done
        session=$!
        while kill -0 $session 2> /dev/null; do
            dd if=/dev/zero bs=4096 2> /dev/null >> {mount}/ballast || true
            sleep 0.2
        done
        code=0; wait $session || code=$?
        echo "full: $code"
        {sys.executable} -m bench status --root {mount}/out > {folder}/status.txt
        rm {mount}/ballast
        {command} --root {mount}/out > {folder}/again.log 2>&1
        cp -r {mount}/out {folder}/out
    """


def test_status_names_a_full_disk_and_the_next_session_completes(tmp_path):
    """No run is lost, and the results are those of an undisturbed study."""
    mount = tmp_path / "disk"
    mount.mkdir()
    if subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("mount namespaces are not permitted here")
    script = _full_disk_session(tmp_path, mount)
    done = subprocess.run(
        ["unshare", "-rm", "bash", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    log = (tmp_path / "full.log").read_text() if (tmp_path / "full.log").exists() else ""
    assert done.returncode == 0, done.stdout + done.stderr + log
    assert "full: 3" in done.stdout, log
    assert "Traceback" not in log
    status = (tmp_path / "status.txt").read_text()
    assert "No space left on device" in status or "disk full" in status
    calm = storm.run(storm.write_study(tmp_path), tmp_path / "calm", tmp_path / "calm.log")
    assert calm.wait(300) == 0
    expected, found = storm.runs_of(tmp_path / "calm"), storm.runs_of(tmp_path / "out")
    assert storm.differences(found, expected) == []


def test_sixteen_workers_at_once_lose_no_line(tmp_path):
    """Every curve is complete in its run directory and in the store."""
    command = storm.write_study(tmp_path, crowd=16)
    session = storm.run([*command, "--workers", "16"], tmp_path / "out", tmp_path / "log")
    most, end = 0, time.monotonic() + 400
    while session.poll() is None:
        assert time.monotonic() < end
        running = sum(d.state().status == "running" for d in all_run_dirs(tmp_path / "out"))
        most = max(most, running)
        time.sleep(0.1)
    log = (tmp_path / "log").read_text()
    assert session.returncode == 0, log
    assert "database is locked" not in log
    assert most > 8
    runs = storm.outcome(tmp_path / "out")
    assert len(runs) == 16
    assert {len(run["curve"]) for run in runs.values()} == {storm.STEPS // 3}
    assert {run["status"] for run in runs.values()} == {"finished"}
    assert {run["store curve"] for run in runs.values()} == {storm.STEPS // 3}


def test_a_scheduler_takes_over_the_workers_of_a_killed_one(tmp_path):
    """Workers of a killed scheduler stop; the next session resumes from their checkpoints."""
    command = storm.write_study(tmp_path)
    first = storm.run(command, tmp_path / "out", tmp_path / "log")
    assert storm.wait_for(lambda: any(d.metrics() for d in all_run_dirs(tmp_path / "out")), 90)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    second = storm.run(command, tmp_path / "out", tmp_path / "log")
    assert second.wait(300) == 0
    logs = [d.log.read_text() for d in all_run_dirs(tmp_path / "out") if d.log.exists()]
    assert any("resuming from step" in log for log in logs)

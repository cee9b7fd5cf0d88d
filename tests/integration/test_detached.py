"""A session in the background as a user handles it: watch, cancel, continue, read the log."""

import os
import subprocess
import sys
import time

import pytest

from bench.runs.rundir import all_run_dirs
from studies.ledger import holder


@pytest.fixture
def session(tmp_path, tiny_profile, tiny_study, edit):
    """Return the command of a session that is long enough to be cancelled, and its root."""
    edit(tiny_profile, "steps = 7", "steps = 200")
    root = tmp_path / "out"
    yield ("run", tiny_study, "--profile", tiny_profile, "--root", root), root
    if found := holder(root):
        os.kill(found.pid, 9)


def wait_until(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.long
def test_a_detached_session_is_watched_cancelled_and_continued(session, segloss):
    """Its process outlives the command; cancel leaves its runs interrupted."""
    command, root = session
    begun = segloss(*command, "--detach")
    assert begun.returncode == 0, begun.stderr
    found = holder(root)
    assert found is not None
    assert f"the session is process {found.pid}" in begun.stdout
    assert os.getsid(found.pid) == found.pid

    refused = segloss(*command, "--detach")
    assert refused.returncode == 2
    assert f"is in use by {found}" in refused.stderr

    watch = subprocess.Popen(
        [sys.executable, "-m", "bench", "status", "--watch", "--root", str(root)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert watch.stdout is not None
    seen = []
    for line in watch.stdout:
        seen.append(line)
        if "  running     " in line and "canary" not in line:
            break
    wait_until(lambda: any(d.metrics() for d in all_run_dirs(root)))
    cancelled = segloss("cancel", "--root", root)
    assert cancelled.returncode == 0, cancelled.stderr
    assert f"{found} was asked to stop" in cancelled.stdout
    seen += watch.stdout.readlines()
    watch.stdout.close()
    assert watch.wait(timeout=60) == 0
    assert any("interrupted " in line for line in seen), seen
    assert seen[-1].startswith("tiny-study on tiny: ")
    stopped = [d for d in all_run_dirs(root) if d.state().status == "interrupted"]
    assert any(d.checkpoint.exists() for d in stopped)
    assert "stopped; the same command continues from here" in (root / "session.log").read_text()
    assert segloss("cancel", "--root", root).returncode == 2

    again = segloss("retry", stopped[0].run_id[:10], "--root", root)
    assert "1 queued; start them with segloss run" in again.stdout
    done = segloss(*command)
    assert done.returncode == 0, done.stderr
    assert {d.state().status for d in all_run_dirs(root)} == {"finished"}
    tail = segloss("logs", "RMI", "--lines", 1, "--root", root)
    assert tail.stdout.startswith("step 200: loss ")


def test_a_detached_session_that_cannot_start_is_refused_at_once(session, segloss, edit):
    """The message is in the terminal, not in the session's log."""
    command, root = session
    refused = segloss(*command, "--detach", "--executor", "ray")
    assert refused.returncode == 2
    assert "go together" in refused.stderr
    assert not (root / "session.log").exists()

"""The live view, on made-up runs."""

import io
import os
import re

import pytest
from made_up import MadeUp
from rich.console import Console

from bench.cli.views import live
from bench.cli.views.live import LiveView
from bench.cli.views.marks import SYMBOLS
from bench.cli.views.overview import Overview, render
from bench.errors import RootError
from bench.runs.rundir import own_lease
from studies import runs
from studies.estimates import Estimates
from studies.ledger import lock_root
from studies.runs import RootMonitor


@pytest.fixture
def made_up(tmp_path):
    return MadeUp(tmp_path / "root")


def overview_of(made_up):
    seen = RootMonitor(made_up.root)
    return Overview(
        root=seen.root,
        manifests=seen.manifests,
        names={run_id: str(run) for run_id, run in seen.runs.items()},
        states=seen.states,
        holder=seen.holder,
        left=Estimates(seen.root, seen.manifests).time_left(seen.states),
    )


def drawn(made_up, *, height=40, plain=False):
    console = Console(width=160, file=io.StringIO(), color_system=None)
    with console.capture() as captured:
        console.print(render(overview_of(made_up), height=height, plain=plain))
    return captured.get()


def test_the_live_view_shows_grid_places_progress_and_reasons(made_up):
    """The view is readable without colours."""
    lease = own_lease().model_copy(update={"gpu": "3"})
    made_up.set("CE", status="finished")
    made_up.set("RMI", status="running", step=50, steps=200, lease=lease)
    made_up.set("BCE", 1, status="failed", failure="oom", reason="no memory", step=3, steps=200)
    made_up.set("Affinity", status="diverged", reason="loss is nan")
    with lock_root(made_up.root):
        text = drawn(made_up)
    assert f"process {os.getpid()} on {lease.host}, 1 running, about" in text
    assert "losses on scenes-demo, 2 seeds: 1 finished, 1 diverged, 1 running, 10" in text
    for row, cells in (("CE ", "●·"), ("BCE", "·✗"), ("Affinity", "∞·"), ("RMI", "▶·")):
        assert re.search(rf"^  {row} +{cells}", text, re.MULTILINE), row
    assert re.search(rf"RMI, seed 0 +\w+ +{lease.host}, process \d+, GPU 3 +50/200 \(25%\)", text)
    assert "failed      BCE, seed 1 [" in text
    assert "at step 3/200: oom: no memory" in text
    assert "loss is nan" in text


def test_a_console_without_shapes_gets_letters(made_up):
    """Every status has its own letter."""
    made_up.set("RMI", status="failed", reason="why")
    text = drawn(made_up, plain=True)
    assert re.search(r"^  RMI +X\.", text, re.MULTILINE)
    assert text.isascii()
    assert len({letter for _, letter, _ in SYMBOLS.values()}) == 6


def test_rows_that_do_not_fit_are_counted_and_running_rows_stay(made_up):
    """The shown rows keep the study's order."""
    made_up.set("RMI", status="running", lease=own_lease())
    text = drawn(made_up, height=14)
    assert "no session is running here; workers of an earlier one are still running" in text
    assert re.search(r"^  RMI +▶·", text, re.MULTILINE)
    assert "and 3 more rows: 6 queued" in text


def test_only_what_may_have_changed_is_read_again(made_up, monkeypatch):
    """A refresh reads running runs always, queued runs if their file changed, finished never."""
    made_up.set("CE", status="finished")
    made_up.set("RMI", status="running", lease=own_lease())
    seen = RootMonitor(made_up.root)
    read = []
    original = runs.current_state
    monkeypatch.setattr(runs, "current_state", lambda d: read.append(d.run_id) or original(d))
    assert seen.refresh() == []
    assert read == [made_up.id_of("RMI")]
    made_up.set("BCE", status="failed", reason="why")
    made_up.set("RMI", status="finished")
    changes = {str(c.run): c.state.status for c in seen.refresh()}
    assert changes == {"BCE, seed 0": "failed", "RMI, seed 0": "finished"}
    read.clear()
    assert seen.refresh() == []
    assert read == []


def test_in_a_pipe_each_event_is_a_line(made_up):
    """A line has the run's place or reason; counts come before the first and after the last."""
    made_up.set("RMI", status="running", lease=own_lease())
    console = Console(width=160, file=io.StringIO())
    with LiveView(RootMonitor(made_up.root), console=console) as view:
        for label, state in (
            ("RMI", {"status": "finished", "lease": None}),
            ("BCE", {"status": "running", "lease": own_lease()}),
            ("BCE", {"status": "failed", "failure": "oom", "reason": "no memory"}),
        ):
            made_up.set(label, **state)
            view.update(force=True)
    lines = re.sub(r"\[\w+\]", "[]", console.file.getvalue()).splitlines()
    assert lines[0] == "losses on scenes-demo: 1 running, 13 queued"
    assert re.fullmatch(
        r"[\d:]+  running     RMI, seed 0 \[\] on .*, process \d+  \(0/14\)", lines[1]
    )
    assert re.fullmatch(r"[\d:]+  finished    RMI, seed 0 \[\]  \(1/14.*\)", lines[2])
    assert "running     BCE, seed 0 [] on" in lines[3]
    assert re.search(r"failed      BCE, seed 0 \[\]: oom: no memory  \(1/14.*\)$", lines[4])
    assert lines[-1] == "losses on scenes-demo: 1 finished, 12 queued, 1 failed"
    assert len(lines) == 6


def test_on_a_terminal_watch_waits_for_a_session(tmp_path, monkeypatch):
    """A session that has just begun need not have locked its root yet."""
    console = Console(file=io.StringIO(), force_terminal=True)
    waits = []

    def begin(seconds):
        waits.append(seconds)
        if len(waits) == 2:
            MadeUp(tmp_path)

    monkeypatch.setattr(live.time, "sleep", begin)
    assert live._monitor(tmp_path, console).manifests
    assert len(waits) == 2
    assert "waiting for a session" in console.file.getvalue()
    with pytest.raises(RootError, match="no study was run here"):
        live._monitor(tmp_path / "nowhere", Console(file=io.StringIO()))


def test_the_head_counts_the_canaries_that_are_done(made_up):
    """Before the first run they take a while."""
    canaries = MadeUp(made_up.root / "canaries" / "code")
    canaries.set("CE", status="finished")
    canaries.set("RMI", status="running", lease=own_lease())
    with lock_root(made_up.root):
        assert re.search(r"1 running, canaries first: 1 of \d+ done", drawn(made_up))


def test_a_root_without_study_or_session_is_refused(tmp_path):
    """A locked root is accepted: a session runs its canaries before it writes its manifests."""
    with pytest.raises(RootError, match="no study was run here"):
        RootMonitor(tmp_path)
    with lock_root(tmp_path):
        assert not RootMonitor(tmp_path).is_over

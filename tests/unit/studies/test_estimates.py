"""Estimates of the time left: their input, the views that print them, and the deadline."""

import io
import re
from datetime import datetime

import pytest
from made_up import MadeUp, planned
from rich.console import Console

from bench.cli.views.live import LiveView
from bench.cli.views.plan import print_plan
from bench.errors import SpecError
from bench.files import write_json
from bench.runs.rundir import State, own_lease
from studies.estimates import Estimates, TimeLeft, deadline, span
from studies.ledger import lock_root, states
from studies.runs import RootMonitor


@pytest.fixture
def made_up(tmp_path):
    return MadeUp(tmp_path / "root")


def estimates_of(made_up):
    return Estimates(made_up.root, [made_up.plan.manifest])


def left_of(made_up, estimates):
    return estimates.time_left(states(made_up.root, made_up.plan.specs))


def test_the_time_left_follows_from_results_and_progress(made_up):
    """One worker has 6 trainings of 65 s, the rest of another one, and 2 evaluation passes left."""
    estimates = estimates_of(made_up)
    assert left_of(made_up, estimates) is None
    made_up.set("CE", status="finished")
    made_up.set("RMI", status="running", step=50, steps=200, lease=own_lease())
    left = left_of(made_up, estimates)
    assert left == TimeLeft(pytest.approx(6 * 70 + 5 + 0.75 * 65), unknown=2)
    for steps in (1, 5, 10):
        made_up.set(f"CE & CRF-{steps}", status="finished")
    left = left_of(made_up, estimates)
    assert left == TimeLeft(pytest.approx(6 * 70 + 5 + 0.75 * 65 + 10), unknown=0)


def test_scores_on_the_way_take_time_that_is_no_training_time(made_up):
    """7 trainings are left, each of 60 s, three scores on the way and the last one, 5 s each."""
    directory = made_up.dir_of("CE")
    for step in (50, 100, 200):
        directory.append_metrics({"step": step, "time": 0.0, "eval/miou": 0.5})
    made_up.set("CE", status="finished")
    left = left_of(made_up, estimates_of(made_up))
    assert left == TimeLeft(pytest.approx(7 * (5 + 60 + 4 * 5)), unknown=2)


@pytest.mark.parametrize("kept", [True, False], ids=["jobs kept", "manifest of an older version"])
def test_a_finished_training_of_evaluations_is_not_counted_again(tmp_path, kept):
    """With a multi-scale profile the rows are evaluations; here all their trainings are done."""
    made_up = MadeUp(tmp_path / "root", flip=True)
    if not kept:
        made_up.forget_jobs()
    cost = {"train_s": 600.0, "evaluate_s": 5.0}
    for run_id, spec in made_up.plan.specs.items():
        if spec.trains:
            write_json(made_up.root / "runs" / run_id / "result.json", {"cost": cost})
            (made_up.root / "runs" / run_id / "state.json").write_text('{"status": "finished"}')
    made_up.set("CE", status="finished")
    manifests = RootMonitor(made_up.root).manifests
    left = Estimates(made_up.root, manifests).time_left(states(made_up.root, made_up.plan.specs))
    jobs = [job for job in made_up.plan.manifest.jobs if job.source]
    assert left == TimeLeft(pytest.approx(10 * (len(jobs) - 1)))


def test_without_a_result_the_estimate_follows_the_pace_of_running_trainings(made_up):
    """50 steps in 10 s make 200 steps in 40 s, whichever process asks and when it started."""
    lease = own_lease()
    state = made_up.set("RMI", status="running", step=100, steps=200, lease=lease)
    assert left_of(made_up, estimates_of(made_up)) is None
    directory = made_up.dir_of("RMI")
    directory.append_metrics({"step": 10, "time": lease.started - 100.0})  # of an earlier worker
    directory.append_metrics({"step": 50, "time": state.updated - 10.0})
    if state.updated - 10.0 < lease.started:
        later = lease.model_copy(update={"started": state.updated - 20.0})
        made_up.set("RMI", lease=later)
    left = left_of(made_up, estimates_of(made_up))
    assert left is not None
    assert left.seconds == pytest.approx(7 * 45 + 5 + 20, rel=0.02)


def test_an_estimate_uses_the_results_of_the_same_row_first(made_up):
    """A row without a result uses those of all rows with the same fixed settings."""
    made_up.set("CE", status="finished")
    made_up.set("RMI", status="finished")
    cost = {"train_s": 200.0, "evaluate_s": 10.0}
    write_json(made_up.dir_of("RMI").path / "result.json", {"cost": cost})
    estimates = estimates_of(made_up)
    estimates.learn(states(made_up.root, made_up.plan.specs))
    assert estimates.seconds(made_up.id_of("RMI", 1), State()) == pytest.approx(215)
    assert estimates.seconds(made_up.id_of("CE", 1), State()) == pytest.approx(70)
    assert estimates.seconds(made_up.id_of("BCE", 1), State()) == pytest.approx(5 + (65 + 210) / 2)
    assert estimates.seconds(made_up.id_of("CE & CRF-1"), State()) is None


def test_run_plan_and_status_print_the_same_time(made_up, monkeypatch, capsys):
    """They ask at the same moment, with two workers; the live view on a terminal and in a pipe."""
    made_up.set("CE", status="finished")
    lease = own_lease()
    other = lease.model_copy(update={"pid": 1})
    made_up.set("RMI", status="running", step=50, steps=200, lease=lease)
    made_up.set("BCE", status="running", step=20, steps=200, lease=other)
    monkeypatch.setattr("studies.ledger.is_alive", lambda *_, **__: True)
    with lock_root(made_up.root):
        print_plan([planned()], made_up.root)
        texts = [capsys.readouterr().out]
        for terminal in (True, False):
            console = Console(
                width=160, height=40, file=io.StringIO(), force_terminal=terminal, color_system=None
            )
            with LiveView(RootMonitor(made_up.root), console=console):
                texts.append(console.file.getvalue())
    times = [re.search(r"[Aa]bout ([^,]*?)(?: left|,)", text) for text in texts]
    assert all(times), texts
    assert len({found[1] for found in times if found}) == 1


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(3, "3 s"), (600, "10 min"), (3900, "1 h 05 min"), (90000, "25 h 00 min")],
)
def test_spans_in_words(seconds, words):
    """Seconds are given only below half a minute."""
    assert span(seconds) == words
    assert str(TimeLeft(seconds, 1)) == f"{words} and 1 job of unknown length"


def test_a_deadline_is_the_earlier_of_until_and_budget():
    """A time of day that has passed today is tomorrow's."""
    now = datetime(2026, 11, 21, 19, 0)

    def at(day, hour, minute=0):
        return datetime(2026, 11, day, hour, minute).timestamp()

    assert deadline("07:00", None, now) == at(22, 7)
    assert deadline("20:30", None, now) == at(21, 20, 30)
    assert deadline(None, "1h30m", now) == at(21, 20, 30)
    assert deadline("07:00", "8h", now) == at(22, 3)
    assert deadline(None, None, now) is None


@pytest.mark.parametrize("options", [("7 o'clock", None), ("25:00", None), (None, "8"), (None, "")])
def test_a_text_that_is_no_time_is_refused(options):
    """The message gives an example of a valid one."""
    with pytest.raises(SpecError, match="such as"):
        deadline(*options)

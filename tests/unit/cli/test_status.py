"""`segloss status`: the result and the place of the report, and the choice of a study."""

import os
import time

import pytest
from made_up import MadeUp

from bench.cli.control import status
from bench.cli.views.live import planned
from bench.cli.views.overview import _progress
from bench.errors import SpecError
from bench.manifest import remember
from bench.runs.rundir import State


@pytest.fixture
def made_up(tmp_path):
    return MadeUp(tmp_path / "root")


def report_of(made_up, text):
    folder = made_up.root / "reports" / made_up.plan.manifest.name
    folder.mkdir(parents=True)
    (folder / "summary.md").write_text(text)
    index = folder / "index.html"
    index.write_text("")
    return index


def printed(capsys, **options):
    status(**{"root": options.pop("root"), "study": None, "profile": None, "watch": False,
              "verbose": False, **options})  # fmt: skip
    return capsys.readouterr().out


def test_after_the_end_status_has_the_verdict_and_the_reports_path(made_up, capsys):
    """Without marks of Markdown."""
    made_up.set("CE", status="finished")
    index = report_of(made_up, "**Losses.** Not settled: RMI \\+ CRF leads\nby 9.1.\n\n| a |\n")
    out = printed(capsys, root=made_up.root)
    assert f"  Losses. Not settled: RMI + CRF leads by 9.1.\n  report: {index}\n" in out


def test_a_report_that_is_older_than_a_run_gives_no_verdict_but_the_command(made_up, capsys):
    index = report_of(made_up, "RMI leads.\n")
    os.utime(index, (time.time() - 60, time.time() - 60))
    made_up.set("CE", status="finished")
    out = printed(capsys, root=made_up.root)
    assert "RMI leads" not in out
    again = f"segloss report losses --profile scenes-demo --root {made_up.root}"
    assert f"  report: {index}\n  1 run ended after it was made: {again}\n" in out


def test_without_a_report_status_names_none(made_up, capsys):
    assert "report" not in printed(capsys, root=made_up.root)


def test_a_study_and_a_profile_choose_what_is_shown(made_up, capsys):
    """A profile without its length stands for each of its lengths."""
    other = made_up.plan.manifest.model_copy(update={"profile": "camvid-cpu@20"})
    remember(made_up.root, other)
    assert "scenes-demo" in printed(capsys, root=made_up.root, study="losses.toml")
    out = printed(capsys, root=made_up.root, study="losses", profile="camvid-cpu")
    assert "losses on camvid-cpu@20" in out
    assert "scenes-demo" not in out
    message = r"unknown study 'losses on voc'; did you mean|known: .*losses on camvid-cpu@20"
    with pytest.raises(SpecError, match=message):
        printed(capsys, root=made_up.root, study="losses", profile="voc")


def test_rows_that_a_session_leaves_out_do_not_count(made_up):
    """Neither in its grid nor in the time left."""
    whole = made_up.plan
    specs = {run_id: spec for run_id, spec in whole.specs.items() if spec.trains}
    (shown,) = planned([whole.manifest], [type(whole)(whole.manifest, specs)])
    assert list(shown.rows) == ["CE", "BCE", "Affinity", "RMI"]
    assert all(specs.keys() >= {*job.run_ids} for job in shown.jobs)
    assert planned([whole.manifest], [whole]) == [whole.manifest]
    assert planned([whole.manifest], []) == []


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (State(step=50, steps=200), "50/200 (25%)"),
        (State(step=0, steps=200, activity="reading images"), "reading images"),
        (State(step=200, steps=200, activity="scoring image 3 of 60"), "scoring image 3 of 60"),
        (
            State(step=50, steps=200, activity="scoring image 3 of 60"),
            "50/200 (25%), scoring image 3 of 60",
        ),
        (State(), "–"),
    ],
)
def test_progress_says_what_a_run_does_between_its_steps(state, words):
    assert _progress(state) == words

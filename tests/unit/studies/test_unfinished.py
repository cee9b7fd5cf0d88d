"""The lines of ``segloss status`` about unfinished runs."""

from bench.runs.rundir import State
from studies.ledger import LINES, unfinished


def lines_of(states):
    by_id = {f"id{number}": state for number, state in enumerate(states)}
    return unfinished({run_id: f"row {run_id}" for run_id in by_id}, by_id)


def test_few_runs_have_a_line_each_and_failures_come_first():
    """A line has step and reason; a finished run has no line."""
    assert lines_of(
        [
            State(),
            State(status="finished"),
            State(status="running", step=3, steps=9),
            State(status="failed", reason="out of memory", step=2, steps=9),
            State(status="diverged", reason="loss is NaN"),
        ]
    ) == [
        "  failed      row id3 [id3] at step 2/9: out of memory",
        "  diverged    row id4 [id4]: loss is NaN",
        "  running     row id2 [id2] at step 3/9",
        "  queued      row id0 [id0]",
    ]


def test_many_runs_are_counted_by_status_and_reason():
    """The most frequent reason comes first; reasons that differ in a number are one reason."""
    states = [State() for _ in range(5000)]
    states += [State(status="failed", reason="killed by signal 9")] * 2
    states += [State(status="failed", reason=f"no memory at step {i}") for i in range(100)]
    states += [State(status="running", step=4, steps=9)]
    assert lines_of(states) == [
        "  failed      100 runs: no memory at step 0 (the first is row id5002 [id5002])",
        "  failed      2 runs: killed by signal 9 (the first is row id5000 [id5000])",
        "  running     row id5102 [id5102] at step 4/9",
        "  queued      5000 runs (the first is row id0 [id0])",
    ]


def test_many_reasons_do_not_fill_the_screen():
    """The last line counts the reasons that are left out."""
    states = [State(status="failed", reason="x" * number) for number in range(1, 101)]
    shown = lines_of([*states, State(), State()])
    assert len(shown) == LINES + 1
    assert shown[-1] == "  and 82 runs for 81 other reasons"


def test_exactly_a_screen_of_runs_is_listed_run_by_run():
    """With one more, the runs are counted in one line."""
    assert len(lines_of([State()] * LINES)) == LINES
    assert len(lines_of([State()] * (LINES + 1))) == 1

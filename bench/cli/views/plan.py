"""The output of `segloss plan`."""

from __future__ import annotations

from pathlib import Path

import typer

from bench.cli.views.live import planned
from bench.cli.views.marks import is_plain, legend, mark
from bench.cli.views.text import say
from bench.data.registry import evaluation_entries, open_dataset, training_entries
from bench.errors import DataError
from bench.manifest import TableSpec
from bench.runs.rundir import State, run_dir
from bench.spec import DataSpec, RunSpec
from studies.control import RETRYABLE
from studies.estimates import Estimates
from studies.ledger import DONE, current_state, states
from studies.plan import Plan


def print_plan(plans: list[Plan], root: Path, *, ids: bool = False) -> None:
    """Print the rows of each table with the state of every run, then what is finished and left.

    Args:
        plans: the plans.
        root: the output folder.
        ids: whether to print the id of every run, too.
    """
    specs = {run_id: spec for plan in plans for run_id, spec in plan.specs.items()}
    found = {run_id: _now(root, run_id, state) for run_id, state in states(root, specs).items()}
    for plan in plans:
        for table in plan.manifest.tables:
            say(f"\nTable {table.key}: {table.title} ({plan.manifest.scale})")
            for line in _aligned(_rows(table, found, ids=ids)):
                typer.echo(line)
    rows = [row for plan in plans for row in plan.manifest.rows.values()]
    shown = {found[i].status for row in rows for i in row.run_ids if i in found}
    say(f"\n{legend(shown, plain=is_plain())}")
    say(_counts(plans, specs, found, root))
    # The next session queues failed and interrupted runs again.
    next_states = {i: State() if state.status in RETRYABLE else state for i, state in found.items()}
    estimates = Estimates(root, planned([plan.manifest for plan in plans], plans))
    if left := estimates.time_left(next_states):
        workers = f"{estimates.workers} worker{'s' * (estimates.workers > 1)}"
        say(f"About {left} left on {workers}, judged by earlier runs.")


def images(data: DataSpec, data_root: Path | None) -> str:
    """Return the number of images to train on and to score, or why they cannot be counted."""
    try:
        dataset = open_dataset(data, data_root)
        trained, scored = (f(dataset, data) for f in (training_entries, evaluation_entries))
    except DataError as error:
        return f"Images: {error}."
    return f"Images: {len(trained)} to train on, {len(scored)} to score."


def _counts(
    plans: list[Plan], specs: dict[str, RunSpec], found: dict[str, State], root: Path
) -> str:
    """Return how many runs fill the rows, and how many are finished; empty rows do not count."""
    seeds = len(plans[0].manifest.seeds)
    every = [row for plan in plans for table in plan.manifest.tables for row in table.rows]
    rows = [row.run_ids for row in every if specs.keys() >= set(row.run_ids)]
    trainings = sum(spec.trains for spec in specs.values())
    evaluations = len(specs) - trainings
    done = sum(state.status in DONE for state in found.values())
    shared = len(rows) - len(set(rows))
    return (
        f"{_number(len(rows), 'row')}{_shared(shared)}. "
        f"For {_number(seeds, 'seed')}: {_number(trainings, 'training')} and "
        f"{_number(evaluations, 'evaluation')}; {done} of {_number(len(specs), 'run')} "
        f"{'is' if done == 1 else 'are'} finished in {root}."
    )


def _now(root: Path, run_id: str, state: State) -> State:
    """Return the recorded state of a run, or interrupted if its worker is gone."""
    return current_state(run_dir(root, run_id)) if state.status == "running" else state


def _shared(rows: int) -> str:
    return f", of which {rows} share{'s' * (rows == 1)} a run with another" if rows else ""


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _rows(table: TableSpec, found: dict[str, State], *, ids: bool) -> list[list[str]]:
    """Return the rows of a table under their headings: method, settings, states, and ids."""
    settings = [
        column for column in table.columns if column.startswith(("loss.", "crf.", "recipe."))
    ]
    plain = is_plain()
    rows = [["row", *settings, "seeds", *(["run ids"] if ids else [])]]
    for row in table.rows:
        values = [str(row.settings.get(setting, "–")) for setting in settings]
        planned_runs = [run_id for run_id in row.run_ids if run_id in found]
        marks = "".join(mark(found[run_id].status, plain=plain)[0] for run_id in planned_runs)
        own_ids = [" ".join(row.run_ids)] if ids else []
        rows.append([row.method, *values, marks or "left out", *own_ids])
    return rows


def _aligned(rows: list[list[str]]) -> list[str]:
    """Return each row in one line; for a thousand rows, rich's Table would take seconds."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]

"""The output of `segloss plan`."""

from __future__ import annotations

from pathlib import Path

from bench.cli.views.text import say
from bench.data.registry import evaluation_entries, open_dataset, training_entries
from bench.errors import DataError
from bench.manifest import TableSpec
from bench.runs.rundir import State
from bench.spec import DataSpec, RunSpec
from studies.control import RETRYABLE
from studies.estimates import Estimates
from studies.ledger import DONE, states
from studies.plan import Plan, jobs


def print_plan(plans: list[Plan], root: Path) -> None:
    """Print the rows of each table, then how many runs they share and how many are done."""
    for plan in plans:
        for table in plan.manifest.tables:
            say(f"\nTable {table.key}: {table.title} ({plan.manifest.scale})")
            for line in _aligned(_rows(table)):
                say(line)
    specs = {run_id: spec for plan in plans for run_id, spec in plan.specs.items()}
    found = states(root, specs)
    done = [run_id for run_id in specs if found[run_id].status in DONE]
    say(_counts(plans, specs))
    say(f"{len(done)} of {len(specs)} runs are done in {root}.")
    # The next session queues failed and interrupted runs again.
    next_states = {i: State() if state.status in RETRYABLE else state for i, state in found.items()}
    estimates = Estimates(root, [plan.manifest for plan in plans])
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


def _counts(plans: list[Plan], specs: dict[str, RunSpec]) -> str:
    """Return how many runs fill the rows; rows that are left empty do not count."""
    seeds = len(plans[0].manifest.seeds)
    every = [row for plan in plans for table in plan.manifest.tables for row in table.rows]
    rows = [row.run_ids for row in every if specs.keys() >= set(row.run_ids)]
    trainings = sum(spec.trains for spec in specs.values())
    evaluations = len(specs) - trainings
    passes = sum(job.after is not None for job in jobs(plans))
    return (
        f"\n{len(rows)} rows = {trainings // seeds} distinct trainings + {evaluations // seeds} "
        f"distinct evaluations; {len(rows) - len(set(rows))} rows share a run with another row.\n"
        f"Times {seeds} (seeds): {trainings} trainings, {evaluations} evaluations in {passes} "
        "passes."
    )


def _rows(table: TableSpec) -> list[list[str]]:
    """Return the rows of a table under their headings: method, settings, run ids."""
    settings = [
        column for column in table.columns if column.startswith(("loss.", "crf.", "recipe."))
    ]
    rows = [["row", *settings, "runs"]]
    for row in table.rows:
        values = [str(row.settings.get(setting, "–")) for setting in settings]
        rows.append([row.method, *values, " ".join(row.run_ids)])
    return rows


def _aligned(rows: list[list[str]]) -> list[str]:
    """Return each row in one line; for a thousand rows, rich's Table would take seconds."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]

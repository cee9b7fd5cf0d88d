"""What the terminal shows: the plan, the night, the status. Plain lines where it is no terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench.cli.unfinished import unfinished, why
from bench.manifest import Manifest, manifests
from bench.runs.rundir import State, run_dir
from bench.spec import RunSpec
from studies.control import OPEN
from studies.estimates import Estimates
from studies.ledger import DONE, current_state, states, summary
from studies.plan import Plan, jobs

console = Console(highlight=False)
REFRESH_SECONDS = 1.0
# The scheduler tells what it starts and ends; what another command changes is seen so late.
REREAD_SECONDS = 30.0


class NightView:
    """Progress of each running run and of the night, with an estimate of what is left."""

    def __init__(self, plans: list[Plan], root: Path, estimates: Estimates) -> None:
        self.root = root
        self.estimates = estimates
        self.names: dict[str, str] = {}
        self.specs: dict[str, RunSpec] = {}
        for plan in plans:
            self._know(plan)
        self.states = states(root, self.specs)
        self.active: set[str] = set()
        self.reread = time.monotonic()
        self.refreshed = 0.0
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
        )
        self.night = self.progress.add_task("night", total=len(self.specs), note="")
        self.tasks = {}
        self.live = Live(self.progress, console=console, refresh_per_second=4)

    def __enter__(self) -> NightView:
        console.print(f"{len(self.specs)} runs: {summary(self.states.values())}", soft_wrap=True)
        if console.is_terminal:
            self.live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.live.is_started:
            self._refresh()
            self.live.stop()

    def add(self, plan: Plan) -> None:
        """Take in a plan that has grown."""
        self._know(plan)
        self.states = states(self.root, self.specs)
        self.progress.update(self.night, total=len(self.specs))

    def _know(self, plan: Plan) -> None:
        self.specs |= plan.specs
        # A training that only feeds an evaluation has no row of its own.
        for run_id, spec in plan.specs.items():
            self.names.setdefault(run_id, f"{spec.loss.name}, seed {spec.seed}")
        for row in plan.manifest.rows.values():
            for seed, run_id in zip(plan.manifest.seeds, row.run_ids, strict=True):
                self.names[run_id] = f"{row.label}, seed {seed}"

    def update(self, run_id: str | None, state: State | None) -> None:
        """Take note of a run's start (no state) or end, or (with no run) of the time."""
        if run_id is not None:
            self._announce(run_id, state)
        elif time.monotonic() - self.refreshed > REFRESH_SECONDS and console.is_terminal:
            self._refresh()

    def _announce(self, run_id: str, state: State | None) -> None:
        if state is None:
            self.active.add(run_id)
        else:
            self.active.discard(run_id)
            self.states[run_id] = state
        self._reload()
        word = "started" if state is None else state.status
        reason = why(state) if state and word in ("failed", "diverged") else ""
        done = sum(known.status in DONE for known in self.states.values())
        stamp = time.strftime("%H:%M:%S")
        line = f"{stamp}  {word:<11} {self.names[run_id]} [{run_id}]{reason}"
        console.print(
            f"{line}  ({done}/{len(self.specs)}{self._left()})", markup=False, soft_wrap=True
        )

    def _refresh(self) -> None:
        self.refreshed = time.monotonic()
        self._reload()
        for run_id, state in self.states.items():
            if state.status == "running" and run_id not in self.tasks:
                self.tasks[run_id] = self.progress.add_task(
                    self.names[run_id], total=state.steps, note=""
                )
            elif state.status != "running" and run_id in self.tasks:
                self.progress.remove_task(self.tasks.pop(run_id))
            if run_id in self.tasks:
                self.progress.update(self.tasks[run_id], completed=state.step)
        done = sum(state.status in DONE for state in self.states.values())
        self.progress.update(self.night, completed=done, note=self._left().removeprefix(", "))

    def _reload(self) -> None:
        """Read how far the running runs have come; now and then also what others may change."""
        changing: Iterable[str] = self.active
        if time.monotonic() - self.reread > REREAD_SECONDS:
            self.reread = time.monotonic()
            changing = [i for i, state in self.states.items() if state.status not in DONE]
        self.states |= states(self.root, changing)

    def _left(self) -> str:
        """How long the rest takes, or nothing where there is nothing to judge by."""
        left = self.estimates.left(self.states)
        return f", about {left} left" if left else ""


def print_plan(plans: list[Plan], root: Path) -> None:
    """Rows of each table, then distinct trainings and evaluations, and what sharing saved."""
    for plan in plans:
        manifest = plan.manifest
        for table in manifest.tables:
            console.print(f"\nTable {table.key}: {table.title} ({manifest.scale})", markup=False)
            # Not rich's Table, which takes longer to wrap a thousand rows than they take to plan.
            console.out("\n".join(_rows(manifest, table.key)), highlight=False)
    manifest = plans[0].manifest
    rows = sum(len(table.rows) for plan in plans for table in plan.manifest.tables)
    specs = {run_id: spec for plan in plans for run_id, spec in plan.specs.items()}
    trainings = sum(spec.trains for spec in specs.values())
    evaluations = len(specs) - trainings
    count = len(manifest.seeds)
    passes = sum(job.after is not None for job in jobs(plans))
    found = states(root, specs)
    done = [run_id for run_id in specs if found[run_id].status in DONE]
    console.print(
        f"\n{rows} rows = {trainings // count} distinct trainings + {evaluations // count} "
        f"distinct evaluations; {rows - (trainings + evaluations) // count} rows share a run with "
        "another row.",
        soft_wrap=True,
    )
    console.print(
        f"Times {count} (seeds): {trainings} trainings, {evaluations} evaluations in {passes} "
        f"passes; {len(done)} of {len(specs)} runs are done in {root}.",
        soft_wrap=True,
    )
    estimates = Estimates(root, [plan.manifest for plan in plans])
    # What failed or was interrupted is queued again by the next session.
    again = {i: State() if state.status in OPEN else state for i, state in found.items()}
    if left := estimates.left(again):
        workers = f"{estimates.workers} worker{'s' * (estimates.workers > 1)}"
        console.print(f"About {left} left on {workers}, judged by what has been run.")


def print_status(root: Path) -> None:
    """Every study of the root: counts, then the runs that are not finished, failures first."""
    for manifest in manifests(root):
        cells = {
            run_id: f"{row.label}, seed {seed}"
            for row in manifest.rows.values()
            for seed, run_id in zip(manifest.seeds, row.run_ids, strict=True)
        }
        found = {run_id: current_state(run_dir(root, run_id)) for run_id in cells}
        console.print(f"{manifest.study} on {manifest.profile}: {summary(found.values())}")
        for line in unfinished(cells, found):
            console.print(line, markup=False, soft_wrap=True)


def _rows(manifest: Manifest, key: str) -> list[str]:
    """The rows of a table under their headings, each in one line: method, settings, runs."""
    table = next(table for table in manifest.tables if table.key == key)
    settings = [column for column in table.columns if column.startswith(("loss.", "crf."))]
    cells = [
        ["row", *settings, "runs"],
        *(
            [row.method, *(str(row.settings.get(s, "–")) for s in settings), " ".join(row.run_ids)]
            for row in table.rows
        ),
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]

"""The state of an output folder at one moment, as a page for a terminal or as lines for a pipe."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.cli.views.marks import SYMBOLS, mark
from bench.manifest import Manifest, Row
from bench.runs.rundir import State
from studies.estimates import TimeLeft, clock
from studies.ledger import DONE, Holder, failure, summary, unfinished
from studies.runs import CANARY, Change

# If not all rows fit, rows with a run of an earlier status in this tuple come first.
URGENT = ("running", "failed", "diverged", "interrupted")
RUNNING_LINES, FAILURE_LINES, FEWEST_ROWS = 16, 8, 3


@dataclass(frozen=True)
class Overview:
    """The state of an output folder at one moment."""

    root: Path
    manifests: list[Manifest]
    """The studies to show."""
    names: Mapping[str, str]
    """Every run's name by its id."""
    states: Mapping[str, State]
    """Every run's state by its id."""
    holder: Holder | None = None
    """The process of the session, if one is running."""
    left: TimeLeft | None = None

    @property
    def rows(self) -> dict[str, State]:
        """Return the states of the runs that belong to a row."""
        every = (i for m in self.manifests for row in m.rows.values() for i in row.run_ids)
        return {run_id: self.states[run_id] for run_id in every}

    @property
    def running(self) -> dict[str, State]:
        """Return the states of the running runs, including those that belong to no row."""
        return {i: state for i, state in self.states.items() if state.status == "running"}


def counts(overview: Overview) -> list[str]:
    """Return one line per study: its runs by status."""
    return [
        f"{manifest.study} on {manifest.profile}: {summary(_states(overview, manifest))}"
        for manifest in overview.manifests
    ]


def is_event(change: Change) -> bool:
    """Return whether a change gets a line; a new run that is queued does not."""
    return change.before is not None or change.state.status == "running"


def event(overview: Overview, change: Change) -> str:
    """Return the line of a run's new status: time, run, place or reason, number of runs done."""
    state, run = change.state, change.run
    rows = overview.rows
    done = sum(state.status in DONE for state in rows.values())
    place = f" on {_place(state)}" if state.status == "running" else ""
    left = f", about {overview.left} left" if overview.left else ""
    stamp = time.strftime("%H:%M:%S")
    line = f"{stamp}  {state.status:<11} {run} [{run.run_id}]{place}{failure(state)}"
    return f"{line}  ({done}/{len(rows)}{left})"


def render(overview: Overview, *, height: int, plain: bool = False) -> RenderableType:
    """Return the whole view: session, a grid per study, running runs, and failures.

    Args:
        overview: the content.
        height: lines of the terminal.
        plain: whether to draw letters instead of shapes.
    """
    bad = ("failed", "diverged", "interrupted")
    stopped = {i: state for i, state in overview.rows.items() if state.status in bad}
    failures = unfinished(overview.names, stopped, FAILURE_LINES)
    running = _running(overview)
    used = min(running.row_count, RUNNING_LINES) + len(failures) + 6
    room = max(1, height - used) // max(1, len(overview.manifests)) - 2
    return Group(
        Text(_head(overview), style="bold"),
        *(
            _grid(overview, manifest, max(FEWEST_ROWS, room), plain)
            for manifest in overview.manifests
        ),
        _legend(plain),
        *([Text(), running] if running.row_count else []),
        *([Text(), *map(Text, failures)] if failures else []),
    )


def _head(overview: Overview) -> str:
    if overview.holder is None:
        rest = "; workers of an earlier one are still running" if overview.running else ""
        return f"{overview.root}: no session is running here{rest}"
    text = f"{overview.root}: {overview.holder}, {len(overview.running)} running"
    if any(overview.names[run_id].startswith(CANARY) for run_id in overview.running):
        canaries = [s for i, s in overview.states.items() if overview.names[i].startswith(CANARY)]
        done = sum(state.status in DONE for state in canaries)
        text += f", canaries first: {done} of {len(canaries)} done"
    if not overview.manifests:
        return f"{text}; it has just started"
    if left := overview.left:
        text += f", about {left}, until {clock(left.seconds)}"
    return text


def _grid(overview: Overview, manifest: Manifest, room: int, plain: bool) -> RenderableType:
    """Return rows by seeds with a symbol for each run, and counts of the rows that do not fit."""
    rows = list(manifest.rows.values())
    shown = rows
    if len(rows) > room:
        urgent = sorted(rows, key=lambda row: _urgency(overview, row))[: room - 1]
        shown = [row for row in rows if row in urgent]
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1))
    table.add_column(no_wrap=True, max_width=48)
    table.add_column(overflow="fold")
    for row in shown:
        cells = Text()
        for run_id in row.run_ids:
            cells.append(*mark(overview.states[run_id].status, plain=plain))
        table.add_row(Text(f"  {row.label}"), cells)
    seeds = f"{len(manifest.seeds)} seed{'s' * (len(manifest.seeds) > 1)}"
    total = summary(_states(overview, manifest))
    parts: list[RenderableType] = [
        Text(f"\n{manifest.study} on {manifest.profile}, {seeds}: {total}"),
        table,
    ]
    if hidden := [row for row in rows if row not in shown]:
        rest = summary(overview.states[run_id] for row in hidden for run_id in row.run_ids)
        parts.append(Text(f"  and {len(hidden)} more rows: {rest}"))
    return Group(*parts)


def _urgency(overview: Overview, row: Row) -> int:
    statuses = {overview.states[run_id].status for run_id in row.run_ids}
    return next((rank for rank, status in enumerate(URGENT) if status in statuses), len(URGENT))


def _legend(plain: bool) -> Text:
    text = Text("\n")
    for status in SYMBOLS:
        text.append(*mark(status, plain=plain)).append(f" {status}  ")
    return text


def _running(overview: Overview) -> Table:
    """Return the running runs: name, id, process, progress and age of the last heartbeat."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("running", "run", "process", "progress", "heartbeat"):
        table.add_column(title, no_wrap=title != "process")
    running = sorted(overview.running.items(), key=lambda item: item[1].step, reverse=True)
    for run_id, state in running[:RUNNING_LINES]:
        age = f"{max(0.0, time.time() - state.updated):.0f} s ago"
        name = Text(overview.names[run_id])
        table.add_row(name, run_id, _place(state), _progress(state), age)
    if len(running) > RUNNING_LINES:
        table.add_row(f"and {len(running) - RUNNING_LINES} more")
    return table


def _progress(state: State) -> str:
    """Return the steps of a running run, or its activity between steps."""
    steps = f"{state.step}/{state.steps} ({state.step / state.steps:.0%})" if state.steps else "–"
    if state.activity is None:
        return steps
    return state.activity if state.step in (0, state.steps) else f"{steps}, {state.activity}"


def _place(state: State) -> str:
    if state.lease is None:
        return "?"
    gpu = f", GPU {state.lease.gpu}" if state.lease.gpu else ""
    return f"{state.lease.host}, process {state.lease.pid}{gpu}"


def _states(overview: Overview, manifest: Manifest) -> list[State]:
    ids = dict.fromkeys(run_id for row in manifest.rows.values() for run_id in row.run_ids)
    return [overview.states[run_id] for run_id in ids]

"""What `segloss status --watch` shows: a picture at a terminal, else one line per event."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bench.cli.unfinished import unfinished, why
from bench.cli.view import console
from bench.manifest import Manifest
from bench.runs.rundir import State
from studies.estimates import Estimates, clock
from studies.ledger import DONE, summary
from studies.watching import Change, Watched

REFRESH_SECONDS = 1.0
# A shape per status, for who sees no colours; and plain letters for who sees no shapes.
SYMBOLS = {
    "finished": ("●", "#", "green"),
    "running": ("▶", ">", "bold cyan"),
    "queued": ("·", ".", "dim"),
    "interrupted": ("‖", "=", "yellow"),
    "diverged": ("∞", "~", "magenta"),
    "failed": ("✗", "X", "bold red"),
}
# Rows are shown in this order of need where not all fit.
NEED = ("running", "failed", "diverged", "interrupted")
RUNNING_LINES, FAILURE_LINES, FEWEST_ROWS = 16, 8, 3


def watch(root: Path) -> None:
    """Show the root's runs until Ctrl-C; as lines, until nothing runs any more."""
    watched = Watched(root)
    with suppress(KeyboardInterrupt):
        if console.is_terminal:
            _live(watched)
        else:
            for line in lines(watched, REFRESH_SECONDS):
                console.print(line, markup=False, soft_wrap=True)


def _live(watched: Watched) -> None:
    estimates = Estimates(watched.root, watched.manifests)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(picture(watched, estimates), refresh=True)
            time.sleep(REFRESH_SECONDS)
            watched.refresh()


def lines(watched: Watched, seconds: float) -> Iterator[str]:
    """One line per study and running run, one per event, and the counts at the end."""
    yield from _counts(watched)
    for run_id, state in watched.running.items():
        yield _event(watched, Change(watched.runs[run_id], None, state))
    while not watched.is_over:
        time.sleep(seconds)
        for change in watched.refresh():
            if change.before is not None or change.state.status == "running":
                yield _event(watched, change)
    yield "no night runs on this root"
    yield from _counts(watched)


def _counts(watched: Watched) -> Iterator[str]:
    for manifest in watched.manifests:
        yield f"{manifest.study} on {manifest.profile}: {summary(_states(watched, manifest))}"


def _event(watched: Watched, change: Change) -> str:
    state, run = change.state, change.run
    done = sum(watched.states[run_id].status in DONE for run_id in watched.rows)
    stamp = time.strftime("%H:%M:%S")
    where = f" on {_place(state)}" if state.status == "running" else ""
    line = f"{stamp}  {state.status:<11} {run} [{run.run_id}]{where}{why(state)}"
    return f"{line}  ({done}/{len(watched.rows)})"


def picture(watched: Watched, estimates: Estimates) -> RenderableType:
    """Night, grids, what runs where, and what failed why."""
    if estimates.studies is not watched.manifests:
        estimates.know(watched.manifests)
    named = {run_id: str(run) for run_id, run in watched.rows.items()}
    found = {
        i: watched.states[i]
        for i in named
        if watched.states[i].status in ("failed", "diverged", "interrupted")
    }
    failures = unfinished(named, found, FAILURE_LINES)
    running = _running(watched)
    used = min(running.row_count, RUNNING_LINES) + len(failures) + 6
    room = max(1, console.height - used) // max(1, len(watched.manifests)) - 2
    grids = [_grid(watched, manifest, max(FEWEST_ROWS, room)) for manifest in watched.manifests]
    return Group(
        Text(_head(watched, estimates), style="bold"),
        *grids,
        _legend(),
        *([Text(), running] if running.row_count else []),
        *([Text(), *map(Text, failures)] if failures else []),
    )


def _head(watched: Watched, estimates: Estimates) -> str:
    if watched.holder is None:
        alone = "; workers of an earlier one still run" if watched.running else ""
        return f"{watched.root}: no night runs here{alone}"
    text = f"{watched.root}: {watched.holder}, {len(watched.running)} running"
    if not watched.manifests:
        return f"{text}; it has just begun"
    left = estimates.left(watched.states)
    return f"{text}, about {left} left, until {clock(left.seconds)}" if left else text


def _grid(watched: Watched, manifest: Manifest, room: int) -> RenderableType:
    """Rows by seeds, a symbol for each run; what does not fit is counted."""
    rows = list(manifest.rows.values())
    shown = rows
    if len(rows) > room:
        needed = sorted(rows, key=lambda row: _need(watched, row.run_ids))[: room - 1]
        labels = {row.label for row in needed}
        shown = [row for row in rows if row.label in labels]
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1))
    table.add_column(no_wrap=True, max_width=48)
    table.add_column(overflow="fold")
    for row in shown:
        table.add_row(Text(f"  {row.label}"), _cells(watched, row.run_ids))
    seeds = f"{len(manifest.seeds)} seed{'s' * (len(manifest.seeds) > 1)}"
    counts = summary(_states(watched, manifest))
    title = f"\n{manifest.study} on {manifest.profile}, {seeds}: {counts}"
    parts: list[RenderableType] = [Text(title), table]
    if hidden := len(rows) - len(shown):
        labels = {row.label for row in shown}
        rest = [i for row in rows if row.label not in labels for i in row.run_ids]
        counts = summary(watched.states[run_id] for run_id in rest)
        parts.append(Text(f"  and {hidden} more rows: {counts}"))
    return Group(*parts)


def _need(watched: Watched, run_ids: tuple[str, ...]) -> int:
    statuses = {watched.states[run_id].status for run_id in run_ids}
    return next((rank for rank, status in enumerate(NEED) if status in statuses), len(NEED))


def _cells(watched: Watched, run_ids: tuple[str, ...]) -> Text:
    text = Text()
    for run_id in run_ids:
        text.append(*_symbol(watched.states[run_id].status))
    return text


def _symbol(status: str) -> tuple[str, str]:
    shape, letter, style = SYMBOLS[status]
    return letter if console.options.ascii_only else shape, style


def _legend() -> Text:
    text = Text("\n")
    for status in SYMBOLS:
        text.append(*_symbol(status)).append(f" {status}  ")
    return text


def _running(watched: Watched) -> Table:
    """What runs where: name, id, place, progress, age of the last heartbeat."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("running", "run", "where", "steps", "heard"):
        table.add_column(title, no_wrap=title != "where")
    running = sorted(watched.running.items(), key=lambda item: item[1].step, reverse=True)
    for run_id, state in running[:RUNNING_LINES]:
        table.add_row(Text(str(watched.runs[run_id])), run_id, *_progress(state))
    if len(running) > RUNNING_LINES:
        table.add_row(f"and {len(running) - RUNNING_LINES} more")
    return table


def _progress(state: State) -> tuple[str, str, str]:
    share = f"{state.step}/{state.steps} ({state.step / state.steps:.0%})" if state.steps else "–"
    return _place(state), share, f"{max(0.0, time.time() - state.updated):.0f} s ago"


def _place(state: State) -> str:
    if state.lease is None:
        return "?"
    gpu = f", GPU {state.lease.gpu}" if state.lease.gpu else ""
    return f"{state.lease.host}, process {state.lease.pid}{gpu}"


def _states(watched: Watched, manifest: Manifest) -> list[State]:
    ids = {run_id: None for row in manifest.rows.values() for run_id in row.run_ids}
    return [watched.states[run_id] for run_id in ids]

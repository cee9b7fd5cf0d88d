"""The output of `segloss status`: counts of every study, then its unfinished runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import typer

from bench.manifest import manifests
from bench.runs.rundir import State, run_dir
from studies.ledger import current_state, summary

# As many lines as fit on a screen together with the counts and the prompt.
LINES = 20
# Most urgent first.
ORDER = ("failed", "diverged", "interrupted", "running", "queued")


def print_status(root: Path) -> None:
    """Print counts by status for every study of the output folder, then its unfinished runs."""
    for manifest in manifests(root):
        names = {
            run_id: f"{row.label}, seed {seed}"
            for row in manifest.rows.values()
            for seed, run_id in zip(manifest.seeds, row.run_ids, strict=True)
        }
        states = {run_id: current_state(run_dir(root, run_id)) for run_id in names}
        typer.echo(f"{manifest.study} on {manifest.profile}: {summary(states.values())}")
        for line in unfinished(names, states):
            typer.echo(line)


def unfinished(
    names: Mapping[str, str], states: Mapping[str, State], limit: int = LINES
) -> list[str]:
    """Return lines about the runs that are not finished, failures first.

    If there are more runs than ``limit``, those of the same status and reason share a line, and
    the most frequent reasons come first.

    Args:
        names: the name of each run by its id.
        states: the state of each run by its id.
        limit: the largest number of runs that are listed one by one, and of reasons.
    """
    groups = sorted(_by_reason(states), key=lambda ids: (_rank(states[ids[0]]), -len(ids)))
    one_by_one = sum(map(len, groups)) <= limit
    lines = []
    for ids in groups if one_by_one else groups[:limit]:
        if one_by_one or len(ids) == 1:
            lines += [_line(names[run_id], run_id, states[run_id]) for run_id in ids]
        else:
            lines.append(_counted(names[ids[0]], ids, states[ids[0]]))
    rest = [] if one_by_one else groups[limit:]
    if rest:
        lines.append(f"  and {sum(map(len, rest))} runs for {len(rest)} other reasons")
    return lines


def failure(state: State) -> str:
    """Return failure class and reason, such as ": oom: no memory for 2 GiB"; empty if unknown."""
    return "".join(f": {part}" for part in (state.failure, state.reason) if part)


def _by_reason(states: Mapping[str, State]) -> list[list[str]]:
    """Return groups of runs of the same status and reason; numbers in a reason do not count."""
    groups: dict[tuple[str | None, ...], list[str]] = {}
    for run_id, state in states.items():
        if state.status != "finished":
            reason = re.sub(r"\d+", "#", state.reason or "")
            groups.setdefault((state.status, state.failure, reason), []).append(run_id)
    return list(groups.values())


def _rank(state: State) -> int:
    return ORDER.index(state.status) if state.status in ORDER else len(ORDER)


def _line(name: str, run_id: str, state: State) -> str:
    return f"  {state.status:<11} {name} [{run_id}]{_progress(state)}{failure(state)}"


def _counted(name: str, ids: list[str], state: State) -> str:
    example = f"{name} [{ids[0]}]{_progress(state)}"
    return f"  {state.status:<11} {len(ids)} runs{failure(state)} (the first is {example})"


def _progress(state: State) -> str:
    return f" at step {state.step}/{state.steps}" if state.steps else ""

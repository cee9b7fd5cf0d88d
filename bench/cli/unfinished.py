"""What `segloss status` says of the runs that are not finished: line by line, or by reason."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bench.rundir import State

# As many lines as a screen holds beside the counts and the prompt.
LINES = 20
# What a person has to look at comes first.
ORDER = ("failed", "diverged", "interrupted", "running", "queued")


def unfinished(names: Mapping[str, str], found: Mapping[str, State]) -> list[str]:
    """Lines about those of ``found`` that are not finished, called as in ``names``.

    Failures come first, what failed most often above the rest. More runs than ``LINES`` are
    counted by status and reason, with the first of each; a reason that stands alone is a line.
    """
    groups = sorted(_by_reason(found), key=lambda ids: (_rank(found[ids[0]]), -len(ids)))
    single = sum(map(len, groups)) <= LINES
    lines = []
    for ids in groups if single else groups[:LINES]:
        if single or len(ids) == 1:
            lines += [_line(names[run_id], run_id, found[run_id]) for run_id in ids]
        else:
            lines.append(_counted(names[ids[0]], ids, found[ids[0]]))
    left = [] if single else groups[LINES:]
    if left:
        lines.append(f"  and {sum(map(len, left))} runs for {len(left)} other reasons")
    return lines


def _by_reason(found: Mapping[str, State]) -> list[list[str]]:
    """Runs of the same status and reason; "at step 7" and "at step 8" are one reason."""
    groups: dict[tuple[str, str], list[str]] = {}
    for run_id, state in found.items():
        if state.status != "finished":
            reason = re.sub(r"\d+", "#", state.reason or "")
            groups.setdefault((state.status, reason), []).append(run_id)
    return list(groups.values())


def _rank(state: State) -> int:
    return ORDER.index(state.status) if state.status in ORDER else len(ORDER)


def _line(name: str, run_id: str, state: State) -> str:
    why = f": {state.reason}" if state.reason else ""
    return f"  {state.status:<11} {name} [{run_id}]{_at(state)}{why}"


def _counted(name: str, ids: list[str], state: State) -> str:
    why = f": {state.reason}" if state.reason else ""
    return f"  {state.status:<11} {len(ids)} runs{why} (the first is {name} [{ids[0]}]{_at(state)})"


def _at(state: State) -> str:
    return f" at step {state.step}/{state.steps}" if state.steps else ""

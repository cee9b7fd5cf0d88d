"""What `segloss status` says of the runs that are not finished: line by line, or by reason."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bench.runs.rundir import State

# As many lines as a screen holds beside the counts and the prompt.
LINES = 20
# What a person has to look at comes first.
ORDER = ("failed", "diverged", "interrupted", "running", "queued")


def unfinished(
    names: Mapping[str, str], found: Mapping[str, State], limit: int = LINES
) -> list[str]:
    """Lines about those of ``found`` that are not finished, called as in ``names``.

    Failures come first, what failed most often above the rest. More runs than ``limit`` are
    counted by status and reason, with the first of each; a reason that stands alone is a line.
    """
    groups = sorted(_by_reason(found), key=lambda ids: (_rank(found[ids[0]]), -len(ids)))
    single = sum(map(len, groups)) <= limit
    lines = []
    for ids in groups if single else groups[:limit]:
        if single or len(ids) == 1:
            lines += [_line(names[run_id], run_id, found[run_id]) for run_id in ids]
        else:
            lines.append(_counted(names[ids[0]], ids, found[ids[0]]))
    left = [] if single else groups[limit:]
    if left:
        lines.append(f"  and {sum(map(len, left))} runs for {len(left)} other reasons")
    return lines


def _by_reason(found: Mapping[str, State]) -> list[list[str]]:
    """Runs of the same status and reason; "at step 7" and "at step 8" are one reason."""
    groups: dict[tuple[str | None, ...], list[str]] = {}
    for run_id, state in found.items():
        if state.status != "finished":
            reason = re.sub(r"\d+", "#", state.reason or "")
            groups.setdefault((state.status, state.failure, reason), []).append(run_id)
    return list(groups.values())


def _rank(state: State) -> int:
    return ORDER.index(state.status) if state.status in ORDER else len(ORDER)


def _line(name: str, run_id: str, state: State) -> str:
    return f"  {state.status:<11} {name} [{run_id}]{_at(state)}{why(state)}"


def _counted(name: str, ids: list[str], state: State) -> str:
    first = f"{name} [{ids[0]}]{_at(state)}"
    return f"  {state.status:<11} {len(ids)} runs{why(state)} (the first is {first})"


def why(state: State) -> str:
    """Class of the failure and reason, such as ": oom: no memory for 2 GiB"; empty without."""
    return "".join(f": {part}" for part in (state.failure, state.reason) if part)


def _at(state: State) -> str:
    return f" at step {state.step}/{state.steps}" if state.steps else ""

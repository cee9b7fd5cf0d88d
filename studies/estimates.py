"""How long a night will take yet, judged by what has finished and by what runs."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from bench.manifest import Manifest, Row
from bench.runs.rundir import State, run_dir

# Results of so many runs of a row say what its next one costs.
ENOUGH = 3
START_SECONDS = 5.0


@dataclass(frozen=True)
class Work:
    """What one worker does: a training, or the evaluations of one pass."""

    kind: tuple[str, bool]
    """What is held equal, and whether it is an evaluation."""
    row: object
    run_ids: tuple[str, ...]


@dataclass(frozen=True)
class Left:
    """Seconds to the end of the night, and how many jobs nothing is known of."""

    seconds: float
    unknown: int


def works(found: Iterable[Manifest]) -> list[Work]:
    """The distinct jobs of studies; a run of two rows is in one of them."""
    groups: dict[Any, list[str]] = {}
    seen: set[str] = set()
    for manifest in found:
        for row in manifest.rows.values():
            key = _kind(manifest, row), _row_key(row)
            for seed, run_id in zip(manifest.seeds, row.run_ids, strict=True):
                if run_id not in seen:
                    seen.add(run_id)
                    groups.setdefault((*key, seed), []).append(run_id)
    return [Work(kind, row, tuple(ids)) for (kind, row, _), ids in groups.items()]


class Eta:
    """What jobs cost, learned from results and from progress."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.manifests: list[Manifest] = []
        self.jobs: list[Work] = []
        self.costs: dict[object, list[float]] = defaultdict(list)
        self.learned: set[str] = set()
        self.first_seen: dict[str, State] = {}

    def know(self, found: list[Manifest]) -> None:
        """Take the studies that the night is made of."""
        if found is not self.manifests:
            self.manifests, self.jobs = found, works(found)

    def left(self, states: Mapping[str, State]) -> Left | None:
        """What is left at the pace of as many workers as run now; None while none runs."""
        running = {i: state for i, state in states.items() if state.status == "running"}
        if not running:
            return None
        self._learn(states)
        for run_id, state in running.items():
            if state.step > 0:
                self.first_seen.setdefault(run_id, state)
        paces = self._paces(running)
        each, unknown = [], 0
        for work in self.jobs:
            if any(states[i].status in ("queued", "running") for i in work.run_ids):
                seconds = self._seconds(work, paces)
                if seconds is None:
                    unknown += 1
                else:
                    each.append(seconds * _share(work, states))
        if not each:
            return None
        workers = len({(s.lease.host, s.lease.pid) for s in running.values() if s.lease})
        return Left(max(sum(each) / max(1, workers), max(each)), unknown)

    def _seconds(self, work: Work, paces: Mapping[object, float]) -> float | None:
        known = self.costs[work.row] or self.costs[work.kind]
        seconds = fmean(known) if known else paces.get(work.kind)
        return None if seconds is None else seconds + START_SECONDS

    def _learn(self, states: Mapping[str, State]) -> None:
        for work in self.jobs:
            run_id = work.run_ids[-1]
            if states[run_id].status != "finished" or run_id in self.learned:
                continue
            self.learned.add(run_id)
            if len(self.costs[work.row]) < ENOUGH:
                result = run_dir(self.root, run_id).result()
                cost = (result or {}).get("cost", {})
                training = 0.0 if work.kind[1] else cost.get("train_s", 0.0)
                if seconds := training + cost.get("evaluate_s", 0.0):
                    self.costs[work.row].append(seconds)
                    self.costs[work.kind].append(seconds)

    def _paces(self, running: Mapping[str, State]) -> dict[object, float]:
        """Seconds of a training of each kind, by the steps seen since the watch began."""
        seen: dict[object, list[float]] = defaultdict(list)
        for work in self.jobs:
            first, now = (d.get(work.run_ids[0]) for d in (self.first_seen, running))
            if first and now and now.step > first.step and not work.kind[1]:
                pace = (now.updated - first.updated) / (now.step - first.step)
                seen[work.kind].append(pace * now.steps)
        return {kind: fmean(seconds) for kind, seconds in seen.items()}


def clock(seconds: float) -> str:
    """Hours and minutes of a span and the time of its end, such as "1 h 05 min, until 04:30"."""
    minutes = round(seconds / 60)
    span = f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"
    until = time.strftime("%H:%M", time.localtime(time.time() + seconds))
    return f"{span if minutes else f'{seconds:.0f} s'}, until {until}"


def _kind(manifest: Manifest, row: Row) -> tuple[str, bool]:
    return manifest.comparison_key, any(key.startswith("crf.") for key in row.settings)


def _row_key(row: Row) -> object:
    """What a row's cost depends on; all step counts of a CRF come out of one pass."""
    return frozenset((key, value) for key, value in row.settings.items() if key != "crf.steps")


def _share(work: Work, states: Mapping[str, State]) -> float:
    state = states[work.run_ids[0]]
    if work.kind[1] or not state.steps:
        return 1.0
    return 1 - state.step / state.steps

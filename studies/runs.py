"""The runs of a root: the names that people have for them, and where they stand, kept up to date.

A name is an id, the start of one, or a row's label. A watcher reads only what may have changed.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

from bench.errors import RootError, SpecError, nearest
from bench.files import read_json
from bench.manifest import Manifest, manifests
from bench.runs.rundir import RunDir, State, run_dir
from studies.ledger import DONE, Holder, current_state, holder

LISTED = 8
# New run directories that belong to no row are rare.
RESCAN_SECONDS = 10.0


@dataclass(frozen=True)
class RunName:
    """A run and what it is called."""

    run_id: str
    label: str
    seed: int
    other_labels: tuple[str, ...] = ()
    """Labels of other rows that share it."""

    @property
    def labels(self) -> tuple[str, ...]:
        """All of its labels."""
        return (self.label, *self.other_labels)

    def __str__(self) -> str:
        return f"{self.label}, seed {self.seed}"


def run_names(root: Path) -> dict[str, RunName]:
    """Every run of the root by its id; raises RootError where there is no study."""
    rows = row_names(manifests(root))
    return rows | other_names(root, rows)


def row_names(found: list[Manifest]) -> dict[str, RunName]:
    """The runs of all rows; one that is in several is called as in the first."""
    named: dict[str, RunName] = {}
    for manifest in found:
        for row in manifest.rows.values():
            for seed, run_id in zip(manifest.seeds, row.run_ids, strict=True):
                run = named.setdefault(run_id, RunName(run_id, row.label, seed))
                if row.label not in run.labels:
                    named[run_id] = replace(run, other_labels=(*run.other_labels, row.label))
    return named


def other_names(root: Path, known: dict[str, RunName]) -> dict[str, RunName]:
    """Run directories of no row, such as a training that only feeds an evaluation."""
    folders = (root / "runs").iterdir() if (root / "runs").is_dir() else ()
    found = {}
    for run_id in sorted({folder.name for folder in folders} - known.keys()):
        spec = read_json(run_dir(root, run_id).path / "spec.json")
        if isinstance(spec, dict):
            loss = spec.get("loss") or {}
            found[run_id] = RunName(run_id, str(loss.get("name", "?")), int(spec.get("seed", 0)))
    return found


def find_run(runs: dict[str, RunName], text: str, seed: int | None = None) -> RunName:
    """The one run that ``text`` names; raises SpecError for none or several."""
    if text in runs:
        return runs[text]
    wanted = [run for run in runs.values() if seed is None or run.seed == seed]
    found = [run for run in wanted if text in run.labels]
    lower = text.lower()
    found = found or [run for run in wanted if lower in map(str.lower, run.labels)]
    found = found or [run for run in wanted if text and run.run_id.startswith(text)]
    if len(found) > 1:
        raise SpecError(_several(text, found))
    if not found:
        raise SpecError(_unknown(runs, text, seed))
    return found[0]


def _several(text: str, found: list[RunName]) -> str:
    listed = "; ".join(f"{run} [{run.run_id}]" for run in found[:LISTED])
    more = f"; and {len(found) - LISTED} more" if len(found) > LISTED else ""
    way = (
        "--seed"
        if any(text.lower() == label.lower() for label in found[0].labels)
        else "more of the id"
    )
    return f"{text!r} names {len(found)} runs: {listed}{more}. Give {way}"


def _unknown(runs: dict[str, RunName], text: str, seed: int | None) -> str:
    labels = dict.fromkeys(label for run in runs.values() for label in run.labels)
    if seed is not None and text in labels:
        seeds = sorted({run.seed for run in runs.values() if text in run.labels})
        return f"{text} has no seed {seed}; it has {', '.join(map(str, seeds[:LISTED]))}"
    known = {name.lower(): name for name in [*runs, *labels]}
    if near := nearest(text.lower(), known):
        return f"unknown run {text!r}; did you mean {known[near]!r}?"
    listed = ", ".join(list(labels)[:LISTED])
    return f"unknown run {text!r}; rows are {listed}{', …' if len(labels) > LISTED else ''}"


@dataclass(frozen=True)
class Change:
    """A run's status before (None: it is new) and now."""

    run: RunName
    before: State | None
    state: State


class RootMonitor:
    """Studies of a root, their runs, and who runs them."""

    def __init__(self, root: Path) -> None:
        """Read everything once; raises RootError where there is no study and no night."""
        self.root = root
        self.manifests: list[Manifest] = []
        self.rows: dict[str, RunName] = {}
        self.other_runs: dict[str, RunName] = {}
        self.states: dict[str, State] = {}
        self.holder: Holder | None = None
        self._roots: dict[str, Path] = {}
        self._directories: dict[str, RunDir] = {}
        self._stamps: dict[str, int] = {}
        self._study_stamps: dict[Path, int] = {}
        self._scanned = -RESCAN_SECONDS
        self.refresh()
        if not self.manifests and self.holder is None:
            raise RootError(
                f"{root}: no study was run here; start one with segloss run, or give --root"
            )

    @property
    def runs(self) -> dict[str, RunName]:
        """Every run by its id, those of rows first."""
        return self.rows | self.other_runs

    @property
    def running(self) -> dict[str, State]:
        """The runs that a living worker has."""
        return {i: state for i, state in self.states.items() if state.status == "running"}

    @property
    def is_over(self) -> bool:
        """Whether no scheduler lives and nothing runs."""
        return self.holder is None and not self.running

    def refresh(self) -> list[Change]:
        """Read what may have changed; returns the changes of status since the last time."""
        self.holder = holder(self.root)
        self._find_runs()
        changes = []
        for run_id, run in self.runs.items():
            before = self.states.get(run_id)
            if before is not None and before.status in DONE:
                continue
            state = self._read(run_id, before)
            self.states[run_id] = state
            if before is None or before.status != state.status:
                changes.append(Change(run, before, state))
        return changes

    def _read(self, run_id: str, before: State | None) -> State:
        """The run's state; one that does not run is read again only when it was written."""
        if before is None:
            self._directories[run_id] = run_dir(self._roots.get(run_id, self.root), run_id)
        directory = self._directories[run_id]
        if before is None or before.status != "running":
            stamp = _stamp(directory)
            if before is not None and stamp == self._stamps[run_id]:
                return before
            self._stamps[run_id] = stamp
        return current_state(directory)

    def _find_runs(self) -> None:
        studies = {
            path: path.stat().st_mtime_ns for path in sorted((self.root / "studies").glob("*.json"))
        }
        late = time.monotonic() - self._scanned > RESCAN_SECONDS
        if studies != self._study_stamps:
            self._study_stamps = studies
            self.manifests = manifests(self.root) if studies else []
            self.rows = row_names(self.manifests)
        elif not late:
            return
        self._scanned = time.monotonic()
        self.other_runs = other_names(self.root, self.rows) | self._find_canaries()
        known = self.rows.keys() | self.other_runs.keys()
        self.states = {i: state for i, state in self.states.items() if i in known}

    def _find_canaries(self) -> dict[str, RunName]:
        """The canaries of the code that ran last."""
        folders = (self.root / "canaries").glob("*/runs")
        runs = max(folders, key=lambda path: path.stat().st_mtime, default=None)
        if runs is None:
            return {}
        found = other_names(runs.parent, {})
        self._roots = dict.fromkeys(found, runs.parent)
        return {i: RunName(i, f"canary {run.label}", run.seed) for i, run in found.items()}


def _stamp(directory: RunDir) -> int:
    """When the state was last written; 0 if never."""
    try:
        return os.stat(f"{directory.path}/state.json").st_mtime_ns  # noqa: PTH116 (10,000 times)
    except OSError:
        return 0

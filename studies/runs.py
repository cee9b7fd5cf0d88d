"""The runs of a root: their names, and a monitor of their states.

A user names a run by its id, the start of its id, or the label of its row.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import RootError, SpecError, nearest
from bench.files import read_json
from bench.manifest import Manifest, manifests
from bench.runs.rundir import RunDir, State, run_dir
from studies.ledger import DONE, Holder, current_state, holder

if TYPE_CHECKING:
    from studies.plan import Plan

LISTED = 8
"""Largest number of runs or labels in a message."""
CANARY = "canary "
"""Beginning of the name of a canary."""
RESCAN_SECONDS = 10.0
"""Time between scans for run directories outside all rows; new ones are rare."""


@dataclass(frozen=True)
class RunName:
    """The name of a run: the label of its row, and its seed."""

    run_id: str
    label: str
    seed: int
    other_labels: tuple[str, ...] = ()
    """Labels of further rows that share the run."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the labels of all rows that share the run."""
        return (self.label, *self.other_labels)

    def __str__(self) -> str:
        return f"{self.label}, seed {self.seed}"


def run_names(root: Path) -> dict[str, RunName]:
    """Return the name of every run by its id; raises RootError if the root has no study."""
    rows = row_names(manifests(root))
    return rows | other_names(root, rows)


def row_names(studies: list[Manifest]) -> dict[str, RunName]:
    """Return the names of the runs of all rows; ``label`` is that of a run's first row."""
    names: dict[str, RunName] = {}
    for manifest in studies:
        for row in manifest.rows.values():
            for seed, run_id in zip(manifest.seeds, row.run_ids, strict=True):
                run = names.setdefault(run_id, RunName(run_id, row.label, seed))
                if row.label not in run.labels:
                    names[run_id] = replace(run, other_labels=(*run.other_labels, row.label))
    return names


def labels_of(plans: Sequence[Plan]) -> dict[str, str]:
    """Return the label of each run of plans by its id; outside all rows it is the loss's name."""
    rows, labels = row_names([plan.manifest for plan in plans]), {}
    for plan in plans:
        for run_id, spec in plan.specs.items():
            labels[run_id] = rows[run_id].label if run_id in rows else spec.loss.label
    return labels


def other_names(root: Path, known: dict[str, RunName]) -> dict[str, RunName]:
    """Return the names of runs outside all rows, such as the training of an evaluation.

    Args:
        root: the output folder.
        known: the names of the runs of rows, by id.
    """
    folders = (root / "runs").iterdir() if (root / "runs").is_dir() else ()
    names = {}
    for run_id in sorted({folder.name for folder in folders} - known.keys()):
        spec = read_json(run_dir(root, run_id).path / "spec.json")
        if isinstance(spec, dict):
            loss = spec.get("loss") or {}
            names[run_id] = RunName(run_id, str(loss.get("name", "?")), int(spec.get("seed", 0)))
    return names


def find_run(runs: dict[str, RunName], text: str, seed: int | None = None) -> RunName:
    """Return the run that a user means.

    Args:
        runs: the names of all runs by id.
        text: an id, the start of an id, or a label; case matters only if two labels differ by it.
        seed: the seed of the run; None if the text is enough.

    Raises:
        SpecError: ``text`` names no run, or several.
    """
    if text in runs:
        return runs[text]
    candidates = [run for run in runs.values() if seed is None or run.seed == seed]
    matches = [run for run in candidates if text in run.labels]
    lower = text.lower()
    matches = matches or [run for run in candidates if lower in map(str.lower, run.labels)]
    matches = matches or [run for run in candidates if text and run.run_id.startswith(text)]
    if len(matches) > 1:
        raise SpecError(_several(text, matches))
    if not matches:
        raise SpecError(_unknown(runs, text, seed))
    return matches[0]


def _several(text: str, matches: list[RunName]) -> str:
    listed = "; ".join(f"{run} [{run.run_id}]" for run in matches[:LISTED])
    more = f"; and {len(matches) - LISTED} more" if len(matches) > LISTED else ""
    way_out = (
        "--seed"
        if any(text.lower() == label.lower() for label in matches[0].labels)
        else "more of the id"
    )
    return f"{text!r} names {len(matches)} runs: {listed}{more}. Give {way_out}"


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
    """The state of a run now and before; ``before`` is None for a new run."""

    run: RunName
    before: State | None
    state: State


class RootMonitor:
    """Follows the studies, runs and scheduler of a root; each refresh reads changed files only."""

    def __init__(self, root: Path) -> None:
        """Read everything once; raises RootError if the root has neither study nor session."""
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
        """Return the name of every run by its id, runs of rows first."""
        return self.rows | self.other_runs

    @property
    def running(self) -> dict[str, State]:
        """Return the states of the running runs by id."""
        return {i: state for i, state in self.states.items() if state.status == "running"}

    @property
    def is_over(self) -> bool:
        """Return whether no session is active and no run is running."""
        return self.holder is None and not self.running

    def refresh(self) -> list[Change]:
        """Read the changed files; return the changes of status since the last call."""
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
        """Return a run's state; unless it was running, read it only if its file has changed."""
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
        """Read changed manifests; scan for runs outside all rows every RESCAN_SECONDS."""
        stamps = {
            path: path.stat().st_mtime_ns for path in sorted((self.root / "studies").glob("*.json"))
        }
        scan_is_due = time.monotonic() - self._scanned > RESCAN_SECONDS
        if stamps != self._study_stamps:
            self._study_stamps = stamps
            self.manifests = manifests(self.root) if stamps else []
            self.rows = row_names(self.manifests)
        elif not scan_is_due:
            return
        self._scanned = time.monotonic()
        self.other_runs = other_names(self.root, self.rows) | self._find_canaries()
        known = self.rows.keys() | self.other_runs.keys()
        self.states = {i: state for i, state in self.states.items() if i in known}

    def _find_canaries(self) -> dict[str, RunName]:
        """Return the names of the canaries in the folder that changed last."""
        folders = (self.root / "canaries").glob("*/runs")
        runs = max(folders, key=lambda path: path.stat().st_mtime, default=None)
        if runs is None:
            return {}
        names = other_names(runs.parent, {})
        self._roots = dict.fromkeys(names, runs.parent)
        return {i: RunName(i, f"{CANARY}{run.label}", run.seed) for i, run in names.items()}


def _stamp(directory: RunDir) -> int:
    """Return the modification time of state.json in ns; 0 without the file."""
    try:
        return os.stat(f"{directory.path}/state.json").st_mtime_ns  # noqa: PTH116 (10,000 times)
    except OSError:
        return 0

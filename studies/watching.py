"""Where the runs of a root stand, kept up to date by reading only what may have changed."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from bench.errors import RootError
from bench.manifest import Manifest, manifests
from bench.runs.rundir import RunDir, State, run_dir
from studies.ledger import DONE, Holder, current_state, holder
from studies.run_names import Named, others, rows_of

# New run directories that belong to no row are rare.
OTHERS_SECONDS = 10.0


@dataclass(frozen=True)
class Change:
    """A run's status before (None: it is new) and now."""

    run: Named
    before: State | None
    state: State


class Watched:
    """Studies of a root, their runs, and who runs them."""

    def __init__(self, root: Path) -> None:
        """Read everything once; raises RootError where there is no study and no night."""
        self.root = root
        self.manifests: list[Manifest] = []
        self.rows: dict[str, Named] = {}
        self.others: dict[str, Named] = {}
        self.states: dict[str, State] = {}
        self.holder: Holder | None = None
        self._homes: dict[str, Path] = {}
        self._directories: dict[str, RunDir] = {}
        self._stamps: dict[str, int] = {}
        self._studies: dict[Path, int] = {}
        self._looked = -OTHERS_SECONDS
        self.refresh()
        if not self.manifests and self.holder is None:
            raise RootError(
                f"{root}: no study was run here; start one with segloss run, or give --root"
            )

    @property
    def runs(self) -> dict[str, Named]:
        """Every run by its id, those of rows first."""
        return self.rows | self.others

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
            self._directories[run_id] = run_dir(self._homes.get(run_id, self.root), run_id)
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
        late = time.monotonic() - self._looked > OTHERS_SECONDS
        if studies != self._studies:
            self._studies = studies
            self.manifests = manifests(self.root) if studies else []
            self.rows = rows_of(self.manifests)
        elif not late:
            return
        self._looked = time.monotonic()
        self.others = others(self.root, self.rows) | self._find_canaries()
        known = self.rows.keys() | self.others.keys()
        self.states = {i: state for i, state in self.states.items() if i in known}

    def _find_canaries(self) -> dict[str, Named]:
        """The canaries of the code that ran last."""
        folders = (self.root / "canaries").glob("*/runs")
        runs = max(folders, key=lambda path: path.stat().st_mtime, default=None)
        if runs is None:
            return {}
        found = others(runs.parent, {})
        self._homes = dict.fromkeys(found, runs.parent)
        return {i: Named(i, f"canary {run.label}", run.seed) for i, run in found.items()}


def _stamp(directory: RunDir) -> int:
    """When the state was last written; 0 if never."""
    try:
        return os.stat(f"{directory.path}/state.json").st_mtime_ns  # noqa: PTH116 (10,000 times)
    except OSError:
        return 0

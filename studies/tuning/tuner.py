"""Tuner: the trials of a tuning, which are ordinary runs on the tuning split.

A trial is a row of the tuning's manifest, which is written to the root before the trial's runs
start. A tuning that was killed therefore continues with the same trials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.manifest import Manifest, Row, recall
from bench.profile import Profile
from bench.runs.rundir import run_dir
from bench.search_space import SearchSpec
from bench.spec import Scalar
from studies.ledger import DONE
from studies.plan import Plan, ResolveLoss, plan
from studies.schema import Study, TableDefinition
from studies.tuning.crf_search import given_up
from studies.tuning.sampler import OptunaCopy, Trial, propose
from studies.tuning.search import first_values, pinned, row, without_warnings

Values = dict[str, Scalar]
AHEAD = 4
"""The number of earlier trials that may still be open when a trial is proposed.

Fixed, so that proposals do not depend on the number of workers or on the order in which runs end.
"""


@dataclass(frozen=True)
class Tuner:
    """Plans the trials of one tuning; holds no state besides the root's."""

    study: Study
    profile: Profile
    """The fixed settings, evaluated on the tuning split."""
    names: tuple[str, str]
    """The names of the tuning and of the profile."""
    searches: tuple[SearchSpec, ...]
    seeds: int
    """Seeds per trial."""
    root: Path
    resolve: ResolveLoss

    def first_plan(self) -> Plan:
        """Return the plan of the trials in the root's manifest and of those that can be added."""
        known = recall(self.root, *self.names)
        values = {s.method: self._remembered(s, known) or [s.own] for s in self.searches}
        begun = self._plan(values)
        return self.extend(begun) or begun

    def extend(self, before: Plan) -> Plan | None:
        """Return the plan with the trials that can be added now, or None if none can."""
        added = False
        values: dict[str, list[Values]] = {}
        for search in self.searches:
            trials = self.trials(search, before.manifest)
            values[search.method] = [trial.values for trial in trials]
            while (found := self._next(search, trials)) is not None:
                trials.append(Trial(found))
                values[search.method].append(found)
                added = True
        return self._plan(values) if added else None

    def trials(self, search: SearchSpec, manifest: Manifest) -> list[Trial]:
        """Return the trials of one method in their order, with their results from the ledger."""
        tables = [table for table in manifest.tables if table.key == search.method]
        return [self._trial(search, row) for table in tables for row in table.rows]

    def copies(self, storage: str, *, rebuild: bool) -> list[OptunaCopy]:
        """Return Optuna's copies, one per method; raises RootError if one cannot be used."""
        owner, name = str(self.root), "/".join(self.names)
        return [
            OptunaCopy(storage, f"{name}/{search.method}", owner, rebuild=rebuild)
            for search in self.searches
        ]

    def _next(self, search: SearchSpec, trials: Sequence[Trial]) -> Values | None:
        number = len(trials)
        if number >= search.trials:
            return None
        first = first_values(search.spaces, search.own)
        untried = [v for v in first if all(trial.values != v for trial in trials)]
        if untried:
            return untried[0]
        if not all(trial.over for trial in trials[:-AHEAD]):
            return None
        # Some of the last trials may be over already; which ones depends on chance, so all of
        # them count as open.
        open_trials = [replace(trial, over=False, score=None) for trial in trials[-AHEAD:]]
        return propose(search.spaces, [*trials[:-AHEAD], *open_trials], seed=number)

    def _remembered(self, search: SearchSpec, known: Manifest | None) -> list[Values]:
        """Return the values of the manifest's trials that lie in the spaces."""
        tables = [t for t in known.tables if t.key == search.method] if known else []
        rows = [row for table in tables for row in table.rows]
        found = [
            _values(search, row) for row in rows if search.spaces.keys() <= row.settings.keys()
        ]
        return [v for v in found if all(s.holds(v[name]) for name, s in search.spaces.items())]

    def _trial(self, search: SearchSpec, row: Row) -> Trial:
        directories = [run_dir(self.root, run_id) for run_id in row.run_ids]
        values = _values(search, row)
        facts = {f"seed {seed}": run_id for seed, run_id in enumerate(row.run_ids)}
        notes = [note for note in map(given_up, directories) if note]
        if len(notes) == len(directories):
            return Trial(values, True, notes[0]["score"], facts, given_up=True)
        over = all(directory.state().status in (*DONE, "failed") for directory in directories)
        results = [result for directory in directories if (result := directory.result())]
        scores = [result["metrics"][self.profile.metric] for result in results]
        whole = over and len(scores) == len(directories)
        return Trial(values, over, sum(scores) / len(scores) if whole else None, facts)

    def _plan(self, values: Mapping[str, Sequence[Values]]) -> Plan:
        tables = {
            search.method: TableDefinition(
                title=f"{search.method}: trials in their order",
                columns=(*search.spaces, *(["train_s"] if search.trains else []), "miou"),
                rows=tuple(row(search, v) for v in values[search.method]),
            )
            for search in self.searches
        }
        study = pinned(self.study).model_copy(update={"tables": tables})
        resolve = without_warnings(self.resolve)
        made = plan(
            study, self.profile, names=self.names, seeds=self.seeds, resolve=resolve, role="tune"
        )
        return replace(made, manifest=made.manifest.model_copy(update={"search": self.searches}))


def _values(search: SearchSpec, row: Row) -> Values:
    """Return the settings of a row that are searched, in the order of the spaces."""
    return {name: row.settings[name] for name in search.spaces}

"""Tuning: Optuna proposes values of one option, the ledger runs them and owns the results.

The only file that imports optuna. Trials are ordinary runs on the profile's tuning splits, with
the same seeds for every value; Optuna's database is a cache that the ledger can refill.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import optuna
from optuna.trial import TrialState

from bench.errors import RootError, SpecError
from bench.manifest import Manifest
from bench.profile import Profile
from bench.rundir import run_dir
from bench.spec import digest
from studies.ledger import DONE
from studies.plan import Plan, ResolveLoss, plan
from studies.schema import RowDefinition, Study, TableDefinition

# Proposals finer than this differ by less than the noise between seeds, and read badly.
DECIMALS = 3


@dataclass(frozen=True)
class Trial:
    """One value tried: the headline metric of each seed, in [0, 1]."""

    value: float
    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return sum(self.scores) / len(self.scores)


class Tuner:
    """Proposes plans and hears their results; kill it and make it anew, and it goes on."""

    def __init__(
        self,
        study: Study,
        profile: Profile,
        *,
        names: tuple[str, str],
        seeds: int,
        root: Path,
        resolve: ResolveLoss,
    ) -> None:
        if study.search is None:
            raise SpecError(f"study {names[0]!r} has no [search] section: nothing to tune")
        self.study, self.search = study, study.search
        self.profile = profile.for_tuning()
        self.names = (f"{names[0]}-tune", names[1])
        self.seeds, self.root, self.resolve = seeds, root, resolve
        self.parameter = self.search.parameter
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # Another recipe, split, method, range or number of seeds is another question.
        ends = self._plan([self.search.low, self.search.high])
        question = f"{'/'.join(self.names)}/{self.parameter}/{digest(sorted(ends.specs))}"
        self.optuna = _open(root / "optuna.db", question)
        for value in self.search.first:
            self.optuna.enqueue_trial({self.parameter: value}, skip_if_exists=True)

    def propose(self, trials: int, *, at_once: int) -> Plan | None:
        """The next values as a plan, those left over from a killed night first; None when done."""
        self.tell()
        values = [self._value(trial) for trial in self._started() if not self._over(trial)]
        known = len(self._started())
        while known < trials and len(values) * self.seeds < at_once:
            values.append(self._ask())
            known += 1
        if not values:
            return None
        return replace(self._plan(values), manifest=self.manifest())

    def tell(self) -> None:
        """Tell Optuna the result of every running trial whose runs are over."""
        for trial in self.optuna.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if self.parameter not in trial.params:
                # Killed between asking and the answer: nothing was tried.
                self.optuna.tell(trial.number, state=TrialState.FAIL)
            elif self._over(trial):
                scores = self._scores(self._value(trial))
                if scores:
                    self.optuna.tell(trial.number, sum(scores) / len(scores))
                else:
                    self.optuna.tell(trial.number, state=TrialState.FAIL)

    def trials(self) -> list[Trial]:
        """Trials of which every seed is finished, by value."""
        values = {self._value(trial) for trial in self._started()}
        found = (Trial(value, self._scores(value)) for value in sorted(values))
        return [trial for trial in found if trial.scores]

    def manifest(self) -> Manifest:
        """All trials as one table, for the store and the report."""
        return self._plan(sorted({self._value(trial) for trial in self._started()})).manifest

    def _ask(self) -> float:
        # Seeded by the trial's number: a killed night goes on to propose what it would have.
        number = len(self.optuna.get_trials(deepcopy=False))
        self.optuna.sampler = optuna.samplers.TPESampler(seed=number)
        trial = self.optuna.ask()
        trial.suggest_float(self.parameter, self.search.low, self.search.high)
        return self._value(self.optuna.get_trials(deepcopy=False)[trial.number])

    def _started(self) -> list[optuna.trial.FrozenTrial]:
        """Trials that have a value, whatever became of them."""
        every = self.optuna.get_trials(deepcopy=False)
        return [trial for trial in every if self.parameter in trial.params]

    def _over(self, trial: optuna.trial.FrozenTrial) -> bool:
        """Whether no run of the trial is left to be done."""
        if trial.state == TrialState.FAIL:
            return True
        states = (run_dir(self.root, i).state() for i in self._run_ids(self._value(trial)))
        return all(state.status in (*DONE, "failed") for state in states)

    def _value(self, trial: optuna.trial.FrozenTrial) -> float:
        return round(trial.params[self.parameter], DECIMALS)

    def _plan(self, values: list[float]) -> Plan:
        option = self.parameter.removeprefix("loss.")
        table = TableDefinition(
            title=f"{self.study.title}: values tried on split {self.profile.data.evaluate!r}",
            columns=(self.parameter, "miou"),
            rows=(RowDefinition(method=self.search.method, loss={option: tuple(values)}),),
            x=self.parameter,
        )
        study = self.study.model_copy(update={"tables": {"tune": table}})
        return plan(study, self.profile, names=self.names, seeds=self.seeds, resolve=self.resolve)

    def _run_ids(self, value: float) -> tuple[str, ...]:
        return self._plan([value]).manifest.tables[0].rows[0].run_ids

    def _scores(self, value: float) -> tuple[float, ...]:
        """The metric of every seed; empty unless all are finished."""
        results = [run_dir(self.root, run_id).result() for run_id in self._run_ids(value)]
        scores = tuple(r["metrics"][self.profile.metric] if r else math.nan for r in results)
        return () if any(math.isnan(score) for score in scores) else scores


def _open(database: Path, study_name: str) -> optuna.Study:
    try:
        return optuna.create_study(
            direction="maximize",
            study_name=study_name,
            storage=f"sqlite:///{database}",
            load_if_exists=True,
        )
    except Exception as error:  # whatever sqlalchemy makes of a damaged file
        first = str(error).splitlines()[0]
        raise RootError(
            f"{database} cannot be used: {first}; delete it, the runs are safe"
        ) from None

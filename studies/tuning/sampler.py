"""Optuna: the values to try next, its copy of the search, and when to give an evaluation up.

The only file that imports optuna. The state of a trial is in the ledger alone; Optuna's study is a
copy of it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.pool import NullPool

from bench.errors import RootError
from bench.search_space import Space
from bench.spec import Scalar

Values = dict[str, Scalar]
TRIES = 50
"""Samples of TPE that may all repeat earlier trials before the space counts as used up."""
P_PRUNED = 0.1
"""The p-value of Wilcoxon's test below which an evaluation is given up as worse."""

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class Trial:
    """The values of one trial, and its result."""

    values: Values
    over: bool = False
    score: float | None = None
    """The headline metric; None while the trial runs, and if it failed."""
    facts: Mapping[str, str] | None = None
    """The run id of each seed, shown in Optuna's study."""
    given_up: bool = False
    """Whether its evaluation was given up; ``score`` is then an estimate from fewer images."""

    @property
    def state(self) -> TrialState:
        """Return the trial's state in Optuna's terms."""
        if not self.over:
            return TrialState.RUNNING
        if self.given_up:
            return TrialState.PRUNED
        return TrialState.FAIL if self.score is None else TrialState.COMPLETE


def propose(spaces: Mapping[str, Space], trials: Sequence[Trial], *, seed: int) -> Values | None:
    """Return the values of the next trial, sampled by TPE.

    The same arguments give the same values, so that a search that was killed continues unchanged.

    Args:
        spaces: the space of each setting.
        trials: the trials so far.
        seed: seed of the sampler.

    Returns:
        Values that no trial has, or None if the space is (nearly) used up.
    """
    tried = {repr(trial.values) for trial in trials}
    for attempt in range(TRIES):
        sampler = optuna.samplers.TPESampler(seed=TRIES * seed + attempt, n_startup_trials=5)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        study.add_trials([_frozen(spaces, trial) for trial in trials])
        params = study.ask(_distributions(spaces)).params
        values = _values(spaces, params)
        if repr(values) not in tried:
            return values
    return None


def open_storage(url: str) -> RDBStorage:
    """Open Optuna's storage; every access opens a connection and closes it."""
    return RDBStorage(url, engine_kwargs={"poolclass": NullPool})


class OptunaCopy:
    """Optuna's study of one search: a copy for dashboards and other tools."""

    def __init__(self, storage: str, name: str, owner: str, *, rebuild: bool = False) -> None:
        """Open or create Optuna's study.

        Args:
            storage: an Optuna URL.
            name: the name of Optuna's study.
            owner: the root that the copy is made of.
            rebuild: whether to delete what the study holds first.

        Raises:
            RootError: the storage cannot be used, or the study is a copy of another root.
        """
        self.storage, self.name, self.owner = storage, name, owner
        with _storage_errors(storage):
            self.opened = open_storage(storage)
            self.study = self._open()
            known = self.study.user_attrs.get("owner", owner)
            if rebuild or self.study.user_attrs.get("owner") is None:
                self._remake()
            elif storage.startswith(f"sqlite:///{owner}/"):  # the root's own file moves with it
                self.study.set_user_attr("owner", owner)
                known = owner
        if known != owner and not rebuild:
            raise RootError(
                f"{storage}: its study {name!r} is a copy of {known}; choose another --storage, or "
                "recreate the study from this root with --rebuild"
            )

    def write(self, spaces: Mapping[str, Space], trials: Sequence[Trial]) -> None:
        """Bring the study up to date; recreate it if it contradicts ``trials``."""
        with _storage_errors(self.storage):
            if not self._begins(spaces, trials):
                self._remake()
            distributions = _distributions(spaces)
            for number, trial in enumerate(trials):
                stored = self.study.get_trials(deepcopy=False)
                if number == len(stored):
                    facts = dict(trial.facts or {})
                    self.study.enqueue_trial(_params(spaces, trial.values), user_attrs=facts)
                    self.study.ask(distributions)
                elif stored[number].state == trial.state:
                    continue
                if trial.over:
                    score = trial.score if trial.state == TrialState.COMPLETE else None
                    self.study.tell(number, score, state=trial.state)

    def _begins(self, spaces: Mapping[str, Space], trials: Sequence[Trial]) -> bool:
        """Return whether the stored trials are an earlier state of ``trials``."""
        stored = self.study.get_trials(deepcopy=False)
        return len(stored) <= len(trials) and all(
            theirs.distributions == _distributions(spaces)
            and theirs.params == _params(spaces, ours.values)
            and (theirs.state == TrialState.RUNNING or theirs.state == ours.state)
            and (theirs.value is None or theirs.value == ours.score)
            for theirs, ours in zip(stored, trials, strict=False)
        )

    def _open(self) -> optuna.Study:
        return optuna.create_study(
            study_name=self.name,
            storage=self.opened,
            direction="maximize",
            sampler=optuna.samplers.RandomSampler(seed=0),  # never used: all values are given
            load_if_exists=True,
        )

    def _remake(self) -> None:
        optuna.delete_study(study_name=self.name, storage=self.opened)
        self.study = self._open()
        self.study.set_user_attr("owner", self.owner)


class PairedPruner:
    """Tests whether an evaluation is worse than the best so far, image by image (Wilcoxon)."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            pruner = optuna.pruners.WilcoxonPruner(p_threshold=P_PRUNED)
        sampler = optuna.samplers.RandomSampler(seed=0)
        self.study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)

    def begin(self) -> None:
        """Begin a new evaluation."""
        self.trial = self.study.ask()

    def hopeless(self, scores: Mapping[int, float]) -> bool:
        """Add the scores of more images; return whether the evaluation should be given up."""
        for image, score in scores.items():
            self.trial.report(score, image)
        return self.trial.should_prune()

    def end(self, score: float | None) -> None:
        """End the evaluation with its mean score over all images, or None if it was given up."""
        self.study.tell(self.trial, score, state=TrialState.PRUNED if score is None else None)


@contextmanager
def _storage_errors(storage: str) -> Iterator[None]:
    try:
        yield
    # sqlalchemy raises many kinds for a damaged file or an unreachable server.
    except Exception as error:
        shown = re.sub("//[^/@ ]*@", "//", storage)
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RootError(
            f"Optuna's storage {shown} cannot be used: {reason}; choose another --storage, or "
            "delete this one: the runs are safe, and segloss recreates it from them"
        ) from None


def _distributions(spaces: Mapping[str, Space]) -> dict[str, BaseDistribution]:
    return {_name(name, space): _distribution(space) for name, space in spaces.items()}


def _distribution(space: Space) -> BaseDistribution:
    if space.choices:
        return CategoricalDistribution(space.choices)
    low, high = space.ends
    if space.scale == "log10(1 - x)":
        return FloatDistribution(1 - high, 1 - low, log=True)
    if space.whole:
        return IntDistribution(int(low), int(high), log=space.scale == "log10")
    return FloatDistribution(low, high, log=space.scale == "log10")


def _name(name: str, space: Space) -> str:
    """Return the name in Optuna's study, which has logarithms of x, but not of 1 - x."""
    return f"1 - {name}" if space.scale == "log10(1 - x)" else name


def _params(spaces: Mapping[str, Space], values: Mapping[str, Scalar]) -> dict[str, Scalar]:
    params: dict[str, Scalar] = {}
    for name, space in spaces.items():
        value = values[name]
        flipped = space.scale == "log10(1 - x)"
        params[_name(name, space)] = 1 - float(value) if flipped else value
    return params


def _values(spaces: Mapping[str, Space], params: Mapping[str, Scalar]) -> Values:
    """Return the settings' values from Optuna's, rounded as each space prescribes."""
    values: Values = {}
    for name, space in spaces.items():
        value = params[_name(name, space)]
        value = 1 - float(value) if space.scale == "log10(1 - x)" else value
        values[name] = space.value(space.position(value))
    return values


def _frozen(spaces: Mapping[str, Space], trial: Trial) -> FrozenTrial:
    scored = trial.over and trial.score is not None
    return create_trial(
        params=_params(spaces, trial.values),
        distributions=_distributions(spaces),
        state=TrialState.COMPLETE if scored else trial.state,
        value=trial.score,
    )

"""Optuna: what to try next, its own copy of the search, and when an evaluation is hopeless.

The only file that imports optuna. Nothing here is the truth about a trial: the ledger is.
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
from optuna.trial import FrozenTrial, TrialState, create_trial

from bench.errors import RootError
from bench.search_space import Space
from bench.spec import Scalar

Values = dict[str, Scalar]
# So often another value is asked for before the space counts as used up.
TRIES = 50
P_PRUNED = 0.1
"""An evaluation is given up when so small a share of equals would look as bad."""

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class Trial:
    """Values that are tried, and what came of it; ``score`` is None where nothing did."""

    values: Values
    over: bool = False
    score: float | None = None
    facts: Mapping[str, str] | None = None
    """For whoever looks at Optuna's study: run ids and such."""
    given_up: bool = False
    """Its score is what it would have been, judged by the images it was given up after."""

    @property
    def state(self) -> TrialState:
        """What Optuna calls it."""
        if not self.over:
            return TrialState.RUNNING
        if self.given_up:
            return TrialState.PRUNED
        return TrialState.FAIL if self.score is None else TrialState.COMPLETE


def propose(spaces: Mapping[str, Space], trials: Sequence[Trial], *, seed: int) -> Values | None:
    """Values that no trial has, by TPE; None where (nearly) all have been tried.

    The same arguments give the same values: a search that was killed goes on as it would have.
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


class OptunaCopy:
    """Optuna's study of one search: a copy for dashboards and other tools, made by ask and tell."""

    def __init__(self, storage: str, name: str, owner: str, *, rebuild: bool = False) -> None:
        """Open or create it; raises RootError where it cannot be used.

        Args:
            storage: an Optuna URL.
            name: the study's.
            owner: the root whose ledger decides; a study of another root is refused.
            rebuild: make it anew.
        """
        self.storage, self.name, self.owner = storage, name, owner
        with _storage_errors(storage):
            self.study = self._open()
            known = self.study.user_attrs.get("owner", owner)
            if rebuild or self.study.user_attrs.get("owner") is None:
                self._remake()
        if known != owner and not rebuild:
            raise RootError(
                f"{storage}: its study {name!r} is of {known}; choose another --storage, or make "
                "it anew from this root with --rebuild"
            )

    def write(self, spaces: Mapping[str, Space], trials: Sequence[Trial]) -> None:
        """Bring it up to date; what contradicts ``trials`` is made anew."""
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
        """Whether what is stored can become ``trials`` by asking and telling."""
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
            storage=self.storage,
            direction="maximize",
            sampler=optuna.samplers.RandomSampler(seed=0),  # it is never asked for a value
            load_if_exists=True,
        )

    def _remake(self) -> None:
        optuna.delete_study(study_name=self.name, storage=self.storage)
        self.study = self._open()
        self.study.set_user_attr("owner", self.owner)


class PairedPruner:
    """Says when an evaluation, image by image, is worse than the best so far (Wilcoxon's test)."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            pruner = optuna.pruners.WilcoxonPruner(p_threshold=P_PRUNED)
        sampler = optuna.samplers.RandomSampler(seed=0)
        self.study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)

    def begin(self) -> None:
        """A new evaluation."""
        self.trial = self.study.ask()

    def hopeless(self, scores: Mapping[int, float]) -> bool:
        """Whether it may be given up after these images."""
        for image, score in scores.items():
            self.trial.report(score, image)
        return self.trial.should_prune()

    def end(self, score: float | None) -> None:
        """Its mean over all images, or None where it was given up."""
        self.study.tell(self.trial, score, state=TrialState.PRUNED if score is None else None)


@contextmanager
def _storage_errors(storage: str) -> Iterator[None]:
    try:
        yield
    except (
        Exception
    ) as error:  # whatever sqlalchemy makes of a damaged file or a server that is gone
        shown = re.sub("//[^/@ ]*@", "//", storage)
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RootError(
            f"Optuna's storage {shown} cannot be used: {said}; choose another --storage, or delete "
            "it: the runs are safe, and it is made anew from them"
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
    """Optuna knows logarithms of x, but not of 1 - x."""
    return f"1 - {name}" if space.scale == "log10(1 - x)" else name


def _params(spaces: Mapping[str, Space], values: Mapping[str, Scalar]) -> dict[str, Scalar]:
    params: dict[str, Scalar] = {}
    for name, space in spaces.items():
        value = values[name]
        flipped = space.scale == "log10(1 - x)"
        params[_name(name, space)] = 1 - float(value) if flipped else value
    return params


def _values(spaces: Mapping[str, Space], params: Mapping[str, Scalar]) -> Values:
    """The values of ``params``, rounded as a space's values are."""
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

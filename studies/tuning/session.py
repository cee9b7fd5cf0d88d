"""One tuning from its first trial to its last; its plan and Optuna's copies grow together."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.errors import RootError
from bench.manifest import remember
from bench.spec import RunSpec
from studies.plan import Plan
from studies.schedule import Ending, Interrupts
from studies.tuning.crf_search import CrfSearch, Scorer
from studies.tuning.sampler import Trial
from studies.tuning.tuner import Tuner


class TuningSession:
    """The trials of a tuning as a plan that grows with their results."""

    def __init__(
        self,
        tuner: Tuner,
        storage: str | None = None,
        *,
        rebuild: bool = False,
        admit: Callable[[dict[str, RunSpec]], object] = lambda specs: None,
    ) -> None:
        """Read the trials of the root and bring Optuna's copies up to date.

        Args:
            tuner: decides on the trials.
            storage: Optuna's URL; None for a sqlite file in the root.
            rebuild: whether to recreate Optuna's copies.
            admit: called with the runs of new trials; raises an error if one was finished by
                another study and must not count.

        Raises:
            RootError: Optuna's storage cannot be used.
        """
        self.tuner, self.admit = tuner, admit
        storage = storage or f"sqlite:///{tuner.root}/optuna.db"
        self.copies = tuner.copies(storage, rebuild=rebuild)
        self.copy_error: RootError | None = None
        self._plan = tuner.first_plan()
        self.update_copies()

    @property
    def plan(self) -> Plan:
        """Return the plan of all trials so far."""
        return self._plan

    @property
    def searches_crf_only(self) -> bool:
        """Return whether all trials are evaluations of the same trainings."""
        return len(self.tuner.searches) == 1 and not self.tuner.searches[0].trains

    def grow(self) -> bool:
        """Add the trials that follow from the results so far; return whether there are any."""
        larger = self.tuner.extend(self._plan)
        if larger is None:
            return False
        known = self._plan.specs.keys()
        self.admit({i: spec for i, spec in larger.specs.items() if i not in known})
        self._plan = larger
        remember(self.tuner.root, larger.manifest)
        self.update_copies()
        return True

    def update_copies(self) -> None:
        """Bring Optuna's copies up to date; store an error in ``copy_error`` and continue."""
        self.copy_error = None
        try:
            for copy, search in zip(self.copies, self.tuner.searches, strict=True):
                copy.write(search.spaces, self.tuner.trials(search, self._plan.manifest))
        except RootError as error:
            self.copy_error = error

    def search_crf(self, scorer: Scorer, end: float | None) -> CrfOutcome:
        """Score the trials of a CRF until all are over, a signal arrives or the deadline passes.

        Args:
            scorer: scores a CRF on the images of finished trainings.
            end: the deadline in seconds since the epoch, or None.
        """
        tuner, started, interrupts = self.tuner, time.monotonic(), Interrupts()
        seeds = len(self._plan.manifest.seeds)
        search = CrfSearch(tuner.root, scorer, tuner.profile.metric, seeds)
        remember(tuner.root, self._plan.manifest)
        with interrupts.counted():
            search.run(self, lambda: not interrupts.count and (end is None or time.time() < end))
        trials = tuner.trials(tuner.searches[0], self._plan.manifest)
        ending: Ending = "interrupted" if interrupts.count else "deadline"
        if all(trial.over for trial in trials):
            ending = "done"
        seconds = time.monotonic() - started
        return CrfOutcome(ending, trials, search.scored, search.images_saved, seconds)


@dataclass(frozen=True)
class CrfOutcome:
    """The result of a search of a CRF; ``str`` gives a summary in one line."""

    ending: Ending
    trials: list[Trial]
    scored: int
    """Trials that this session scored."""
    saved: float
    """The share of their images, from 0 to 1, that did not have to be scored."""
    seconds: float

    def __str__(self) -> str:
        given_up = sum(trial.given_up for trial in self.trials)
        saved = f", {self.saved:.0%} of the images saved" if self.scored else ""
        return (
            f"{len(self.trials)} trials, {given_up} given up early; this session scored "
            f"{self.scored} in {self.seconds:.0f} s "
            f"({60 * self.scored / self.seconds:.1f} a minute){saved}"
        )

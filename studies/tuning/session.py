"""One tuning from its first trial to its last: its plan grows, and Optuna's copy follows."""

from __future__ import annotations

import time
from dataclasses import dataclass

from bench.errors import RootError
from bench.manifest import remember
from studies.plan import Plan
from studies.schedule import Ending, Interrupts
from studies.tuning.crf_search import CrfSearch, Scorer
from studies.tuning.sampler import Trial
from studies.tuning.tuner import Tuner


class TuningSession:
    """The trials of a tuning as a plan that grows with their results."""

    def __init__(self, tuner: Tuner, storage: str | None = None, *, rebuild: bool = False) -> None:
        """Take up the trials that the root knows of.

        Args:
            tuner: says which trials there are.
            storage: Optuna's URL; a sqlite file in the root, if None.
            rebuild: make Optuna's copy anew.

        Raises:
            RootError: Optuna's storage cannot be used.
        """
        self.tuner = tuner
        storage = storage or f"sqlite:///{tuner.root}/optuna.db"
        self.copies = tuner.copies(storage, rebuild=rebuild)
        self.copy_error: RootError | None = None
        self._plan = tuner.first_plan()
        self.update_copies()

    @property
    def plan(self) -> Plan:
        """The plan of all trials so far."""
        return self._plan

    @property
    def searches_crf_only(self) -> bool:
        """Whether all trials are evaluations of the same trainings."""
        return len(self.tuner.searches) == 1 and not self.tuner.searches[0].trains

    def grow(self) -> bool:
        """Add the trials that follow from the results so far; return whether there are any."""
        larger = self.tuner.extend(self._plan)
        if larger is None:
            return False
        self._plan = larger
        remember(self.tuner.root, larger.manifest)
        self.update_copies()
        return True

    def update_copies(self) -> None:
        """Bring Optuna's copies up to date; ``copy_error`` keeps an error, which stops nothing."""
        self.copy_error = None
        try:
            for copy, search in zip(self.copies, self.tuner.searches, strict=True):
                copy.write(search.spaces, self.tuner.trials(search, self._plan.manifest))
        except RootError as error:
            self.copy_error = error

    def search_crf(self, scorer: Scorer, end: float | None) -> CrfOutcome:
        """Score the trials of a CRF until all are over, a signal comes or time is up.

        Args:
            scorer: scores a CRF on the images of finished trainings.
            end: when to stop, in seconds since the epoch.
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
    """How a search of a CRF ended; as text, one line that says what it did."""

    ending: Ending
    trials: list[Trial]
    scored: int
    """Trials that were scored now, and not before."""
    saved: float
    """The share of their images that did not have to be scored."""
    seconds: float

    def __str__(self) -> str:
        given_up = sum(trial.given_up for trial in self.trials)
        saved = f", {self.saved:.0%} of the images saved" if self.scored else ""
        return (
            f"{len(self.trials)} trials, {given_up} given up early; now {self.scored} in "
            f"{self.seconds:.0f} s ({60 * self.scored / self.seconds:.1f} a minute){saved}"
        )

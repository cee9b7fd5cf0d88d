"""Search of a CRF's parameters: evaluations only, stopped early if worse image by image."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bench.files import read_json, write_json
from bench.manifest import Row
from bench.runs.rundir import RunDir, run_dir
from bench.seeding import epoch_order
from bench.spec import CRFSpec, RunSpec
from studies.ledger import DONE
from studies.plan import PlanSource
from studies.tuning.sampler import PairedPruner

BLOCK = 8
"""Images between two tests whether to give a trial up.

Fixed, so that the trials given up do not depend on the number of workers.
"""
GIVEN_UP = "given-up.json"
"""File in the directory of a run whose evaluation was given up."""


class Scorer(Protocol):
    """Scores a CRF on pairs of a seed and an image.

    The pairs are numbered: every image of the first seed, then every image of the next.
    """

    @property
    def pairs(self) -> int:
        """Return the number of pairs."""
        ...

    def counts(self, crf: CRFSpec, pairs: Sequence[int]) -> list[Any]:
        """Return the pixel counts of each pair."""
        ...

    def image_score(self, counts: Any) -> float:
        """Return the mean IoU of one image, between 0 and 1."""
        ...

    def score(self, counts: Sequence[Any], metric: str) -> float:
        """Return the headline metric over all the images."""
        ...

    def finish(
        self, directory: RunDir, spec: RunSpec, counts: Sequence[Any], seconds: float
    ) -> None:
        """Write a run's result, as a worker would, and mark the run as finished."""
        ...

    def give_up(
        self, directory: RunDir, spec: RunSpec, images: Sequence[int], counts: Sequence[Any]
    ) -> None:
        """Write the pixel counts of the images that were scored before the trial was given up."""
        ...

    def kept(self, directory: RunDir) -> dict[int, Any]:
        """Return the stored pixel counts of a run by image."""
        ...


@dataclass
class CrfSearch:
    """One search; the first trial has the study's own values and is scored on every image."""

    root: Path
    scorer: Scorer
    metric: str
    seeds: int

    def __post_init__(self) -> None:
        self.pruner = PairedPruner()
        self.order = epoch_order(0, 0, self.scorer.pairs).tolist()
        self.scored = 0
        """Trials that this session has scored."""
        self.images = 0
        """Images that this session has scored, counted in every trial and seed."""
        self.first: dict[int, Any] = {}
        """Pixel counts of the first trial by pair."""

    def run(self, source: PlanSource, may_continue: Callable[[], bool]) -> None:
        """Score every open trial, and those that are proposed from the scores.

        Args:
            source: the plan of the trials, a single table that grows with their scores.
            may_continue: called before each trial; the search ends when it returns False.
        """
        done, has_new_trials = 0, True
        while has_new_trials:
            (table,) = source.plan.manifest.tables
            for row in table.rows[done:]:
                if not may_continue():
                    return
                self._trial(row, [source.plan.specs[run_id] for run_id in row.run_ids])
                done += 1
            has_new_trials = source.grow()

    @property
    def images_saved(self) -> float:
        """Return the share of images, from 0 to 1, that this session did not have to score."""
        return 1 - self.images / (self.scored * self.scorer.pairs) if self.scored else 0.0

    def _trial(self, row: Row, specs: list[RunSpec]) -> None:
        directories = [run_dir(self.root, run_id) for run_id in row.run_ids]
        self.pruner.begin()
        if all(directory.state().status in DONE for directory in directories):
            found = self._kept(directories)
            self.pruner.hopeless(self._by_pair(found))
            self._end(found)
        elif all(given_up(directory) for directory in directories):
            self.pruner.end(None)
        else:
            self._score(directories, specs)

    def _score(self, directories: list[RunDir], specs: list[RunSpec]) -> None:
        crf, started = specs[0].crf, time.monotonic()
        assert crf is not None
        found: dict[int, Any] = {}
        self.scored += 1
        for start in range(0, len(self.order), BLOCK):
            block = self.order[start : start + BLOCK]
            found |= dict(zip(block, self.scorer.counts(crf, block), strict=True))
            self.images += len(block)
            hopeless = self.pruner.hopeless(self._by_pair({pair: found[pair] for pair in block}))
            if hopeless and len(found) < len(self.order):
                self._give_up(directories, specs, found)
                return
        each = (time.monotonic() - started) / len(specs)
        for seed, pair in enumerate(zip(directories, specs, strict=True)):
            mine = self._of_seed(found, seed)
            self.scorer.finish(*pair, [mine[image] for image in sorted(mine)], each)
        self._end(found)

    def _give_up(
        self, directories: list[RunDir], specs: list[RunSpec], found: dict[int, Any]
    ) -> None:
        """Store the counts so far and an estimate of the full score.

        The estimate is the score of the first trial plus the difference to it on these images.
        """
        found = dict(sorted(found.items()))
        whole, same = list(self.first.values()), [self.first[pair] for pair in found]
        gain = self._metric(list(found.values())) - self._metric(same)
        note = {"images": len(found), "of": len(self.order), "score": self._metric(whole) + gain}
        reason = f"given up after {len(found)} of {len(self.order)} images: worse, image by image"
        for seed, (directory, spec) in enumerate(zip(directories, specs, strict=True)):
            mine = self._of_seed(found, seed)
            self.scorer.give_up(directory, spec, list(mine), list(mine.values()))
            write_json(directory.path / GIVEN_UP, note)
            directory.write_state(status="interrupted", failure=None, reason=reason, lease=None)
        self.pruner.end(None)

    def _end(self, found: dict[int, Any]) -> None:
        found = dict(sorted(found.items()))
        self.first = self.first or found
        scores = self._by_pair(found).values()
        self.pruner.end(sum(scores) / len(scores))

    def _by_pair(self, found: dict[int, Any]) -> dict[int, float]:
        return {pair: self.scorer.image_score(counts) for pair, counts in found.items()}

    def _kept(self, directories: list[RunDir]) -> dict[int, Any]:
        images = self.scorer.pairs // self.seeds
        return {
            seed * images + image: counts
            for seed, directory in enumerate(directories)
            for image, counts in self.scorer.kept(directory).items()
        }

    def _of_seed(self, found: dict[int, Any], seed: int) -> dict[int, Any]:
        """Return the pixel counts of one seed by image."""
        images = self.scorer.pairs // self.seeds
        return {pair % images: counts for pair, counts in found.items() if pair // images == seed}

    def _metric(self, counts: list[Any]) -> float:
        return self.scorer.score(counts, self.metric)


def given_up(directory: RunDir) -> dict[str, Any] | None:
    """Return the record of a run whose evaluation was given up; None for any other run."""
    if directory.has_result():
        return None
    return read_json(directory.path / GIVEN_UP)

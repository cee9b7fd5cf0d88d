"""Search of a CRF's parameters: evaluations only, given up where they are worse image by image."""

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
"""Images between two looks; fixed, so that what is given up does not depend on the workers."""
GIVEN_UP = "given-up.json"


class Scorer(Protocol):
    """Scores a CRF on numbered pairs of a seed and an image."""

    @property
    def pairs(self) -> int:
        """How many there are: every image of the first seed, then of the next."""
        ...

    def counts(self, crf: CRFSpec, pairs: Sequence[int]) -> list[Any]:
        """Pixel counts of each."""
        ...

    def image_score(self, counts: Any) -> float:
        """Mean IoU of an image."""
        ...

    def score(self, counts: Sequence[Any], metric: str) -> float:
        """The headline metric of images."""
        ...

    def finish(
        self, directory: RunDir, spec: RunSpec, counts: Sequence[Any], seconds: float
    ) -> None:
        """Leave a finished run."""
        ...

    def give_up(
        self, directory: RunDir, spec: RunSpec, images: Sequence[int], counts: Sequence[Any]
    ) -> None:
        """Leave what was scored of a run."""
        ...

    def kept(self, directory: RunDir) -> dict[int, Any]:
        """Pixel counts of a run by image."""
        ...


@dataclass
class CrfSearch:
    """One search; the first trial, of the study's own values, is scored in full."""

    root: Path
    scorer: Scorer
    metric: str
    seeds: int

    def __post_init__(self) -> None:
        self.pruner = PairedPruner()
        self.order = epoch_order(0, 0, self.scorer.pairs).tolist()
        self.scored = 0
        """Trials that were scored in this night; ``images`` likewise."""
        self.images = 0
        self.first: dict[int, Any] = {}

    def run(self, source: PlanSource, may_go_on: Callable[[], bool]) -> None:
        """Score every trial that is not over, and those that follow from them.

        Args:
            source: the plan of the trials, one table of them, which grows with their scores.
            may_go_on: is asked before each trial; no further one is scored once it is false.
        """
        done, grown = 0, True
        while grown:
            (table,) = source.plan.manifest.tables
            for row in table.rows[done:]:
                if not may_go_on():
                    return
                self._trial(row, [source.plan.specs[run_id] for run_id in row.run_ids])
                done += 1
            grown = source.grow()

    @property
    def images_saved(self) -> float:
        """The share of images that the trials scored in this session did without."""
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
        """Note what it would have scored: as the first trial, less what it lost on these images."""
        found = dict(sorted(found.items()))
        whole, same = list(self.first.values()), [self.first[pair] for pair in found]
        lost = self._metric(list(found.values())) - self._metric(same)
        note = {"images": len(found), "of": len(self.order), "score": self._metric(whole) + lost}
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
        """Pixel counts of one seed by image."""
        images = self.scorer.pairs // self.seeds
        return {pair % images: counts for pair, counts in found.items() if pair // images == seed}

    def _metric(self, counts: list[Any]) -> float:
        return self.scorer.score(counts, self.metric)


def given_up(directory: RunDir) -> dict[str, Any] | None:
    """What is known of a run whose evaluation was given up, else None."""
    if directory.has_result():
        return None
    return read_json(directory.path / GIVEN_UP)

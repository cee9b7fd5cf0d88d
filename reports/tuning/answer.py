"""The answer of a tuning: for each method, the curve through its trials and the curve's top."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.iou import HEADLINE
from bench.manifest import Row, TableSpec
from bench.search_space import SearchSpec
from bench.spec import Scalar
from reports.statistics.scores import Scores
from reports.statistics.stats import Estimate, difference
from reports.tuning.curve import Best, Curve, Observation

ENOUGH = 4
"""Smallest number of trials through which a curve is drawn."""


@dataclass(frozen=True)
class BestCrf:
    """The best trial of a CRF's search; all trials score the same weights on the same images."""

    values: dict[str, Scalar]
    score: float
    """Mean over seeds, in percent."""
    gain: Estimate
    """Percentage points over the study's own values, paired by seed."""
    given_up: int
    """Number of trials that were stopped before they had scored every seed."""


@dataclass(frozen=True)
class Answer:
    """What the trials of one method show."""

    search: SearchSpec
    observations: tuple[Observation, ...]
    """One per finished training, scores in percent."""
    complete: int
    """Number of trials in which every seed has a score."""
    hours: float
    """Hours of training and evaluation, summed over workers."""
    curve: Curve | None
    """None below ``ENOUGH`` trials, and for a CRF, whose scores have no noise between trainings."""
    best: Best | None
    """The top of the curve."""
    crf: BestCrf | None = None
    """For the search of a CRF: its best trial."""

    @property
    def values(self) -> dict[str, Scalar] | None:
        """The values that the search chose; None where it cannot choose any."""
        found = self.best or self.crf
        return found.values if found else None


def answers(scores: Scores) -> list[Answer]:
    """Return the answer for each method of a tuning; none for a study.

    Args:
        scores: The tuning; each of its tables holds the trials of one method.
    """
    pairs = zip(scores.manifest.search, scores.manifest.tables, strict=False)
    return [_answer(scores, search, table) for search, table in pairs]


def _answer(scores: Scores, search: SearchSpec, table: TableSpec) -> Answer:
    found = {row.label: scores.of(row.label, HEADLINE) for row in table.rows}
    complete = sum(len(by_seed) == len(scores.manifest.seeds) for by_seed in found.values())
    observations = tuple(
        Observation(_tried(search, row), seed, score)
        for row in table.rows
        for seed, score in found[row.label].items()
    )
    runs = scores.frame.loc[scores.frame["label"].isin(list(found)), :]
    spent = [runs[key].sum() for key in ("cost/train_s", "cost/evaluate_s") if key in runs]
    if not search.trains:
        hours = spent[-1] / 3600 if spent else 0.0
        best_crf = _best_crf(search, table, found)
        return Answer(search, observations, complete, hours, None, None, best_crf)
    curve = Curve(search.spaces, observations) if complete >= ENOUGH else None
    best = curve.best(search.own) if curve else None
    return Answer(search, observations, complete, sum(spent) / 3600, curve, best)


def _best_crf(
    search: SearchSpec, table: TableSpec, scores: Mapping[str, Mapping[int, float]]
) -> BestCrf | None:
    """Return the best trial over the seeds of the first trial, which has the study's own values."""
    base = scores[table.rows[0].label]
    whole = [row for row in table.rows if base and scores[row.label].keys() == base.keys()]
    if not whole or _tried(search, table.rows[0]) != search.own:
        return None
    best = max(whole, key=lambda row: sum(scores[row.label].values()))
    gain = difference(scores[best.label], base)
    assert gain is not None
    mean = sum(scores[best.label].values()) / len(base)
    return BestCrf(_tried(search, best), mean, gain, len(table.rows) - len(whole))


def _tried(search: SearchSpec, row: Row) -> dict[str, Scalar]:
    return {name: row.settings[name] for name in search.spaces}

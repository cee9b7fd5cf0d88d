"""The answer of a tuning: the curve behind its trials, with its band."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.manifest import Manifest, Row, TableSpec
from bench.search_space import Searched
from bench.spec import Scalar
from reports.frame import values
from reports.statistics.stats import Estimate, difference
from reports.tuning.curve import Best, Curve, Observation
from reports.wording import MINUS, number, seeds

if TYPE_CHECKING:
    import pandas as pd

ENOUGH = 4
"""Trials below which no curve is drawn through them."""


@dataclass(frozen=True)
class Answer:
    """What the trials of one method say."""

    search: Searched
    observations: tuple[Observation, ...]
    """Scores in percent."""
    complete: int
    """Trials of which every seed has a score."""
    hours: float
    """Of training and evaluation, all workers together."""
    curve: Curve | None
    """None where there are too few trials, and of a CRF alone, whose scores have no such noise."""
    best: Best | None
    refined: Refined | None = None
    """Of a CRF alone: its best trial."""

    @property
    def values(self) -> dict[str, Scalar] | None:
        """What the search chose; None where nothing can be said."""
        found = self.best or self.refined
        return found.values if found else None


@dataclass(frozen=True)
class Refined:
    """The best trial of a CRF's search: every trial scores the same weights on the same images."""

    values: dict[str, Scalar]
    score: float
    gain: Estimate
    """Over the study's own values, paired by seed."""
    given_up: int


def answers(manifest: Manifest, frame: pd.DataFrame) -> list[Answer]:
    """One for each method of a tuning; of a study's manifest none."""
    pairs = zip(manifest.search, manifest.tables, strict=False)
    return [_answer(manifest, frame, search, table) for search, table in pairs]


def tuning_summary(manifest: Manifest, frame: pd.DataFrame) -> str:
    """The answers in words, with the budget that each method had."""
    found = answers(manifest, frame)
    said = [sentence(answer) for answer in found]
    hours = sum(answer.hours for answer in found)
    each = sorted({len(table.rows) for table in manifest.tables})
    equal = f"{each[0]} each" if len(each) == 1 else "not equal yet: "
    if len(each) > 1:
        equal += ", ".join(f"{t.key} {len(t.rows)}" for t in manifest.tables)
    methods = ", ".join(answer.search.method for answer in found)
    number = seeds(len(manifest.seeds))
    spent = f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.1f} minutes"
    said.append(
        f"Budget in trials ({methods}): {equal}, of {number}; {spent} of training and scoring."
    )
    return " ".join(said)


def origin(manifest: Manifest, answer: Answer) -> str:
    """Where an answer's values come from, in one line for a comment."""
    best, refined = answer.best, answer.refined
    if refined is not None:
        gain = " ".join(number(refined.gain, signed=True)).strip()
        return (
            f"best of {answer.complete + refined.given_up} trials on {manifest.profile}, scored on "
            f"{manifest.settings['data.evaluate']}; {gain} points over {_own(answer)}"
        )
    assert best is not None
    return (
        f"top of the curve through {answer.complete} trials of {seeds(len(manifest.seeds))} on "
        f"{manifest.profile}, scored on {manifest.settings['data.evaluate']}; {_ranges(best)}"
        f"{_signed(best.gain)} points ({_signed(best.gain_low)} to {_signed(best.gain_high)}) "
        f"over {_own(answer)}"
    )


def _answer(manifest: Manifest, frame: pd.DataFrame, search: Searched, table: TableSpec) -> Answer:
    scores = {row.label: _percent(manifest, frame, row) for row in table.rows}
    complete = sum(len(found) == len(manifest.seeds) for found in scores.values())
    observations = tuple(
        Observation(_tried(search, row), seed, score)
        for row in table.rows
        for seed, score in scores[row.label].items()
    )
    mine = frame.loc[frame["label"].isin(list(scores)), :]
    spent = [mine[key].sum() for key in ("cost/train_s", "cost/evaluate_s") if key in mine]
    if not search.trains:
        refined = _refined(search, table, scores)
        hours = spent[-1] / 3600 if spent else 0.0
        return Answer(search, observations, complete, hours, None, None, refined)
    curve = Curve(search.spaces, observations) if complete >= ENOUGH else None
    best = curve.best(search.own) if curve else None
    return Answer(search, observations, complete, sum(spent) / 3600, curve, best)


def _refined(
    search: Searched, table: TableSpec, scores: Mapping[str, Mapping[int, float]]
) -> Refined | None:
    """The best trial over the seeds that the first trial has."""
    base = scores[table.rows[0].label]
    whole = [row for row in table.rows if base and scores[row.label].keys() == base.keys()]
    if not whole or _tried(search, table.rows[0]) != search.own:
        return None
    best = max(whole, key=lambda row: sum(scores[row.label].values()))
    gain = difference(scores[best.label], base)
    assert gain is not None
    mean = sum(scores[best.label].values()) / len(base)
    return Refined(_tried(search, best), mean, gain, len(table.rows) - len(whole))


def _tried(search: Searched, row: Row) -> dict[str, Scalar]:
    return {name: row.settings[name] for name in search.spaces}


def _percent(manifest: Manifest, frame: pd.DataFrame, row: Row) -> dict[int, float]:
    found = values(frame, row.label, f"final/{manifest.metric}")
    return {seed: 100 * score for seed, score in found.items()}


def sentence(answer: Answer) -> str:
    """One answer in words."""
    method, best, refined = answer.search.method, answer.best, answer.refined
    if refined is not None:
        gain = " ".join(number(refined.gain, signed=True)).strip()
        return (
            f"{method}: of {len(refined.values)} parameters the best of {answer.complete} trials "
            f"scored in full ({refined.given_up} were given up early) is {_named(refined.values)}: "
            f"{refined.score:.2f}, {gain} points over the study's own {_own(answer)}; all scored "
            "the same weights on the same images."
        )
    if best is None:
        return f"{method}: {answer.complete} finished trials, too few for a curve."
    verdict = "" if best.gain_low > 0 else ": no gain is shown"
    return (
        f"{method}: the curve through {answer.complete} trials is highest at "
        f"{_named(best.values)}, {best.score:.2f} ({best.low:.2f} to {best.high:.2f}); "
        f"{_ranges(best)}"
        f"{_signed(best.gain)} points over the study's own {_own(answer)} "
        f"({_signed(best.gain_low)} to {_signed(best.gain_high)}){verdict}."
    )


def _ranges(best: Best) -> str:
    """Where the top lies, with a comma after it; of choices nothing is known."""
    found = [f"{n} {_shown(low)} to {_shown(high)}" for n, (low, high) in best.ranges.items()]
    return f"95 % range of the top: {'; '.join(found)}, " if found else ""


def _named(chosen: Mapping[str, Scalar]) -> str:
    return ", ".join(f"{name} = {_shown(value)}" for name, value in chosen.items())


def _own(answer: Answer) -> str:
    return ", ".join(_shown(value) for value in answer.search.own.values())


def _shown(value: Scalar) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", MINUS)

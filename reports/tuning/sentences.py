"""The answers of a tuning in words."""

from __future__ import annotations

from collections.abc import Mapping

from bench.manifest import Manifest
from bench.spec import Scalar
from reports.statistics.scores import Scores
from reports.tuning.answer import Answer, BestCrf, answers
from reports.tuning.curve import Best
from reports.wording import estimate_text, seeds, setting, signed


def tuning_summary(scores: Scores) -> str:
    """Return the answer for each method, and the budget that each method had."""
    manifest, found = scores.manifest, answers(scores)
    hours = sum(answer.hours for answer in found)
    spent = f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.1f} minutes"
    methods = ", ".join(answer.search.method for answer in found)
    budget = (
        f"Budget in trials ({methods}): {_trials(manifest)}, of {seeds(len(manifest.seeds))}; "
        f"{spent} of training and scoring."
    )
    return " ".join([*map(sentence, found), budget])


def sentence(answer: Answer) -> str:
    """Return one answer in words."""
    if answer.crf is not None:
        return _crf_sentence(answer, answer.crf)
    method, best = answer.search.method, answer.best
    if best is None:
        return f"{method}: {answer.complete} finished trials, too few for a curve."
    verdict = "" if best.gain_low > 0 else ": no gain is shown"
    return (
        f"{method}: the curve through {answer.complete} trials is highest at "
        f"{_named(best.values)}, {best.score:.2f} ({best.low:.2f} to {best.high:.2f}); "
        f"{_ranges(best)}"
        f"{signed(best.gain)} points over the study's own {_own(answer)} "
        f"({signed(best.gain_low)} to {signed(best.gain_high)}){verdict}."
    )


def origin(manifest: Manifest, answer: Answer) -> str:
    """Return where an answer's values come from, in one line for a comment.

    Args:
        manifest: The tuning.
        answer: Its answer for one method, with values.
    """
    best, split = answer.best, manifest.settings["data.evaluate"]
    if answer.crf is not None:
        gain = estimate_text(answer.crf.gain, signed=True)
        return (
            f"best of {answer.complete + answer.crf.given_up} trials on {manifest.profile}, scored "
            f"on {split}; {gain} points over {_own(answer)}"
        )
    assert best is not None
    return (
        f"top of the curve through {answer.complete} trials of {seeds(len(manifest.seeds))} on "
        f"{manifest.profile}, scored on {split}; {_ranges(best)}"
        f"{signed(best.gain)} points ({signed(best.gain_low)} to {signed(best.gain_high)}) "
        f"over {_own(answer)}"
    )


def _crf_sentence(answer: Answer, best: BestCrf) -> str:
    gain = estimate_text(best.gain, signed=True)
    return (
        f"{answer.search.method}: the best of {answer.complete} trials scored in full "
        f"({best.given_up} more were stopped early), over {len(best.values)} parameters, is "
        f"{_named(best.values)}: {best.score:.2f}, {gain} points over the study's own "
        f"{_own(answer)}. All trials scored the same weights on the same images."
    )


def _trials(manifest: Manifest) -> str:
    """Return the number of trials of each method, in one number if all have the same."""
    counts = {table.key: len(table.rows) for table in manifest.tables}
    if len(set(counts.values())) == 1:
        return f"{next(iter(counts.values()))} each"
    return "not equal yet: " + ", ".join(f"{key} {count}" for key, count in counts.items())


def _ranges(best: Best) -> str:
    """Return the 95 % range of each numeric setting's optimum, with a comma; "" without any."""
    found = [f"{n} {setting(low)} to {setting(high)}" for n, (low, high) in best.ranges.items()]
    return f"95 % range of the top: {'; '.join(found)}, " if found else ""


def _named(chosen: Mapping[str, Scalar]) -> str:
    return ", ".join(f"{name} = {setting(value)}" for name, value in chosen.items())


def _own(answer: Answer) -> str:
    return ", ".join(setting(value) for value in answer.search.own.values())

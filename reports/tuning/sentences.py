"""The answers of a tuning in words."""

from __future__ import annotations

from collections.abc import Mapping

from bench.manifest import Manifest
from bench.spec import Scalar
from reports.model import Lead
from reports.sentences import tuning as words
from reports.statistics.scores import Scores
from reports.tuning.answer import Answer, BestCrf, answers
from reports.tuning.curve import Best
from reports.wording import estimate_text, seeds, setting, signed


def tuning_lead(scores: Scores) -> Lead:
    """Return the answer for each method, and the budget that each method had."""
    manifest, found = scores.manifest, answers(scores)
    hours = sum(answer.hours for answer in found)
    spent = f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.1f} minutes"
    methods = ", ".join(answer.search.method for answer in found)
    budget = words.BUDGET.format(
        methods=methods,
        trials=_trials(manifest),
        seeds=seeds(len(manifest.seeds)),
        spent=spent,
    )
    return Lead("", (*map(sentence, found), budget))


def sentence(answer: Answer) -> str:
    """Return one answer in words."""
    if answer.crf is not None:
        return _crf_sentence(answer, answer.crf)
    method, best = answer.search.method, answer.best
    if best is None:
        return words.TOO_FEW.format(method=method, count=answer.complete)
    text = words.TOP.format(
        method=method,
        count=answer.complete,
        values=_named(best.values),
        score=f"{best.score:.2f}",
        low=f"{best.low:.2f}",
        high=f"{best.high:.2f}",
        own=_own(answer),
        **_gain(best),
    )
    return text + ("." if best.gain_low > 0 else f"{words.NO_GAIN}.")


def origin(manifest: Manifest, answer: Answer) -> str:
    """Return where an answer's values come from, in one line for a comment.

    Args:
        manifest: The tuning.
        answer: Its answer for one method, with values.
    """
    best, split = answer.best, manifest.settings["data.evaluate"]
    if answer.crf is not None:
        gain = estimate_text(answer.crf.gain, signed=True)
        return words.ORIGIN_CRF.format(
            count=answer.complete + answer.crf.given_up,
            profile=manifest.profile,
            split=split,
            gain=gain,
            own=_own(answer),
        )
    assert best is not None
    return words.ORIGIN.format(
        count=answer.complete,
        seeds=seeds(len(manifest.seeds)),
        profile=manifest.profile,
        split=split,
        own=_own(answer),
        **_gain(best),
    )


def _crf_sentence(answer: Answer, best: BestCrf) -> str:
    gain = estimate_text(best.gain, signed=True)
    return words.CRF.format(
        method=answer.search.method,
        count=answer.complete,
        stopped=best.given_up,
        parameters=len(best.values),
        values=_named(best.values),
        score=f"{best.score:.2f}",
        gain=gain,
        own=_own(answer),
    )


def _trials(manifest: Manifest) -> str:
    """Return the number of trials of each method, in one number if all have the same."""
    counts = {table.key: len(table.rows) for table in manifest.tables}
    if len(set(counts.values())) == 1:
        return words.EACH.format(count=next(iter(counts.values())))
    each = ", ".join(f"{key} {count}" for key, count in counts.items())
    return words.UNEQUAL.format(counts=each)


def _gain(best: Best) -> dict[str, str]:
    """Return the fields of a sentence that say how far the top lies above the study's values."""
    return {
        "ranges": _ranges(best),
        "gain": signed(best.gain),
        "gain_low": signed(best.gain_low),
        "gain_high": signed(best.gain_high),
    }


def _ranges(best: Best) -> str:
    """Return the 95 % range of each numeric setting's optimum, with a comma; "" without any."""
    found = [f"{n} {setting(low)} to {setting(high)}" for n, (low, high) in best.ranges.items()]
    return words.RANGES.format(ranges="; ".join(found)) if found else ""


def _named(chosen: Mapping[str, Scalar]) -> str:
    return ", ".join(f"{name} = {setting(value)}" for name, value in chosen.items())


def _own(answer: Answer) -> str:
    return ", ".join(setting(value) for value in answer.search.own.values())

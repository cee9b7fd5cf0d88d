"""The answer of a study: who leads, by how much, how sure that is, and what would settle it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from reports.model import Lead
from reports.sentences import verdict as words
from reports.statistics.forecast import MOST, chance_of_highest, forecast
from reports.statistics.learned import class_ious, learned_nothing
from reports.statistics.ranking import Ranking, ranking_of
from reports.statistics.scores import Scores
from reports.statistics.stats import Paired, estimate
from reports.wording import (
    estimate_text,
    interval_ends,
    joined,
    listed,
    open_rows,
    points,
    signed_points,
)

MANY = 6
"""Largest number of rows or seeds that are listed one by one."""
ROUNDED = 0.01
"""Tolerance in points between a gain and its classes: runs are stored with five digits."""
SAME = 1e-9
"""Points between equal means: sums of floats differ in their last digits."""
HALF = 0.5
"""Share of a gain that the classes named must give."""
FEW = 3
"""Largest number of such classes."""


def lead(scores: Scores, command: str) -> Lead:
    """Return the answer of a study.

    Args:
        scores: The study.
        command: Command that runs it; "" if its runs were made elsewhere.
    """
    ranking = ranking_of(scores)
    if not ranking.pairs.means:
        return Lead(words.NO_RUN)
    if len(ranking.order) < 2:
        return Lead(words.NOTHING_TO_COMPARE, (_one_row(ranking), *_faults(ranking)))
    first, other = _decisive(ranking)
    found = ranking.pairs.difference(first, other)
    assert found is not None
    sentences = [
        _ahead(ranking, first, other, found),
        *_others(ranking, first, other),
        *_chosen(ranking, first, other, found),
        *_classes(ranking, first, other, found),
        *_faults(ranking),
    ]
    said, seeds = _settling(ranking, *_to_settle(ranking, first, other))
    again = f"{command} --seeds {seeds}" if command and seeds else ""
    return Lead(_headline(ranking, first), (*sentences, *said), again)


def _decisive(ranking: Ranking) -> tuple[str, str]:
    """Return the leading row and the row that its lead is measured over."""
    first, second = ranking.order[:2]
    return first, second if ranking.reference == first else ranking.reference


def _headline(ranking: Ranking, first: str) -> str:
    rows = _not_below(ranking, first)
    if ranking.base not in ranking.pairs.means:
        return words.NOT_SETTLED
    if not rows:
        waiting = len(ranking.pairs.means) < len(ranking.labels)
        return words.SETTLED_SO_FAR if waiting else words.SETTLED
    if ranking.base in (first, *rows):
        return words.NOT_SETTLED
    return words.SETTLED_AGAINST_BASE.format(base=ranking.base, rows=open_rows(rows))


def _not_below(ranking: Ranking, first: str) -> list[str]:
    """Return the rows that the leading row does not lie above."""
    below = ranking.pairs.below(first)
    return [row for row in ranking.pairs.others(first) if row not in below]


def _one_row(ranking: Ranking) -> str:
    row = ranking.order[0]
    value = estimate(ranking.scores.of(row, ranking.key).values())
    assert value is not None
    if len(ranking.pairs.means) > 1:
        return words.NO_SHARED_SEED.format(row=row)
    return words.ONE_ROW.format(row=row, score=ranking.score, value=estimate_text(value), n=value.n)


def _ahead(ranking: Ranking, first: str, other: str, found: Paired) -> str:
    """Return by how much the leading row is ahead, in how many seeds, and the interval."""
    gain, spread = found.gain, found.gain.half_width
    ours, theirs = (
        fmean(ranking.scores.of(label, ranking.key)[seed] for seed in found.by_seed)
        for label in (first, other)
    )
    fields = {"row": first, "other": other, "score": ranking.score}
    if abs(gain.mean) < SAME:
        return words.SAME.format(value=f"{points(ours, spread)} %", **fields)
    fields |= {
        "gain": points(gain.mean, spread),
        "ours": points(ours, spread),
        "theirs": points(theirs, spread),
    }
    if gain.low is None or gain.high is None:
        return words.AHEAD_OF_ONE_SEED.format(**fields)
    low, high = interval_ends(gain.low, gain.high)
    text = words.AHEAD if gain.above_zero else words.AHEAD_OPEN
    return text.format(agreement=_agreement(found), n=gain.n, **fields, low=low, high=high)


def _agreement(found: Paired) -> str:
    """Return in how many of the seeds the difference is above zero: "in both seeds (+8.1, …)"."""
    values, n = list(found.by_seed.values()), found.gain.n
    gains = [signed_points(value, found.gain.half_width) for value in values]
    if n > MANY:
        ends = (min(values), max(values))
        gains = [" to ".join(signed_points(end, found.gain.half_width) for end in ends)]
    count = sum(value > 0 for value in values)
    text = words.IN_SOME if count < n else words.IN_BOTH if n == 2 else words.IN_ALL
    return text.format(gains=", ".join(gains), n=n, count=count)


def _others(ranking: Ranking, first: str, other: str) -> list[str]:
    """Return how the leading row relates to the rows that its lead is not measured over."""
    below, unclear = ranking.pairs.below(first), ranking.pairs.open(first)
    found = [words.NONE_ABOVE.format(base=first)] if first == ranking.base else []
    if ranking.base != ranking.reference:
        found.append(words.BASE_MISSING.format(base=ranking.base))
    rest = [row for row in below if row != other]
    if rest and len(below) == len(ranking.labels) - 1:
        found.append(words.ABOVE_ALL.format(row=first))
    elif rest:
        found.append(words.ABOVE.format(row=first, rows=_rows(rest, "and")))
    if over := ranking.pairs.over(first):
        found.append(words.BELOW.format(row=first, rows=_rows(over, "and")))
    if unsettled := [row for row in unclear if row != other and ranking.pairs.told]:
        found.append(words.OPEN.format(row=first, rows=_rows(unsettled, "or")))
    return found


def _chosen(ranking: Ranking, first: str, other: str, found: Paired) -> list[str]:
    """Return that a gain was chosen as the highest of several; nothing where that cannot mislead.

    A row that lies above every other one needs no allowance: if the best two rows tie, one of them
    lies above the other in 5 of 100 studies, whatever the number of rows.
    """
    gains = len(ranking.order) - 1
    settled = found.gain.above_zero and other == ranking.base
    if gains < 2 or not settled or not _not_below(ranking, first):
        return []
    share = f"{100 * chance_of_highest(gains, found.gain.n):.0f}"
    return [words.CHOSEN.format(row=first, count=gains, share=share)]


def _rows(labels: Sequence[str], last: str) -> str:
    if len(labels) > MANY:
        return listed(labels, most=MANY)
    return joined(labels, last)


def _classes(ranking: Ranking, first: str, other: str, found: Paired) -> list[str]:
    """Return which classes make the lead; nothing where the classes do not add up to it."""
    given = class_parts(ranking.scores, first, other, found)
    if not given or found.gain.mean <= 0:
        return []
    spread = found.gain.half_width
    gain = signed_points(found.gain.mean, spread)
    order, total = sorted(given, key=lambda name: -given[name]), 0.0
    for i, name in enumerate(order[:FEW]):
        total += given[name]
        if total >= HALF * found.gain.mean:
            each = [f"{n} gives {signed_points(given[n], spread)}" for n in order[: i + 1]]
            return [words.CLASSES.format(gain=gain, classes=joined(each))]
    most = signed_points(given[order[0]], spread)
    return [words.CLASSES_EVEN.format(gain=gain, most=most, name=order[0])]


def class_parts(scores: Scores, ours: str, theirs: str, found: Paired) -> dict[str, float]:
    """Return the part of a difference in mean IoU that each class gives; {} if they do not add up.

    Args:
        scores: The study.
        ours: One row.
        theirs: The other row.
        found: Ours - theirs, in percentage points.
    """
    a, b = class_ious(scores, ours), class_ious(scores, theirs)
    gains: dict[str, float] = {}
    for name in a:
        if found.by_seed.keys() <= a[name].keys() & b.get(name, {}).keys():
            gains[name] = fmean(a[name][seed] - b[name][seed] for seed in found.by_seed)
    parts = {name: gain / len(gains) for name, gain in gains.items()}
    return parts if math.isclose(sum(parts.values()), found.gain.mean, abs_tol=ROUNDED) else {}


def _faults(ranking: Ranking) -> list[str]:
    """Return what is wrong with the runs: some are missing, some learned nothing."""
    found = []
    if ranking.missing:
        text = words.RUN_MISSING if ranking.missing == 1 else words.RUNS_MISSING
        found.append(text.format(count=ranking.missing))
    if idle := learned_nothing(ranking.scores, ranking.labels):
        found.append(words.LEARNED_NOTHING.format(runs=listed(idle, most=MANY, between="; ")))
    return found


def _to_settle(ranking: Ranking, first: str, other: str) -> tuple[str, Paired]:
    """Return the row that the leading row is to be told from, and their difference.

    It is the one that the lead is measured over, or once that is settled the next open one.
    """
    rows = [row for row in ranking.pairs.open(first) if ranking.pairs.difference(first, row)]
    row = other if other in rows or not rows else rows[0]
    found = ranking.pairs.difference(first, row)
    assert found is not None
    return row, found


def _settling(ranking: Ranking, other: str, found: Paired) -> tuple[list[str], int | None]:
    """Return what would settle an open lead, and the number of seeds that may; or nothing."""
    gain, planned = found.gain, len(ranking.scores.manifest.seeds)
    if gain.above_zero is not None or (gain.n > 1 and abs(gain.mean) < SAME):
        return [], None
    if gain.n < 2:
        return [words.THREE_SEEDS], max(3, planned)
    expected = forecast(found, abs(gain.mean))
    assert expected is not None
    effect = points(abs(gain.mean), gain.half_width)
    fields = {"effect": effect, "other": other}
    if (found.of_images or 0.0) >= abs(gain.mean):
        images = points(found.of_images or 0.0, found.of_images)
        alone = words.GROUPS_ALONE if ranking.scores.images.groups else words.IMAGES_ALONE
        return [alone.format(images=images, **fields)], None
    if expected.seeds is None:
        text = words.TOO_MANY_LIKELY if expected.low else words.TOO_MANY
        return [text.format(most=MOST, low=expected.low, **fields)], None
    seeds = max(expected.seeds, gain.n + 1, planned)
    then = expected.at(seeds)
    text = words.FORECAST if expected.high else words.FORECAST_OPEN
    said = text.format(
        seeds=seeds,
        now=points(gain.half_width or 0.0, gain.half_width),
        then=points(then, then),
        **fields,
        low=expected.low,
        high=expected.high,
        seen=gain.n,
    )
    return [said], seeds

"""Scores on the way: their figure, and whether the ranking was the same before the end."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bench.manifest import TableSpec, base_row
from reports.figures.data import training_data
from reports.figures.looks import row_looks
from reports.figures.study import in_percent, of_training, training_figure
from reports.model import Figure
from reports.sentences import captions
from reports.sentences import progress as words
from reports.statistics.scores import Scores
from reports.wording import header, listed, signed

if TYPE_CHECKING:
    import pandas as pd

SHARES = {"half": 1 / 2, "a tenth": 1 / 10}
"""Shares of the training at which the ranking is compared with that at its end."""
LAST = 3 / 4
"""Share of the training after which a line should hardly change."""
SETTLED = 1.0
"""Change in points over the last quarter that is called unsettled: papers report such gains."""

TITLE = "Scores during training"

Histories = Mapping[tuple[str, str], Sequence[tuple[int, float]]]
"""(step, value) pairs by MLflow's run id and the metric's name."""


def metric_on_the_way(scores: Scores) -> str:
    """Return the name under which runs log the headline metric on the way."""
    return f"eval/{scores.manifest.metric}"


def progress_data(scores: Scores, table: TableSpec, histories: Histories) -> pd.DataFrame:
    """Return the headline score in percent on the way: label, step, mean, low, high, n."""
    return in_percent(training_data(scores.frame, table, metric_on_the_way(scores), histories))


def progress_figures(scores: Scores, data: pd.DataFrame) -> list[Figure]:
    """Return the figure of the scores on the way; none where no run logged any."""
    if data.empty:
        return []
    manifest, score = scores.manifest, header(scores.manifest.metric)
    fixed = manifest.settings
    split = fixed.get("evaluation.on") or fixed.get("data.evaluate", "the scored images")
    table = manifest.tables[0]
    base = base_row(table.rows).label
    said = [captions.PROGRESS.format(score=score, split=split), *of_training(data, base)]
    looks = row_looks(manifest, table)
    said.append(sentence(data))
    return [training_figure("progress", TITLE, data, looks, score, said, base)]


class Point(NamedTuple):
    """The score of one row at one step: mean, lowest and highest of n seeds."""

    mean: float
    low: float
    high: float
    n: int


At = dict[str, Point]
"""The rows' points at one step, by label."""


def sentence(data: pd.DataFrame) -> str:
    """Return whether the ranking was the same before the end, and whether the lines have settled.

    Args:
        data: As ``progress_data`` returns it. Only rows whose seeds all reached the end count.
    """
    steps = _complete(data)
    end = max(steps, default=0)
    if not steps or len(steps[end]) < 2:
        return ""
    found = [*_rankings(steps, end), *_unsettled(steps, end)]
    if found:
        return " ".join(found)
    return words.STEADY


def _complete(data: pd.DataFrame) -> dict[int, At]:
    """Return the points by step, without the rows that lack a seed at some step."""
    lines: dict[str, dict[int, Point]] = {}
    for row in data.to_dict("records"):
        point = Point(row["mean"], row["low"], row["high"], row["n"])
        lines.setdefault(row["label"], {})[row["step"]] = point
    steps = sorted({step for line in lines.values() for step in line})
    whole = {
        label: line
        for label, line in lines.items()
        if line.keys() == set(steps) and len({point.n for point in line.values()}) == 1
    }
    return {step: {label: line[step] for label, line in whole.items()} for step in steps}


def _rankings(steps: dict[int, At], end: int) -> list[str]:
    """Return how the ranking at each of SHARES differs from that at the end."""
    found, apart, last = [], False, steps[end]
    for name, share in SHARES.items():
        step = _nearest(steps, share * end)
        before = steps[step]
        if abs(step / end - share) <= share / 2 and _ranked(before) != _ranked(last):
            order = _order(before)
            found.append(words.BEFORE.format(share=name, step=step, order=order))
            swapped = _swapped(before, last)
            apart |= any(_apart(at[a], at[b]) for a, b in swapped for at in (before, last))
    if not found:
        return []
    text = words.RANKING if apart else words.RANKING_WITHIN
    return [text.format(before="; ".join(found), last=_order(last))]


def _swapped(before: At, last: At) -> list[tuple[str, str]]:
    """Return the pairs of rows whose order changes."""
    return [
        (a, b)
        for a, b in itertools.combinations(last, 2)
        if (before[a].mean < before[b].mean) != (last[a].mean < last[b].mean)
    ]


def _apart(a: Point, b: Point) -> bool:
    """Return whether the bands of two rows do not touch; one seed has no band."""
    return min(a.n, b.n) > 1 and (a.low > b.high or b.low > a.high)


def _unsettled(steps: dict[int, At], end: int) -> list[str]:
    """Return the lines that still change over the last quarter of the training."""
    step = _nearest(steps, LAST * end)
    changes = {label: p.mean - steps[step][label].mean for label, p in steps[end].items()}
    moving = [f"{label} ({signed(by)})" for label, by in changes.items() if abs(by) > SETTLED]
    if not end / 2 <= step < end or not moving:
        return []
    return [words.UNSTEADY.format(step=step, points=f"{SETTLED:g}", rows=listed(moving))]


def _nearest(steps: dict[int, At], wanted: float) -> int:
    """Return the scored step that is nearest, the earlier of two."""
    return min(steps, key=lambda step: abs(step - wanted))


def _ranked(at: At) -> list[str]:
    return sorted(at, key=lambda label: -at[label].mean)


def _order(at: At) -> str:
    return listed(_ranked(at), most=6, between=" > ")

"""Scores on the way: their figure, and whether the ranking at the end was there before."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bench.manifest import TableSpec
from reports.figures import draw
from reports.figures.draw import row_looks
from reports.figures.study import training_data
from reports.model import Figure
from reports.statistics.scores import Scores
from reports.statistics.stats import percent
from reports.wording import header, listed, signed

if TYPE_CHECKING:
    import pandas as pd

SHARES = {"half": 1 / 2, "a tenth": 1 / 10}
"""Shares of the training at which the ranking is compared with that at its end."""
LAST = 3 / 4
"""Share of the training after which a line should hardly change."""
SETTLED = 1.0
"""Change in points over the last quarter that is called unsettled: papers report such gains."""

Histories = Mapping[tuple[str, str], Sequence[tuple[int, float]]]
"""(step, value) pairs by MLflow's run id and the metric's name."""


def metric_on_the_way(scores: Scores) -> str:
    """Return the name under which runs log the headline metric on the way."""
    return f"eval/{scores.manifest.metric}"


def progress_data(scores: Scores, table: TableSpec, histories: Histories) -> pd.DataFrame:
    """Return the headline score in percent on the way: label, step, mean, low, high, n."""
    found = training_data(scores.frame, table, metric_on_the_way(scores), histories)
    for column in ("mean", "low", "high"):
        found[column] = found[column].map(percent)
    return found


def progress_figures(scores: Scores, data: pd.DataFrame) -> list[Figure]:
    """Return the figure of the scores on the way; none where no run logged any."""
    if data.empty:
        return []
    manifest, score = scores.manifest, header(scores.manifest.metric)
    fixed = manifest.settings
    split = fixed.get("evaluation.on") or fixed.get("data.evaluate", "the scored images")
    caption = (
        f"{score} on {split} on the way: the mean of each row's seeds, in a band from the lowest "
        "to the highest. Nothing was chosen by these scores."
    )
    ends = [
        f"{label}: {rows['mean'].iloc[0]:.2f} at step {rows['step'].iloc[0]}, "
        f"{rows['mean'].iloc[-1]:.2f} at step {rows['step'].iloc[-1]}"
        for label, rows in data.groupby("label", sort=False)
    ]
    looks = row_looks(manifest, manifest.tables[0])
    drawing = draw.draw_training("progress", {score: data}, looks)
    alt = f"{caption} {'; '.join(ends)}."
    return [Figure("progress", "Scores on the way", drawing, f"{caption} {sentence(data)}", alt)]


def sentence(data: pd.DataFrame) -> str:
    """Return whether the ranking at the end was there before, and whether the lines have settled.

    Args:
        data: As ``progress_data`` returns it. Only rows whose seeds all reached the end count.
    """
    end = int(data["step"].max())
    whole = [
        label
        for label, rows in data.groupby("label", sort=False)
        if rows["step"].max() == end and rows["n"].nunique() == 1
    ]
    points = data.loc[data["label"].isin(whole), :]
    last = _at(points, end)
    if len(last) < 2:
        return ""
    found = [*_rankings(points, last, end), *_unsettled(points, last, end)]
    if found:
        return " ".join(found)
    return "The ranking at the end was there before, and every line has settled."


def _rankings(points: pd.DataFrame, last: dict[str, float], end: int) -> list[str]:
    """Return how the ranking at each of SHARES differs from that at the end."""
    found, apart = [], False
    for words, share in SHARES.items():
        step = _step_at(points, share * end)
        before = _at(points, step)
        near = abs(step / end - share) <= share / 2
        if near and before.keys() == last.keys() and _ranked(before) != _ranked(last):
            found.append(f"at {words} of the training (step {step}) {_order(before)}")
            apart |= any(_apart(points, pair, (step, end)) for pair in _swapped(before, last))
    if not found:
        return []
    within = "" if apart else ", within the bands of the seeds"
    return [f"The ranking changes{within}: {'; '.join(found)}; at the end {_order(last)}."]


def _swapped(before: dict[str, float], last: dict[str, float]) -> list[tuple[str, str]]:
    """Return the pairs of rows whose order changes."""
    pairs = itertools.combinations(last, 2)
    return [(a, b) for a, b in pairs if (before[a] < before[b]) != (last[a] < last[b])]


def _apart(points: pd.DataFrame, pair: tuple[str, str], steps: tuple[int, int]) -> bool:
    """Return whether the bands of two rows are apart at one of the steps; never with one seed."""
    for step in steps:
        at = points.loc[points["step"] == step, :].set_index("label")
        a, b = (at.loc[label] for label in pair)
        if min(a["n"], b["n"]) > 1 and (a["low"] > b["high"] or b["low"] > a["high"]):
            return True
    return False


def _unsettled(points: pd.DataFrame, last: dict[str, float], end: int) -> list[str]:
    """Return the lines that still change over the last quarter of the training."""
    step = _step_at(points, LAST * end)
    before = _at(points, step)
    changes = {label: last[label] - before[label] for label in last if label in before}
    moving = [f"{n} ({signed(by)})" for n, by in changes.items() if abs(by) > SETTLED]
    if not end / 2 <= step < end or not moving:
        return []
    return [
        f"Not settled: from step {step} to the end, more than {SETTLED:g} point of change in "
        f"{listed(moving)}; a longer training may rank the rows differently."
    ]


def _step_at(points: pd.DataFrame, wanted: float) -> int:
    """Return the scored step that is nearest, the earlier of two."""
    steps = sorted({int(step) for step in points["step"]})
    return min(steps, key=lambda step: abs(step - wanted))


def _at(points: pd.DataFrame, step: int) -> dict[str, float]:
    rows = points.loc[points["step"] == step, :]
    return {str(label): float(m) for label, m in zip(rows["label"], rows["mean"], strict=True)}


def _ranked(means: dict[str, float]) -> list[str]:
    return sorted(means, key=lambda label: -means[label])


def _order(means: dict[str, float]) -> str:
    return listed(_ranked(means), most=6, between=" > ")

"""The figures of a tuning: the curve of each method over every numeric setting it searched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.manifest import COLOURS, slug
from reports.figures.axes import Panel as Axes
from reports.figures.axes import Scale, legend, span
from reports.figures.data import data_frame
from reports.figures.looks import GREY, Look, seed_forms
from reports.figures.single import BELOW, HEIGHT, LEFT
from reports.figures.study import captioned, drawn
from reports.model import Figure
from reports.picture import Area, Group, Line, Mark, Picture
from reports.sentences import captions
from reports.statistics.scores import Scores
from reports.tuning.answer import Answer, answers
from reports.tuning.sentences import sentence
from reports.wording import MINUS, header

if TYPE_CHECKING:
    import pandas as pd

POINTS = 101
"""Number of points at which a curve is drawn."""


@dataclass(frozen=True)
class Panel:
    """One curve: an answer over one of its settings, under the key of its table."""

    answer: Answer
    setting: str
    table: str


def tuning_figures(scores: Scores) -> list[Figure]:
    """Return a figure for each method of a tuning and each numeric setting that it searched."""
    return [_figure(scores, panel) for panel in _panels(scores)]


def curve_data(panel: Panel) -> pd.DataFrame:
    """Return the curve through a tuning's trials over one setting: x, mean, low, high (percent).

    The other settings have the values of the curve's highest point.
    """
    answer, name = panel.answer, panel.setting
    assert answer.curve is not None
    assert answer.best is not None
    space = answer.search.spaces[name]
    line = dict.fromkeys(space.value(i / (POINTS - 1)) for i in range(POINTS))
    mean, low, high = answer.curve.at([{**answer.best.values, name: value} for value in line])
    points = zip(map(float, line), mean, low, high, strict=True)
    columns = ["x", "mean", "low", "high"]
    return data_frame([dict(zip(columns, point, strict=True)) for point in points], columns)


def trial_data(panel: Panel) -> pd.DataFrame:
    """Return every finished training of a tuning: seed, x (of one setting), score (percent)."""
    lines = [
        {"seed": found.seed, "x": float(found.values[panel.setting]), "score": found.score}
        for found in panel.answer.observations
    ]
    return data_frame(lines, ["seed", "x", "score"])


def _panels(scores: Scores) -> Iterator[Panel]:
    for answer, table in zip(answers(scores), scores.manifest.tables, strict=False):
        for name, space in answer.search.spaces.items():
            if answer.curve and not space.choices:
                yield Panel(answer, name, table.key)


def _figure(scores: Scores, panel: Panel) -> Figure:
    search, name = panel.answer.search, panel.setting
    key, score = slug(f"tuning-{panel.table}-{name}"), header(scores.manifest.metric)
    own = f"{search.own[name]:g}"
    said = [captions.TUNING.format(score=score, method=search.method, setting=name)]
    said.append(captions.TUNING_MARKS.format(own=own))
    said += [captions.TUNING_OTHERS] if len(search.spaces) > 1 else []
    title = f"{search.method} over {name}"
    drawing = drawn(lambda width: _draw(panel, score, width))
    words = sentence(panel.answer).rstrip(".")
    return captioned(key, title, drawing, said, words, panel.table)


def _draw(panel: Panel, score: str, width: float) -> Picture:
    """Draw the curve in its band with the trials, and lines at the study's own value and the top.

    On the scale log10(1 - x) the axis shows 1 - x.
    """
    answer, name = panel.answer, panel.setting
    assert answer.best is not None
    scale = answer.search.spaces[name].scale
    flipped = scale == "log10(1 - x)"

    def placed(x: float) -> float:
        return 1 - x if flipped else x

    curve, trials = curve_data(panel), trial_data(panel)
    forms = seed_forms(sorted(trials["seed"].unique()))
    keys = {f"seed {seed}": Look(GREY, form, ()) for seed, form in forms.items()}
    several = len(set(forms.values())) > 1
    shapes, top = legend(keys, width, lines=False) if several else ([], 4.0)
    xs = [placed(x) for x in curve["x"]]
    across = Scale(min(xs), max(xs), LEFT, width - 12, log=scale != "linear")
    ends = span([*curve["low"], *curve["high"], *trials["score"]])
    axes = Axes(across, Scale(*ends, top + HEIGHT, top + 8))
    below, above = (axes.line(xs, curve[end]) for end in ("low", "high"))
    shapes.append(Area((*above, *reversed(below)), COLOURS[0]))
    shapes.append(Line(axes.line(xs, curve["mean"]), COLOURS[0]))
    for row in trials.to_dict("records"):
        mark = Mark(axes.at(placed(row["x"]), row["score"]), forms[row["seed"]], GREY)
        said = f"seed {row['seed']} at {row['x']:g}: {row['score']:.2f}"
        shapes.append(Group(said, (mark,)))
    shapes.append(axes.down(placed(float(answer.search.own[name])), dashes=(5, 3)))
    shapes.append(axes.down(placed(float(answer.best.values[name]))))
    ticks = {value: f"{value:g}" for value in across.ticks()}
    shapes += axes.x_axis(f"1 {MINUS} {name}" if flipped else name, ticks)
    return Picture(width, top + HEIGHT + BELOW, (*shapes, *axes.y_axis(score)))

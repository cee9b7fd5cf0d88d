"""The picture under the verdict: its rows, its axis, and its words."""

import pandas as pd
import pytest
from said import study

from reports.figures.forest import axis_ends, forest_data, forest_figures
from reports.picture import Group, Mark, Words
from reports.statistics.ranking import ranking_of

LEVELS = {"CE": (40.0, 41.0), "Dice": (42.0, 42.0), "RMI": (50.0, 51.2), "BCE": (30.0, 44.0)}


def test_rows_stand_by_gain_with_a_tick_for_each_seed():
    data = forest_data(ranking_of(study(LEVELS)))
    assert list(data["label"]) == ["RMI", "Dice", "BCE"]
    assert data["seeds"][0] == pytest.approx((10.0, 10.2))
    assert list(data["apart"]) == [True, False, False]
    assert data["mean"][0] == pytest.approx(10.1)


def test_the_axis_holds_zero_and_every_seed_and_cuts_what_is_far_longer():
    data = forest_data(ranking_of(study(LEVELS)))
    low, high = axis_ends(data)
    ticks = [value for seeds in data["seeds"] for value in seeds]
    assert low < min(ticks)
    assert high > max(ticks)
    assert high - low < 3.5 * (max(ticks) - min(ticks))
    assert data["high"].max() > high  # BCE: -10 and +3 have an interval of 165 points


def test_it_says_in_words_what_it_shows_and_is_small():
    (figure,) = forest_figures(study(LEVELS))
    assert figure.table == ""
    assert "RMI +10.1 (+8.8 to +11.4)" in figure.alt
    for picture in (figure.drawing.wide, figure.drawing.narrow):
        words = [shape for shape in picture.shapes if isinstance(shape, Words)]
        assert {"BCE", "Dice", "RMI"} < {shape.text for shape in words}
        assert picture.height < 130


def test_a_gain_whose_interval_holds_zero_stands_back():
    (figure,) = forest_figures(study(LEVELS))
    shapes = figure.drawing.wide.shapes
    marks = [s.shapes[-1] for s in shapes if isinstance(s, Group)]
    assert [mark.filled for mark in marks if isinstance(mark, Mark)] == [True, False, False]
    assert [s.opacity < 1 for s in shapes if isinstance(s, Words)][1:6:2] == [False, True, True]


def test_a_gain_of_one_seed_beside_others_stands_back_and_the_caption_says_why():
    """RMI is clear with three seeds; Dice has one, and so no interval that could hold zero."""
    levels = {"CE": (40.0, 41.0, 42.0), "RMI": (50.0, 51.0, 52.2), "Dice": (45.0, None, None)}
    (figure,) = forest_figures(study(levels))
    assert "Hollow and grey: the interval includes zero, or one seed gives none." in figure.caption


def test_a_study_without_a_base_row_or_a_second_row_has_none():
    assert forest_figures(study({"CE": (None, None), "RMI": (50.0, 51.0)})) == []
    assert forest_figures(study({"CE": (50.0, 51.0)})) == []


def test_gains_of_zero_have_an_axis():
    """Two methods may score the same to the last digit, say after a few steps."""
    low, high = axis_ends(pd.DataFrame({"seeds": [[0.0]], "low": [0.0], "high": [0.0]}))
    assert low < 0 < high

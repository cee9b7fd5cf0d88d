"""The picture under the verdict: its rows, its axis, and its words."""

import pytest
from said import study

from reports.figures.forest import axis_ends, forest_data, forest_figures
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
    assert "BCE" in figure.drawing.svg
    height = float(figure.drawing.svg.split('height="')[1].split("pt")[0])
    assert height < 130


def test_a_study_without_a_base_row_or_a_second_row_has_none():
    assert forest_figures(study({"CE": (None, None), "RMI": (50.0, 51.0)})) == []
    assert forest_figures(study({"CE": (50.0, 51.0)})) == []

"""How many seeds a difference needs, against simulated studies and scipy's noncentral t."""

import math

import numpy as np
import pytest
from scipy import stats

from reports.statistics.forecast import (
    CONFIDENCE,
    MOST,
    POWER,
    chance_of_highest,
    forecast,
    power,
    seeds_needed,
    spread_of,
)
from reports.statistics.stats import Paired, paired

STUDIES = 200


def pilot(random: np.random.Generator, seeds: int, effect: float, spread: float) -> Paired:
    """The paired difference of one simulated study; seeds move both rows alike, by much more."""
    common = random.normal(50, 5, seeds)
    ours = common + random.normal(effect, spread, seeds)
    found = paired(dict(enumerate(ours)), dict(enumerate(common)))
    assert found is not None
    return found


@pytest.mark.parametrize(("n", "effect"), [(2, 30.0), (3, 2.0), (6, 1.0), (40, 0.5)])
def test_power_is_that_of_the_noncentral_t(n, effect):
    critical = stats.t.ppf(0.975, n - 1)
    assert power(n, effect, 1.0) == pytest.approx(
        stats.nct.sf(critical, n - 1, effect * math.sqrt(n)), abs=0.004
    )


@pytest.mark.parametrize(("effect", "images"), [(1.2, 0.0), (1.5, 0.6)])
def test_the_seeds_needed_show_the_difference_in_four_of_five_studies(effect, images):
    """Of studies with a known effect, and with one seed fewer in fewer of them."""
    needed = seeds_needed(effect, 1.0, images)
    assert needed is not None
    random = np.random.default_rng(0)

    def share(seeds: int, studies: int = 4_000) -> float:
        drawn = random.normal(effect, 1.0, (studies, seeds))
        spread = stats.t.ppf(0.975, seeds - 1) * drawn.std(1, ddof=1) / math.sqrt(seeds)
        return float((drawn.mean(1) > np.hypot(spread, images)).mean())

    error = 3 * math.sqrt(POWER * (1 - POWER) / 4_000)
    assert share(needed) > POWER - error
    assert share(needed - 1) < POWER + error
    assert needed > 3


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_range_holds_the_seeds_truly_needed_as_often_as_it_says(seeds):
    """In 200 simulated studies with a known effect and a known spread between seeds."""
    random, effect, spread = np.random.default_rng(seeds), 1.0, 0.8
    needed = seeds_needed(effect, spread)
    assert needed is not None
    held = above = 0
    for _ in range(STUDIES):
        found = forecast(pilot(random, seeds, effect, spread), effect)
        assert found is not None
        assert found.low is not None
        held += found.low <= needed <= (found.high or math.inf)
        above += (found.seeds or math.inf) > needed
    error = 3 * math.sqrt(CONFIDENCE * (1 - CONFIDENCE) / STUDIES)
    assert held / STUDIES > CONFIDENCE - error
    # Whole numbers make the range wider than 80 %, never as wide as everything.
    assert held / STUDIES < 0.97
    assert 0.3 < above / STUDIES < 0.65


def test_the_spread_of_new_seeds_is_a_chi_squared_range():
    low, middle, high = spread_of([1.0, 2.0, 4.0])
    seen = np.std([1.0, 2.0, 4.0], ddof=1)
    for found, share in ((low, 0.9), (middle, 0.5), (high, 0.1)):
        assert found == pytest.approx(seen * math.sqrt(2 / stats.chi2.ppf(share, 2)))


def test_what_no_number_of_seeds_shows_has_no_forecast():
    assert seeds_needed(0.01, 1.0) is None
    assert power(MOST, 0.01, 1.0) < 0.1
    assert seeds_needed(1.0, 0.5, images=1.1) is None
    assert forecast(pilot(np.random.default_rng(0), 1, 1.0, 1.0), 1.0) is None


def test_seeds_that_agree_need_no_more_than_two():
    found = paired({0: 1.0, 1: 1.0}, {0: 0.0, 1: 0.0}, np.array([[1.0, -1.0], [1.0, -1.0]]) / 9)
    assert found is not None
    expected = forecast(found, 5.0)
    assert expected is not None
    assert (expected.seeds, expected.high, expected.spread) == (2, 2, 0)
    assert expected.at(2) == pytest.approx(found.of_images)


def test_one_gain_over_a_tie_is_shown_in_two_and_a_half_of_100_studies():
    assert chance_of_highest(1, 3) == pytest.approx(0.025, abs=0.003)


def test_the_highest_of_many_gains_is_shown_too_often():
    """Counted again with scipy's paired t test, over studies of their own."""
    random, shown = np.random.default_rng(7), 0
    for _ in range(3000):
        base, rows = random.normal(50, 1, 4), random.normal(50, 1, (6, 4))
        highest = rows[rows.mean(1).argmax()]
        shown += stats.ttest_rel(highest, base).confidence_interval(0.95).low > 0
    assert chance_of_highest(6, 4) == pytest.approx(shown / 3000, abs=0.015)
    assert chance_of_highest(1000, 40) > 0.3  # few studies of such a size are simulated

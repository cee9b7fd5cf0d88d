"""The curve behind trials: exact where there is no noise, honest where there is."""

import numpy as np
import pytest

from bench.search_space import Space
from reports.tuning.curve import Curve, Observation

LINE = {"loss.lambda_": Space(low=0.0, high=1.0)}


def observed(values, scores, seed=0):
    return [Observation({"loss.lambda_": v}, seed, s) for v, s in zip(values, scores, strict=True)]


def test_where_trials_agree_with_a_curve_that_is_the_curve():
    """And its top is the parabola's."""
    values = np.linspace(0, 1, 9).tolist()
    curve = Curve(LINE, observed(values, [50 - 10 * (v - 0.4) ** 2 for v in values]))
    mean, low, high = curve.at([{"loss.lambda_": 0.31}])
    assert mean[0] == pytest.approx(50 - 10 * 0.09**2, abs=0.2)
    assert low[0] < mean[0] < high[0]
    best = curve.best({"loss.lambda_": 0.9})
    assert best.values["loss.lambda_"] == pytest.approx(0.4, abs=0.03)
    assert best.gain_low > 0


def test_of_noise_alone_no_gain_is_shown():
    """And the top may be nearly anywhere."""
    random = np.random.default_rng(0)
    values = np.linspace(0, 1, 12).tolist()
    best = Curve(LINE, observed(values, random.normal(55, 1, 12))).best({"loss.lambda_": 0.5})
    low, high = best.ranges["loss.lambda_"]
    assert best.gain_low <= 0 <= best.gain_high
    assert high - low > 0.6


def test_what_a_seed_adds_to_every_trial_is_taken_out():
    """A seed that is better everywhere widens no band."""
    values = np.linspace(0, 1, 7).tolist()
    scores = [50 - 10 * (v - 0.4) ** 2 for v in values]
    one = Curve(LINE, [*observed(values, scores), *observed(values, scores, seed=1)])
    shifted = observed(values, [s + 3 for s in scores], seed=1)
    two = Curve(LINE, [*observed(values, scores), *shifted])
    at = [{"loss.lambda_": 0.2}]
    assert one.at(at)[0][0] + 1.5 == pytest.approx(two.at(at)[0][0])
    assert one.at(at)[2][0] - one.at(at)[1][0] == pytest.approx(two.at(at)[2][0] - two.at(at)[1][0])


def test_the_unit_of_the_scores_does_not_matter():
    """Shares or percent."""
    random = np.random.default_rng(1)
    values = np.linspace(0, 1, 8).tolist()
    scores = random.normal(0.5, 0.01, 8)
    share = Curve(LINE, observed(values, scores)).best({"loss.lambda_": 0.5})
    percent = Curve(LINE, observed(values, 100 * scores)).best({"loss.lambda_": 0.5})
    assert share.values == percent.values
    assert 100 * share.low == pytest.approx(percent.low)


def test_several_settings_and_choices_at_once():
    """The better choice and the higher place, from a scatter."""
    spaces = {**LINE, "loss.pooling": Space(choices=("avg", "max"))}
    random = np.random.default_rng(2)
    found = []
    for i in range(24):
        values = {"loss.lambda_": float(random.uniform()), "loss.pooling": ("avg", "max")[i % 2]}
        score = 50 - 8 * (values["loss.lambda_"] - 0.7) ** 2 + 2 * (values["loss.pooling"] == "max")
        found.append(Observation(values, 0, score))
    best = Curve(spaces, found).best({"loss.lambda_": 0.1, "loss.pooling": "avg"})
    assert best.values["loss.pooling"] == "max"
    assert best.values["loss.lambda_"] == pytest.approx(0.7, abs=0.1)
    assert set(best.ranges) == {"loss.lambda_"}


def test_equal_scores_are_a_flat_curve():
    """No division by nothing."""
    values = np.linspace(0, 1, 5).tolist()
    best = Curve(LINE, observed(values, [40.0] * 5)).best({"loss.lambda_": 0.5})
    assert best.score == pytest.approx(40)


def test_bands_hold_the_truth_about_as_often_as_they_say():
    """On 40 curves of 12 trials, at a place where no trial is."""
    values = np.linspace(0, 1, 12).tolist()
    held = 0
    for repetition in range(40):
        random = np.random.default_rng(repetition)
        top = random.uniform(0.2, 0.8)
        scores = [55 - 9 * (v - top) ** 2 + random.normal() for v in values]
        _, low, high = Curve(LINE, observed(values, scores)).at([{"loss.lambda_": 0.33}])
        held += low[0] <= 55 - 9 * (0.33 - top) ** 2 <= high[0]
    assert held >= 35

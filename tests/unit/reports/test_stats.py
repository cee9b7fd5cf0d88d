"""Intervals, tests and scores against other routes to the same numbers."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats as scipy_stats
from studies_of_ties import Spread, interval_holds_zero, study

from bench.iou import class_iou, mean_known
from reports.runs import ImageCounts, compare_images, image_counts
from reports.statistics.stats import (
    Comparison,
    Estimate,
    adjusted,
    difference,
    estimate,
    holm,
    paired,
    sign_flip,
    with_test,
)

RANDOM = np.random.default_rng(0)


def matrices(images: int = 8, k: int = 5, absent: int | None = None) -> np.ndarray:
    found = RANDOM.integers(0, 50, (images, k, k)) + 80 * np.eye(k, dtype=np.int64)
    if absent is not None:
        found[:, absent], found[:, :, absent] = 0, 0
    return found


def pixels(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Truth and prediction, pixel by pixel, that give this confusion matrix."""
    truth, prediction = np.indices(matrix.shape).reshape(2, -1)
    return truth.repeat(matrix.ravel()), prediction.repeat(matrix.ravel())


@pytest.mark.parametrize("n", [2, 3, 6, 9])
def test_sign_flip_is_the_count_over_every_flip(n):
    values = RANDOM.normal(0.5, 1, n)
    flips = [abs(np.dot(signs, values)) for signs in itertools.product((-1, 1), repeat=n)]
    wanted = np.mean([flip >= abs(values.sum()) - 1e-12 for flip in flips])
    p, floor = sign_flip(list(values))
    assert p == pytest.approx(wanted)
    assert floor == 2 / 2**n


@pytest.mark.parametrize("n", [2, 4, 7, 13])
def test_sign_flip_is_scipys_also_where_sums_tie(n):
    """Rounded values tie; a sum of the same numbers in another order may differ in its last bit."""
    values = RANDOM.integers(-3, 5, n) / 10 + 0.1
    wanted = scipy_stats.permutation_test(
        (values,), np.mean, permutation_type="samples", vectorized=True, n_resamples=2**n
    )
    assert sign_flip(list(values))[0] == pytest.approx(min(1.0, wanted.pvalue), abs=1e-12)


def test_three_seeds_cannot_reach_the_level_and_six_can():
    assert sign_flip([5.0, 5.1, 4.9])[0] == 0.25
    p, floor = sign_flip([5.0, 5.1, 4.9, 5.2, 4.8, 5.05])
    assert p == floor == 2 / 64
    assert sign_flip([1.0]) == (None, None)
    assert sign_flip([0.0, 0.0, 0.0])[0] == 1.0


def test_p_of_many_seeds_is_drawn_and_near_the_exact_one():
    values = list(RANDOM.normal(0.3, 1, 15))
    p, floor = sign_flip(values)
    assert floor == 2 / 10_000
    assert p == pytest.approx(scipy_stats.ttest_1samp(values, 0).pvalue, abs=0.04)
    assert sign_flip(values)[0] == p


def test_holm_is_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p_values = [0.01, 0.04, 0.03, 0.5, 0.04, 0.25]
    assert holm(p_values) == pytest.approx(multitest.multipletests(p_values, method="holm")[1])
    one = Comparison(Estimate(1.0, None, None, 1))
    two = Comparison(Estimate(1.0, 0.5, 1.5, 6), p=0.03, floor=0.03125)
    assert [c.p_adjusted for c in adjusted([one, two, two])] == [None, 0.06, 0.06]


def test_students_interval_is_scipys():
    values = RANDOM.normal(2, 1, 5)
    found = estimate(values)
    assert found is not None
    wanted = scipy_stats.ttest_1samp(values, 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))


def test_interval_over_images_is_scipys_bootstrap():
    """Where all seeds agree, only images are left to vary, and both routes apply."""
    ours, theirs = (matrices(300, 4) for _ in range(2))
    counts = [image_counts(tuple(map(str, range(300))), m, "miou") for m in (ours, theirs)]
    found = compare_images([tuple({0: c, 1: c} for c in counts)], [0, 1])
    assert found is not None

    def gain(a: np.ndarray, b: np.ndarray) -> float:
        return 100 * (mean_known(class_iou(a.sum(0))) - mean_known(class_iou(b.sum(0))))

    drawn = scipy_stats.bootstrap(
        (np.arange(300),),
        lambda i: gain(ours[i], theirs[i]),
        vectorized=False,
        n_resamples=1_000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert found.gain.mean == pytest.approx(gain(ours, theirs))
    assert found.gain.half_width == pytest.approx((drawn.high - drawn.low) / 2, rel=0.08)
    assert found.gain.low == pytest.approx(drawn.low, abs=0.1 * found.gain.half_width)


def test_interval_is_students_where_images_move_nothing():
    ours, theirs = {0: 3.0, 1: 5.0, 2: 4.0}, {0: 1.0, 1: 4.0, 2: 2.5}
    plain, wide = paired(ours, theirs), paired(ours, theirs, np.zeros((3, 50)))
    assert plain is not None
    assert wide is not None
    assert wide.gain.half_width == pytest.approx(plain.gain.half_width)


def test_what_an_image_does_to_one_seed_alone_counts_once():
    """It is part of the seeds' variance already."""
    alone = RANDOM.normal(0, 30, (3, 400))
    alone -= alone.mean(1, keepdims=True)
    seeds = {0: 1.0, 1: 2.0, 2: 4.0}
    plain, wide = (
        paired(seeds, dict.fromkeys(seeds, 0.0)),
        paired(seeds, dict.fromkeys(seeds, 0.0), alone),
    )
    shared = paired(seeds, dict.fromkeys(seeds, 0.0), np.repeat(alone[:1], 3, 0))
    assert plain is not None
    assert wide is not None
    assert shared is not None
    assert wide.gain.half_width < 1.1 * plain.gain.half_width
    assert shared.gain.half_width > wide.gain.half_width


@pytest.mark.parametrize("seeds", [3, 6])
def test_a_tie_is_called_a_tie_as_often_as_promised(seeds):
    """200 studies here; tests/reference/studies_of_ties.py takes 2,000."""
    random, studies = np.random.default_rng(seeds), 200
    held = sum(interval_holds_zero(*study(random, seeds, Spread(), 120)) for _ in range(studies))
    # Three standard deviations of a share of 0.95 below; never fewer false alarms than none.
    assert held / studies > 0.95 - 3 * math.sqrt(0.95 * 0.05 / studies)
    assert held < studies


def test_a_difference_is_found():
    ours, theirs = study(np.random.default_rng(1), 3)
    worse = [ImageCounts(c.ids, c.hits * 8 // 10, c.unions) for c in theirs]
    found = with_test(compare_images([(dict(enumerate(ours)), dict(enumerate(worse)))], range(3)))
    assert found is not None
    assert found.gain.above_zero is True
    assert found.p == found.floor == 0.25


def test_miou_is_that_of_torchmetrics():
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("torchmetrics.classification")
    found = matrices(4, 5)
    truth, prediction = map(torch.from_numpy, pixels(found.sum(0)))
    wanted = metrics.MulticlassJaccardIndex(5)(prediction, truth)
    counts = image_counts(("a", "b", "c", "d"), found, "miou")
    assert counts.score == pytest.approx(100 * float(wanted), rel=1e-6)


@pytest.mark.parametrize("absent", [None, 3])
def test_miou_is_that_of_sklearn(absent):
    metrics = pytest.importorskip("sklearn.metrics")
    found = matrices(4, 5, absent)
    counts = image_counts(("a", "b", "c", "d"), found, "miou")
    truth, prediction = pixels(found.sum(0))
    wanted = metrics.jaccard_score(truth, prediction, average="macro")
    assert counts.score == pytest.approx(100 * wanted)
    by_image = [metrics.jaccard_score(*pixels(one), average="macro") for one in found]
    assert counts.image_score == pytest.approx(100 * np.mean(by_image))


def test_classes_beyond_those_of_the_metric_are_no_ground_to_score_on():
    """As CamVid's miou_11 with void as a class: a void prediction is a miss, void truth nothing."""
    found = matrices(3, 12)
    labelled = found.sum(0)
    labelled[11:] = 0
    wanted = mean_known(class_iou(labelled)[:11])
    assert image_counts(("a", "b", "c"), found, "miou_11").score == pytest.approx(100 * wanted)
    whole = mean_known(class_iou(found.sum(0)))
    assert image_counts(("a", "b", "c"), found, "miou_12").score == pytest.approx(100 * whole)


def test_influence_is_what_leaving_an_image_out_does():
    found = matrices(400, 4)
    ids = tuple(map(str, range(400)))
    counts = image_counts(ids, found, "miou")
    for i in (0, 7, 399):
        left = image_counts(ids[1:], np.delete(found, i, 0), "miou")
        assert 400 * (counts.score - left.score) == pytest.approx(counts.influence[i], rel=0.02)
    assert counts.influence.mean() == pytest.approx(0, abs=1e-9)


def test_interval_is_students():
    # By hand: mean 2, standard deviation 1, t(0.975, 2) = 4.30265.
    found = estimate([1, 2, 3])
    assert found is not None
    assert found.mean == 2
    assert found.half_width == pytest.approx(4.30265 / math.sqrt(3), rel=1e-5)


def test_one_seed_has_no_interval_and_none_no_estimate():
    one = estimate([0.5])
    assert one is not None
    assert (one.half_width, one.above_zero) == (None, None)
    assert estimate([]) is None


def test_difference_pairs_seeds_and_ignores_the_rest():
    found = difference({0: 3.0, 1: 5.0, 7: 100.0}, {0: 1.0, 1: 3.0, 2: 9.0})
    assert found is not None
    assert (found.mean, found.half_width, found.n) == (2.0, 0.0, 2)
    assert found.above_zero is True

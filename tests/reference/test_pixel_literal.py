"""Cross entropies against their definitions, entry by entry in float64."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from losses import BinaryCrossEntropyLoss, CrossEntropyLoss
from losses.cross_entropy import PixelLoss, weights_by_rule

IGNORED = 255


def batch(seed: int, height: int, width: int, classes: int, ignored_share: float):
    g = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(2, classes, height, width, generator=g, dtype=torch.float64)
    target = torch.randint(0, classes, (2, height, width), generator=g)
    target[torch.rand(target.shape, generator=g) < ignored_share] = IGNORED
    return logits.requires_grad_(), target


@pytest.mark.parametrize("ignored_share", [0.0, 0.4])
@pytest.mark.parametrize("classes", [2, 11])
def test_cross_entropy_is_torchs_mean_over_labelled_pixels(classes, ignored_share):
    logits, target = batch(0, 9, 7, classes, ignored_share)
    expected = F.cross_entropy(logits, target, ignore_index=IGNORED)
    actual = CrossEntropyLoss()(logits, target)
    assert_close(actual, expected, rtol=1e-12, atol=0)
    assert_close(torch.autograd.grad(actual, logits), torch.autograd.grad(expected, logits))


@pytest.mark.parametrize("ignored_share", [0.0, 0.4])
@pytest.mark.parametrize("classes", [2, 11])
def test_binary_cross_entropy_sums_classes_and_divides_by_pixels_plus_one(classes, ignored_share):
    logits, target = batch(1, 5, 6, classes, ignored_share)
    total, pixels = 0.0, 0
    gradient = torch.zeros_like(logits)
    for b, i, j in itertools.product(range(2), range(5), range(6)):
        if target[b, i, j] == IGNORED:
            continue
        pixels += 1
        for k in range(classes):
            p = 1 / (1 + math.exp(-logits[b, k, i, j].item()))
            y = float(target[b, i, j] == k)
            total -= y * math.log(p) + (1 - y) * math.log(1 - p)
            gradient[b, k, i, j] = p - y
    actual = BinaryCrossEntropyLoss()(logits, target)
    assert actual.item() == pytest.approx(total / (pixels + 1), rel=1e-12)
    assert_close(torch.autograd.grad(actual, logits)[0], gradient / (pixels + 1))


OPTIONS = [
    {"label_smoothing": 0.1},
    {"class_weights": (1.0, 0.25, 3.0, 0.0)},
    {"top_k": 0.3},
    {"label_smoothing": 0.2, "class_weights": (0.5, 1.0, 2.0, 4.0), "top_k": 0.7},
]


def literal_mean(costs, options, added):
    """Σ w·c over the share of hardest pixels, by their weights plus ``added``.

    ``costs`` holds the label and the cost of each labelled pixel.
    """
    count = math.ceil(options.get("top_k", 1.0) * len(costs))
    hardest = sorted(costs, key=lambda pixel: -pixel[1])[:count]
    weights = [options.get("class_weights", [1.0] * 4)[label] for label, _ in hardest]
    total = sum(w * cost for w, (_, cost) in zip(weights, hardest, strict=True))
    return total / (sum(weights) + added)


def labelled_pixels(logits, target):
    for b, i, j in itertools.product(range(2), range(5), range(6)):
        if target[b, i, j] != IGNORED:
            yield int(target[b, i, j]), logits[b, :, i, j].tolist()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_cross_entropy_with_options_is_its_definition(options):
    logits, target = batch(2, 5, 6, 4, 0.3)
    smoothing, costs = options.get("label_smoothing", 0.0), []
    for label, scores in labelled_pixels(logits, target):
        logs = [x - math.log(sum(map(math.exp, scores))) for x in scores]
        costs.append((label, -(1 - smoothing) * logs[label] - smoothing / 4 * sum(logs)))
    actual = CrossEntropyLoss(**options)(logits, target)
    assert actual.item() == pytest.approx(literal_mean(costs, options, 0), rel=1e-9)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_binary_cross_entropy_with_options_is_its_definition(options):
    logits, target = batch(3, 5, 6, 4, 0.3)
    smoothing, costs = options.get("label_smoothing", 0.0), []
    for label, scores in labelled_pixels(logits, target):
        cost = 0.0
        for k, x in enumerate(scores):
            y = (label == k) * (1 - smoothing) + smoothing / 2
            cost += y * math.log1p(math.exp(-x)) + (1 - y) * math.log1p(math.exp(x))
        costs.append((label, cost))
    actual = BinaryCrossEntropyLoss(**options)(logits, target)
    assert actual.item() == pytest.approx(literal_mean(costs, options, 1), rel=1e-9)


def test_weights_of_cross_entropy_are_torchs():
    logits, target = batch(4, 9, 7, 3, 0.2)
    weights = (0.2, 1.0, 5.0)
    expected = F.cross_entropy(logits, target, torch.tensor(weights).double(), ignore_index=IGNORED)
    actual = CrossEntropyLoss(class_weights=weights)(logits, target)
    assert_close(actual, expected, rtol=1e-6, atol=0)
    assert_close(torch.autograd.grad(actual, logits), torch.autograd.grad(expected, logits))


@pytest.mark.parametrize("make", [CrossEntropyLoss, BinaryCrossEntropyLoss])
def test_options_without_effect_change_no_more_than_the_order_of_sums(make):
    """Nor do ignored pixels, and the gradient is that of finite differences."""
    logits, target = batch(5, 9, 7, 3, 0.2)
    same = make(class_weights=(1.0, 1.0, 1.0))
    assert_close(same(logits, target), make()(logits, target), rtol=1e-12, atol=0)
    loss = make(class_weights=(1.0, 2.0, 0.5), top_k=0.4, label_smoothing=0.1)
    other = logits.detach().masked_fill((target == IGNORED).unsqueeze(1), 7.5)
    assert torch.equal(loss(other, target), loss(logits, target))
    assert torch.autograd.gradcheck(lambda x: loss(x, target), logits, fast_mode=True)
    value = loss(logits, torch.full_like(target, IGNORED))
    (gradient,) = torch.autograd.grad(value, logits)
    assert value == 0
    assert (gradient == 0).all()


def test_without_options_nothing_is_weighed(monkeypatch):
    """The numbers of finished runs come from the same few operations as before."""
    monkeypatch.setattr(PixelLoss, "weighted_sums", None)
    logits, target = batch(6, 9, 7, 3, 0.2)
    for make in (CrossEntropyLoss, BinaryCrossEntropyLoss):
        loss = make()
        loss.bind(3)
        assert loss.fit(pytest.fail) == {}
        assert loss.state_dict() == {}
        assert loss(logits, target) > 0


@pytest.mark.parametrize("rule", ["inverse", "sqrt-inverse", "effective"])
def test_weights_by_rule_are_those_of_the_paper(rule):
    """With a mean of 1 over the classes that occur; the rarest class weighs most."""
    pixels = [900, 90, 0, 30]
    found = weights_by_rule(rule, pixels)
    beta = 1 - 3 / 1020
    each = {
        "inverse": [1 / 900, 1 / 90, 0, 1 / 30],
        "sqrt-inverse": [1 / 30, 1 / math.sqrt(90), 0, 1 / math.sqrt(30)],
        "effective": [(1 - beta) / (1 - beta**n) if n else 0 for n in pixels],
    }[rule]
    assert found == pytest.approx([3 * x / sum(each) for x in each])
    assert found[3] > found[1] > found[0] > found[2] == 0
    assert weights_by_rule(rule, [0, 0]) == [0, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_smoothing": 1.0}, r"label_smoothing must be in \[0, 1\), got 1.0"),
        ({"top_k": 0.0}, r"top_k must be in \(0, 1\], got 0.0"),
        ({"class_weights": (0.0, 0.0)}, "must be at least 0, and not all 0, got 0.0, 0.0"),
        ({"class_weights": (1.0, -1.0)}, "must be at least 0, and not all 0, got 1.0, -1.0"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        CrossEntropyLoss(**options)


def test_weights_must_be_as_many_as_classes():
    loss = CrossEntropyLoss(class_weights=(1.0, 2.0))
    with pytest.raises(ValueError, match="class_weights has 2 numbers, but there are 3 classes"):
        loss.bind(3)
    with pytest.raises(ValueError, match="class_weights has 2 numbers, but there are 3 classes"):
        loss(*batch(7, 5, 6, 3, 0.0))

"""Focal, Tversky, Jaccard, Lovász: pixel by pixel from the definition, and by a library."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from losses import DiceLoss, FocalLoss, JaccardLoss, LovaszLoss, TverskyLoss
from losses.base import descending

IGNORED = 255
every_number_of_classes = pytest.mark.parametrize("classes", [2, 4, 11])


def batch(classes, seed=0):
    """Logits, and labels with ignored pixels and without the last class."""
    g = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(2, classes, 5, 6, generator=g, dtype=torch.float64)
    target = torch.randint(0, classes - 1, (2, 5, 6), generator=g)
    target[torch.rand(target.shape, generator=g) < 0.3] = IGNORED
    return logits.requires_grad_(), target


def pixels(logits, target):
    """Return label and probabilities of each labelled pixel, as Python's floats."""
    found = []
    for b, i, j in itertools.product(*map(range, target.shape)):
        if target[b, i, j] != IGNORED:
            powers = [math.exp(x) for x in logits[b, :, i, j].tolist()]
            found.append((int(target[b, i, j]), [power / sum(powers) for power in powers]))
    return found


def mean_over_classes(cost, labelled):
    occurring = {label for label, _ in labelled}
    return sum(map(cost, occurring)) / len(occurring)


@every_number_of_classes
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_focal_equals_its_definition(classes, gamma):
    logits, target = batch(classes)
    labelled = pixels(logits, target)
    costs = [-((1 - probs[label]) ** gamma) * math.log(probs[label]) for label, probs in labelled]
    loss = FocalLoss(gamma=gamma)(logits, target)
    assert loss.item() == pytest.approx(sum(costs) / len(costs), rel=1e-12)


@every_number_of_classes
@pytest.mark.parametrize(("alpha", "beta"), [(0.3, 0.7), (0.0, 1.0), (2.0, 0.1)])
@pytest.mark.parametrize("smooth", [0.0, 1.5])
def test_tversky_equals_its_definition(classes, alpha, beta, smooth):
    logits, target = batch(classes)
    labelled = pixels(logits, target)

    def cost(k):
        hit = sum(probs[k] for label, probs in labelled if label == k)
        extra = sum(probs[k] for label, probs in labelled if label != k)
        missed = sum(1 - probs[k] for label, probs in labelled if label == k)
        return 1 - (hit + smooth) / (hit + alpha * extra + beta * missed + smooth)

    loss = TverskyLoss(alpha=alpha, beta=beta, smooth=smooth)(logits, target)
    assert loss.item() == pytest.approx(mean_over_classes(cost, labelled), rel=1e-12)


@pytest.mark.parametrize("smooth", [0.0, 1.0])
def test_tversky_holds_dice_and_jaccard(smooth):
    """At one half and at one; 1 - D has the same gradient as 1 - T with half the smoothing."""
    logits, target = batch(5)
    half = TverskyLoss(alpha=0.5, beta=0.5, smooth=smooth / 2)(logits, target)
    assert_close(half, DiceLoss(squared=False, smooth=smooth)(logits, target))
    assert_close(TverskyLoss(alpha=1.0, beta=1.0)(logits, target), JaccardLoss()(logits, target))


@every_number_of_classes
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_jaccard_equals_its_definition(classes, smoothing):
    logits, target = batch(classes)
    labelled = pixels(logits, target)

    def cost(k):
        p = [probs[k] for _, probs in labelled]
        y = [(label == k) * (1 - smoothing) + smoothing / classes for label, _ in labelled]
        apart = sum(abs(a - b) for a, b in zip(p, y, strict=True))
        return 1 - (sum(p) + sum(y) - apart) / (sum(p) + sum(y) + apart)

    loss = JaccardLoss(label_smoothing=smoothing)(logits, target)
    assert loss.item() == pytest.approx(mean_over_classes(cost, labelled), rel=1e-12)


@pytest.mark.parametrize("smoothing", [0.1, 0.5])
def test_jaccard_is_least_at_the_smoothed_label(smoothing):
    """Where the usual soft Jaccard loss is least at a certain prediction."""
    _, target = batch(4)
    target = target.clamp(max=2).where(target != IGNORED, target)
    soft = F.one_hot(target % 255, 4).movedim(-1, 1).double() * (1 - smoothing) + smoothing / 4
    loss = JaccardLoss(label_smoothing=smoothing)
    assert loss(soft.log(), target) == pytest.approx(0, abs=1e-12)
    assert loss(2 * soft.log(), target) > 0.01


def jaccard_of(wrong, truth):
    """Return the Jaccard loss of a class whose wrong pixels are these."""
    right = [i for i, label in enumerate(truth) if label and i not in wrong]
    union = sum(truth) + sum(1 for i in wrong if not truth[i])
    return 1 - len(right) / union


@every_number_of_classes
def test_lovasz_equals_the_extension_of_the_jaccard_loss(classes):
    """Errors in descending order, each times the growth of the loss of the set of wrong pixels."""
    logits, target = batch(classes)
    labelled = pixels(logits, target)

    def cost(k):
        truth = [label == k for label, _ in labelled]
        errors = [abs((label == k) - probs[k]) for label, probs in labelled]
        order = sorted(range(len(errors)), key=lambda i: -errors[i])
        growth = [
            jaccard_of(order[: n + 1], truth) - (jaccard_of(order[:n], truth) if n else 0)
            for n in range(len(order))
        ]
        return sum(errors[i] * g for i, g in zip(order, growth, strict=True))

    loss = LovaszLoss()(logits, target)
    assert loss.item() == pytest.approx(mean_over_classes(cost, labelled), rel=1e-12)


def test_lovasz_of_a_certain_prediction_is_one_minus_the_mean_iou():
    _, target = batch(4)
    target[0, 0, :2] = 3
    predicted = target.roll(1, 2) % 4
    logits = 800.0 * F.one_hot(predicted, 4).movedim(-1, 1).double()
    labelled = target != IGNORED
    ious = []
    for k in range(4):
        ours, theirs = (predicted == k) & labelled, target == k
        ious.append(((ours & theirs).sum() / (ours | theirs).sum()).item())
    assert LovaszLoss()(logits, target).item() == pytest.approx(1 - sum(ious) / 4, rel=1e-6)


def test_the_fast_order_of_errors_is_the_stable_one():
    """With ties, zeros, ones and pixels that come last."""
    g = torch.Generator().manual_seed(0)
    errors = torch.rand(3, 999, generator=g).mul(50).round().div(50)
    errors[1] = torch.rand(999, generator=g) ** 30
    errors[torch.rand(errors.shape, generator=g) < 0.2] = -1
    expected = errors.argsort(dim=1, descending=True, stable=True)
    assert torch.equal(descending(errors), expected)


@every_number_of_classes
def test_values_and_gradients_are_those_of_a_library(classes):
    """Which averages over all classes, those that do not occur at 0."""
    smp = pytest.importorskip("segmentation_models_pytorch.losses")
    functional = pytest.importorskip("segmentation_models_pytorch.losses._functional")
    logits, target = batch(classes)
    kind = {"mode": "multiclass", "ignore_index": IGNORED}
    share = classes / len(target[target != IGNORED].unique())
    labelled = target != IGNORED
    flat = logits.movedim(1, -1)[labelled], target[labelled]
    focal = functional.softmax_focal_loss_with_logits(*flat, gamma=2.0)
    pairs = [
        (
            TverskyLoss(),
            smp.TverskyLoss(**kind, alpha=0.3, beta=0.7, eps=0.0)(logits, target) * share,
        ),
        (JaccardLoss(), smp.JaccardLoss(**kind, eps=0.0)(logits, target) * share),
        (FocalLoss(), focal),
    ]
    for loss, expected in pairs:
        actual = loss(logits, target)
        assert_close(actual, expected, rtol=1e-6, atol=1e-9)
        ours, theirs = (
            torch.autograd.grad(x, logits, retain_graph=True)[0] for x in (actual, expected)
        )
        assert_close(ours, theirs, rtol=1e-6, atol=1e-9)


@every_number_of_classes
def test_lovasz_is_that_of_a_library(classes):
    """Which takes float32 only."""
    smp = pytest.importorskip("segmentation_models_pytorch.losses")
    logits, target = batch(classes)
    logits = logits.float()
    expected = smp.LovaszLoss(mode="multiclass", ignore_index=IGNORED)(logits, target)
    actual = LovaszLoss()(logits, target)
    assert_close(actual, expected, rtol=1e-6, atol=0)
    assert_close(*(torch.autograd.grad(x, logits)[0] for x in (actual, expected)))


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (FocalLoss, {"gamma": -0.1}, "gamma must be a number of at least 0, got -0.1"),
        (FocalLoss, {"gamma": float("nan")}, "gamma must be a number of at least 0, got nan"),
        (TverskyLoss, {"alpha": -1.0}, "alpha must be a number of at least 0, got -1.0"),
        (TverskyLoss, {"smooth": float("inf")}, "smooth must be a number of at least 0, got inf"),
        (TverskyLoss, {"beta": 0.0}, "beta must be a number above 0, got 0.0"),
        (JaccardLoss, {"label_smoothing": 1.0}, r"label_smoothing must be in \[0, 1\), got 1.0"),
    ],
)
def test_options_out_of_range_are_refused(make, options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)

"""The Dice loss against its definition, pixel by pixel in float64."""

import itertools
import math

import pytest
import torch
from torch.testing import assert_close

from losses import DiceLoss

IGNORED = 255


def batch(classes: int, seed: int = 0):
    """Logits, and labels with ignored pixels and without the last class."""
    g = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(2, classes, 5, 6, generator=g, dtype=torch.float64)
    target = torch.randint(0, classes - 1, (2, 5, 6), generator=g)
    target[torch.rand(target.shape, generator=g) < 0.3] = IGNORED
    return logits.requires_grad_(), target


def literal_dice(logits, target, *, smooth, squared):
    """Value and gradient of the loss, both written out with Python's floats.

    With N and S the numerator and the denominator of D, its derivative by a probability p is
    2·y/S - N/S²·(2·p or 1); through the softmax, p_k has the derivative p_k·(1[k=j] - p_j) by x_j.
    """
    classes = logits.shape[1]
    pixels = []
    for b, i, j in itertools.product(*map(range, target.shape)):
        if target[b, i, j] != IGNORED:
            powers = [math.exp(x) for x in logits[b, :, i, j].tolist()]
            probs = [power / sum(powers) for power in powers]
            pixels.append((b, i, j, int(target[b, i, j]), probs))
    occurring = {label for *_, label, _ in pixels}
    above, below = {}, {}
    for k in occurring:
        above[k] = below[k] = smooth
        for *_, label, probs in pixels:
            y = float(label == k)
            above[k] += 2 * probs[k] * y
            below[k] += (probs[k] ** 2 if squared else probs[k]) + y
    value = sum(1 - above[k] / below[k] for k in occurring) / len(occurring)
    gradient = torch.zeros_like(logits)
    for b, i, j, label, probs in pixels:
        for k, channel in itertools.product(occurring, range(classes)):
            size_slope = 2 * probs[k] if squared else 1.0
            slope = 2 * (label == k) / below[k] - above[k] / below[k] ** 2 * size_slope
            through = probs[k] * ((k == channel) - probs[channel])
            gradient[b, channel, i, j] -= slope * through / len(occurring)
    return value, gradient


@pytest.mark.parametrize("classes", [2, 4, 11])
@pytest.mark.parametrize("smooth", [0.0, 1.0])
@pytest.mark.parametrize("squared", [True, False])
def test_dice_equals_its_definition_pixel_by_pixel(classes, smooth, squared):
    logits, target = batch(classes)
    value, gradient = literal_dice(logits, target, smooth=smooth, squared=squared)
    loss = DiceLoss(smooth=smooth, squared=squared)(logits, target)
    assert loss.item() == pytest.approx(value, rel=1e-12)
    assert_close(torch.autograd.grad(loss, logits)[0], gradient, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("squared", [True, False])
def test_certain_predictions_give_one_minus_the_dice_coefficient_of_sets(squared):
    """Both denominators count pixels where p is 0 or 1."""
    _, target = batch(4)
    target[0, 0, :2] = 3  # so that every class occurs
    predicted = target.roll(1, 2) % 4
    logits = 800.0 * torch.nn.functional.one_hot(predicted, 4).permute(0, 3, 1, 2).double()
    labelled = target != IGNORED
    coefficients = []
    for k in range(4):
        ours, theirs = (predicted == k) & labelled, target == k
        coefficients.append(2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()))
    expected = 1 - torch.stack(coefficients).double().mean()
    actual = DiceLoss(squared=squared)(logits, target)
    assert_close(actual, expected, rtol=1e-6, atol=0)  # a quotient of integers is float32


def test_a_right_and_certain_prediction_costs_nothing_however_few_classes_occur():
    _, target = batch(6)
    target = target.clamp(max=1).where(target != IGNORED, target)
    right = torch.nn.functional.one_hot(target % 6, 6).permute(0, 3, 1, 2)
    for smooth in (0.0, 1.0):
        assert DiceLoss(smooth=smooth)(800.0 * right.double(), target) == 0


@pytest.mark.parametrize("smooth", [-0.1, float("nan"), float("inf")])
def test_smooth_out_of_range_is_refused(smooth):
    with pytest.raises(ValueError, match=f"smooth must be a number of at least 0, got {smooth}"):
        DiceLoss(smooth=smooth)

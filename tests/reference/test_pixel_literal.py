"""Cross entropies against their definitions, entry by entry in float64."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from losses import BinaryCrossEntropyLoss, CrossEntropyLoss

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

"""The boundary loss against distances from every pixel to every other one."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from losses import BoundaryLoss
from losses.boundary import signed_distances

IGNORED = 255


def literal_distances(labels, classes):
    """Signed distances of one map by loops over pairs of pixels."""
    places = list(itertools.product(*map(range, labels.shape)))
    present = {labels[p] for p in places} - {-1}
    found = np.zeros((classes, *labels.shape))
    for k, p in itertools.product(sorted(present), places):
        others = [q for q in places if labels[q] not in (-1, k)]
        own = [q for q in places if labels[q] == k]
        if labels[p] == -1 or not others:
            continue
        if labels[p] == k:
            found[k][p] = 1 - min(math.dist(p, q) for q in others)
        else:
            found[k][p] = min(math.dist(p, q) for q in own)
    return found


def maps(seed):
    """A map of several classes with holes, one of a single class, one without labels."""
    labels = np.random.default_rng(seed).integers(0, 3, (3, 4, 5)).repeat(2, 1).repeat(2, 2)
    labels[0, :2, 3:6] = -1
    labels[1] = 2
    labels[2] = -1
    return labels


@pytest.mark.parametrize("seed", range(5))
def test_distances_are_those_of_every_pair_of_pixels(seed):
    labels = maps(seed)
    found = signed_distances(torch.from_numpy(labels), 4)
    expected = np.stack([literal_distances(image, 4) for image in labels])
    assert found.dtype == torch.float32
    assert_close(found, torch.from_numpy(expected).float(), rtol=1e-6, atol=0)
    assert (found[1:] == 0).all()
    assert (found[:, 3] == 0).all()


def test_the_loss_is_the_mean_distance_of_the_mass():
    labels = torch.from_numpy(maps(0))
    target = labels.where(labels >= 0, IGNORED)
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, *labels.shape[1:], generator=g, dtype=torch.float64)
    distances = np.stack([literal_distances(image, 4) for image in labels.numpy()])
    expected = (logits.softmax(1).numpy() * distances).sum() / (labels >= 0).sum().item()
    assert BoundaryLoss()(logits, target).item() == pytest.approx(expected, rel=1e-6)


def test_a_mistake_costs_its_distance():
    """A pixel given to the other half of the image, three columns from its border."""
    target = torch.zeros(1, 4, 10, dtype=torch.int64)
    target[..., 5:] = 1
    logits = 800.0 * torch.nn.functional.one_hot(target, 2).movedim(-1, 1).double()
    right = BoundaryLoss()(logits, target)
    logits[0, :, 1, 2] = logits[0, :, 1, 2].flip(0)
    # It was at -2 in its own class and is now at 3 from the other.
    assert_close((BoundaryLoss()(logits, target) - right) * 40, torch.tensor(5.0).double())

"""Cross entropies and the affinity field against their definitions, entry by entry in float64."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from losses import AffinityFieldLoss, BinaryCrossEntropyLoss, CrossEntropyLoss

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


FLOOR = 1e-4


def cell(logits, target, b, i, j, stride):
    """Return one-hot truth and probabilities at a cell of the resized map, as the port does."""
    classes, height, width = logits.shape[1:]
    rows, columns = height // stride, width // stride
    nothing = [0] * classes, torch.full((classes,), FLOOR, dtype=torch.float64)
    if not (0 <= i < rows and 0 <= j < columns):
        return nothing
    label = target[b, i * height // rows, j * width // columns]  # nearest
    if label == IGNORED:
        return nothing
    v, u = i * (height - 1) / (rows - 1), j * (width - 1) / (columns - 1)  # corners aligned
    mixed = 0
    for y, x in itertools.product((int(v), int(v) + 1), (int(u), int(u) + 1)):
        if y < height and x < width:
            mixed = mixed + (1 - abs(v - y)) * (1 - abs(u - x)) * logits[b, :, y, x]
    probabilities = mixed.exp() / mixed.exp().sum()
    return [int(label == k) for k in range(classes)], probabilities.clamp(min=FLOOR)


def literal_affinity(logits, target, *, size, stride, margin=3.0):
    """Return the mean edge and the mean non-edge cost of the published port, pair by pair."""
    count, classes, height, width = logits.shape
    edges, others = [], []
    steps = [step for step in itertools.product((-size, 0, size), repeat=2) if step != (0, 0)]
    for b, i, j in itertools.product(range(count), range(height // stride), range(width // stride)):
        here, p = cell(logits, target, b, i, j, stride)
        for di, dj in steps:
            there, q = cell(logits, target, b, i + di, j + dj, stride)
            ratio = (1 - q + FLOOR) / (1 - p + FLOOR)
            divergence = q * (q / p).log() + (1 - q + FLOOR) * ratio.log()
            for k in range(classes):
                if here[k] != there[k]:
                    edges.append((margin - divergence[k]).clamp(min=0))
                else:
                    others.append(divergence[k])
    return torch.stack(edges).mean(), torch.stack(others).mean()


@pytest.mark.parametrize(
    ("height", "width", "stride", "size"),
    [(41, 50, 8, 1), (9, 8, 2, 1), (13, 12, 2, 2), (6, 5, 1, 1)],
)
@pytest.mark.parametrize("ignored_share", [0.0, 0.3])
def test_affinity_field_equals_the_port_pair_by_pair(height, width, stride, size, ignored_share):
    logits, target = batch(2, height, width, 4, ignored_share)
    edge, nonedge = literal_affinity(logits, target, size=size, stride=stride)
    progress = 0.25
    expected = 20**-progress * (0.7 * edge + 1.3 * nonedge)
    loss = AffinityFieldLoss(size=size, stride=stride, lambda_edge=0.7, lambda_nonedge=1.3)
    terms = loss.terms(logits, target, progress=progress)

    assert_close(terms["ce"], F.cross_entropy(logits, target, ignore_index=IGNORED))
    assert_close(terms["affinity"], expected, rtol=1e-10, atol=0)
    (actual,) = torch.autograd.grad(terms["affinity"], logits)
    (reference,) = torch.autograd.grad(expected, logits)
    assert_close(actual, reference, rtol=1e-8, atol=1e-12)


def test_affinity_decays_from_one_to_a_twentieth():
    logits, target = batch(3, 16, 16, 3, 0.0)
    loss = AffinityFieldLoss(stride=2)
    start, end = (loss.terms(logits, target, progress=share)["affinity"] for share in (0.0, 1.0))
    assert_close(start, 20 * end)

"""The affinity field's variants pair by pair, and the port against a plain transcription."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from bench.perf.plain_affinity import plain_affinity_loss
from losses import AffinityFieldLoss

IGNORED = 255
FLOOR = 1e-4
MARGIN = 3.0


def batch(seed: int, height: int, width: int, ignored_share: float, images=2, classes=4):
    g = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(images, classes, height, width, generator=g, dtype=torch.float64)
    # Some probabilities below the floor, and some above 1 minus it.
    logits[:, :, : height // 2, ::3] *= 5
    target = torch.randint(0, classes, (images, height, width), generator=g)
    target[torch.rand(target.shape, generator=g) < ignored_share] = IGNORED
    return logits.requires_grad_(), target


def resize(logits, target, rows, columns):
    """Return label and class probabilities at each (image, row, column) of the smaller map."""
    height, width = target.shape[1:]
    cells = {}
    for b, i, j in itertools.product(range(len(target)), range(rows), range(columns)):
        v, u = i * (height - 1) / (rows - 1), j * (width - 1) / (columns - 1)  # corners aligned
        mixed = 0
        for y, x in itertools.product((int(v), int(v) + 1), (int(u), int(u) + 1)):
            if y < height and x < width:
                mixed = mixed + (1 - abs(v - y)) * (1 - abs(u - x)) * logits[b, :, y, x]
        label = int(target[b, i * height // rows, j * width // columns])  # nearest
        cells[b, i, j] = label, mixed.exp() / mixed.exp().sum()
    return cells


def steps(size):
    return [step for step in itertools.product((-size, 0, size), repeat=2) if step != (0, 0)]


def kl(q, p):
    """Return the divergence of outcomes p from outcomes q, each a pair of probabilities."""
    return sum(b * (b / a).log() for a, b in zip(p, q, strict=True))


def entries(cells, size, variant, classes):
    """Yield (label of the centre, whether an edge, cost) of each pair and channel that counts."""
    outcomes = {}
    for at, (label, p) in cells.items():
        if variant != "port":
            outcomes[at] = p.clamp(FLOOR, 1), (1 - p).clamp(FLOOR, 1)
            continue
        p = torch.zeros_like(p) if label == IGNORED else p
        p = p.clamp(min=FLOOR)
        outcomes[at] = p, 1 - p + FLOOR
    beyond = torch.full((classes,), FLOOR, dtype=torch.float64)
    beyond = beyond, 1 - beyond + FLOOR
    for b, i, j in cells:
        for di, dj in steps(size):
            there, opposite = (b, i + di, j + dj), (b, i - di, j - dj)
            here, other, behind = (
                cells.get(at, (IGNORED,))[0] for at in ((b, i, j), there, opposite)
            )
            if variant != "port" and IGNORED in (here, other, behind):
                continue
            divergence = kl(outcomes.get(there, beyond), outcomes[b, i, j])
            for k in range(classes):
                edge = (here == k) != (other == k)
                yield here, edge, (MARGIN - divergence[k]).clamp(min=0) if edge else divergence[k]


def means(cells, size, variant, classes, weight=lambda edge, label: 1.0):
    """Return the mean cost of edges and that of the rest; 0 where there is none."""
    costs = {True: [torch.zeros(())], False: [torch.zeros(())]}
    for label, edge, cost in entries(cells, size, variant, classes):
        costs[edge].append(weight(edge, label) * cost)
    return [sum(costs[edge]) / max(1, len(costs[edge]) - 1) for edge in (True, False)]


SHAPES = pytest.mark.parametrize(
    ("height", "width", "stride", "size"),
    [(41, 50, 8, 1), (9, 8, 2, 1), (13, 11, 2, 2), (6, 5, 1, 1)],
)
IGNORING = pytest.mark.parametrize("ignored_share", [0.0, 0.15])


def assert_equal_with_gradient(actual, expected, *inputs):
    assert_close(actual, expected, rtol=1e-10, atol=0)
    for a, e in zip(
        torch.autograd.grad(actual, inputs), torch.autograd.grad(expected, inputs), strict=True
    ):
        assert_close(a, e, rtol=1e-8, atol=1e-12)


@SHAPES
@IGNORING
@pytest.mark.parametrize("variant", ["port", "original"])
def test_port_and_original_pair_by_pair(variant, height, width, stride, size, ignored_share):
    logits, target = batch(2, height, width, ignored_share)
    up = math.ceil if variant == "original" else math.floor
    cells = resize(logits, target, up(height / stride), up(width / stride))
    edge, rest = means(cells, size, variant, 4)
    expected = 20**-0.25 * (0.7 * edge + 1.3 * rest)

    loss = AffinityFieldLoss(
        variant=variant, size=size, stride=stride, lambda_edge=0.7, lambda_nonedge=1.3
    )
    terms = loss.terms(logits, target, progress=0.25)
    assert_close(terms["ce"], F.cross_entropy(logits, target, ignore_index=IGNORED))
    assert_equal_with_gradient(terms["affinity"], expected, logits)


@IGNORING
def test_adaptive_pair_by_pair(ignored_share):
    """Its weights learn uphill: their derivative has the other sign."""
    logits, target = batch(3, 16, 13, ignored_share, images=1, classes=3)
    loss = AffinityFieldLoss(variant="adaptive", stride=2, lambda_edge=0.7, lambda_nonedge=1.3)
    loss.bind(3)
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        loss.size_scores.copy_(torch.randn(loss.size_scores.shape, generator=g))
    loss = loss.double()
    shares = loss.size_scores.softmax(0)

    cells = resize(logits, target, 8, 7)
    expected = 0
    for size in (1, 2, 3):
        edge, rest = means(
            cells, size, "adaptive", 3, lambda edge, k, s=size - 1: shares[s, 1 - edge, k]
        )
        expected = expected + 0.7 * edge + 1.3 * rest
    actual = loss.terms(logits, target)["affinity"]
    climbing = torch.autograd.grad(expected, loss.size_scores, retain_graph=True)[0]
    (learned,) = torch.autograd.grad(actual, loss.size_scores, retain_graph=True)
    assert_close(learned, -climbing, rtol=1e-8, atol=1e-12)
    assert learned.abs().min() > 0
    assert_equal_with_gradient(actual, expected, logits)


@pytest.mark.parametrize(("stride", "size"), [(8, 1), (3, 2), (1, 1)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 1e-5)])
def test_port_equals_the_plain_transcription(stride, size, dtype, tolerance):
    logits, target = batch(4, 65, 70, 0.05)
    logits = logits.detach().to(dtype).requires_grad_()
    loss = AffinityFieldLoss(size=size, stride=stride, lambda_edge=0.7)
    actual = loss(logits, target, progress=0.5)
    expected = plain_affinity_loss(
        logits, target, size=size, stride=stride, lambda_edge=0.7, decay=20**-0.5
    )
    assert_close(actual, expected, rtol=tolerance, atol=0)
    a, e = (torch.autograd.grad(value, logits)[0] for value in (actual, expected))
    assert (a - e).norm() <= 2 * tolerance * e.norm()


def test_affinity_decays_from_one_to_a_twentieth():
    logits, target = batch(3, 16, 16, 0.0)
    loss = AffinityFieldLoss(stride=2)
    start, end = (loss.terms(logits, target, progress=share)["affinity"] for share in (0.0, 1.0))
    assert_close(start, 20 * end)

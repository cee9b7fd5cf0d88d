"""The sigmoid terms: gradients known in advance, and those that come from outside."""

import pytest
import torch
import torch.nn.functional as F

from losses.region.sigmoid import SigmoidTerms
from losses.region.windows import Grid

EXPECTED = torch.tensor(0.25)
POOLED = [0, 3, 5]


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 7, 9, generator=generator).requires_grad_()
    labels = torch.randint(3, (2, 7, 9), generator=generator)
    return logits, labels, torch.rand(2, 7, 9, generator=generator) > 0.2


def terms(logits: torch.Tensor, labels: torch.Tensor, valid: torch.Tensor):
    total, means, _ = SigmoidTerms.apply(logits, labels, valid, Grid(2, 1), POOLED, EXPECTED)
    return total, means


def plain_gradient(of_sum: float, of_means: float) -> torch.Tensor:
    logits, labels, valid = batch()
    truth = F.one_hot(labels, 3).movedim(-1, 1).float()
    mask = valid.unsqueeze(1)
    bce = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    means = F.avg_pool2d((logits.sigmoid() * mask).flatten(0, 1)[POOLED], 2, padding=1)
    (of_sum * (bce * mask).sum() + of_means * means.square().sum()).backward()
    assert logits.grad is not None
    return logits.grad


@pytest.mark.parametrize("of_sum", [0.25, 0.7, 0.0], ids=["expected", "another", "zero"])
@pytest.mark.parametrize("of_means", [1.0, 0.0])
def test_any_gradient_may_arrive(of_sum: float, of_means: float) -> None:
    logits, *others = batch()
    total, means = terms(logits, *others)
    (of_sum * total + of_means * means.square().sum()).backward()
    torch.testing.assert_close(logits.grad, plain_gradient(of_sum, of_means))


@pytest.mark.parametrize("of_sum", [0.25, 0.7])
def test_only_the_sum_is_used(of_sum: float) -> None:
    logits, *others = batch()
    total, _ = terms(logits, *others)
    (of_sum * total).backward()
    torch.testing.assert_close(logits.grad, plain_gradient(of_sum, 0))


def test_only_the_means_are_used() -> None:
    logits, *others = batch()
    _, means = terms(logits, *others)
    means.square().sum().backward()
    torch.testing.assert_close(logits.grad, plain_gradient(0, 1))


def test_a_kept_graph_gives_the_same_gradient_twice() -> None:
    logits, *others = batch()
    total, means = terms(logits, *others)
    loss = 0.25 * total + means.square().sum()
    (first,) = torch.autograd.grad(loss, logits, retain_graph=True)
    kept = first.clone()
    first.zero_()  # it is the caller's
    (second,) = torch.autograd.grad(loss, logits)
    assert second.equal(kept)

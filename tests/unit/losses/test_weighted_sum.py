"""A weighted sum of losses: its value, its terms, and the parts that it hands to each loss."""

import pytest
import torch
from torch import nn

import losses
from bench.spec import LossSpec, TermSpec
from losses import SegmentationLoss, build_loss, loss_from
from losses.weighted_sum import WeightedSum


def a_batch():
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 32, 32, generator=g, dtype=torch.float64)
    return logits, torch.randint(0, 3, (2, 32, 32), generator=g)


def sum_of(*terms):
    named = [TermSpec(name=name, weight=weight, options=o) for weight, name, o in terms]
    return loss_from(LossSpec(name="sum", terms=tuple(named)))


def test_value_and_gradient_are_the_sum_of_the_parts():
    """Each loss with its options, times its weight."""
    logits, target = a_batch()
    x, y = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    together = sum_of((0.25, "ce", {}), (0.75, "rmi", {"pooling": "max"}))(x, target)
    apart = 0.25 * build_loss("ce")(y, target) + 0.75 * build_loss("rmi", pooling="max")(y, target)
    together.backward()
    apart.backward()
    torch.testing.assert_close(together, apart, rtol=1e-12, atol=0)
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-9, atol=1e-15)


def test_terms_keep_their_names():
    """A name that occurs twice gets the number of its loss."""
    terms = sum_of((1, "ce", {}), (0.5, "rmi", {}), (2, "dice", {}), (3, "dice", {"smooth": 1.0}))
    assert list(terms.terms(*a_batch())) == ["ce", "bce", "rmi", "dice", "dice-4"]


def test_probabilities_are_those_of_the_first_loss():
    logits, _ = a_batch()
    for first, second in (("bce", "ce"), ("ce", "bce")):
        found = sum_of((0.5, first, {}), (0.5, second, {})).probabilities(logits)
        assert torch.equal(found, build_loss(first).probabilities(logits))


def test_a_crop_must_suit_every_loss():
    with pytest.raises(ValueError, match="region_size"):
        sum_of((0.5, "ce", {}), (0.5, "rmi", {})).check_input_size(8, 8)


class Learning(SegmentationLoss):
    """Learns a weight for each class, and notes how often it is evaluated."""

    calls = 0

    def bind(self, num_classes):
        self.scale = nn.Parameter(torch.ones(num_classes))

    def terms(self, logits, target, *, progress=0.0):
        type(self).calls += 1
        return {"learning": (logits * self.scale.view(1, -1, 1, 1)).mean() * progress}


def test_each_loss_learns_its_parameters_and_sees_the_progress():
    """They are parameters of the sum, which is what the optimiser gets."""
    logits, target = a_batch()
    loss = WeightedSum([(1.0, build_loss("ce")), (2.0, Learning())])
    loss.bind(3)
    (scale,) = loss.parameters()
    loss(logits, target, progress=0.5).backward()
    assert torch.allclose(scale.grad, logits.mean((0, 2, 3)).float() / 3)


def test_a_loss_of_weight_0_is_not_evaluated(monkeypatch):
    """Its specification leaves it out."""
    from bench.preflight import resolve_loss
    from studies.sums import resolved

    monkeypatch.setattr(losses, "LOSSES", {**losses.LOSSES, "learning": Learning})
    monkeypatch.setattr(Learning, "calls", 0)
    for weight, calls in ((0, 0), (0.5, 1)):
        weights = {"ce.weight": 0.5, "learning.weight": weight}
        loss = loss_from(resolved(weights, resolve_loss)[0])
        loss.bind(3)
        loss(*a_batch())
        assert Learning.calls == calls

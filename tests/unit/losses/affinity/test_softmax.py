"""Softmax cross entropy and resized logits in one pass, against torch's own functions."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from losses.affinity import softmax
from losses.affinity.softmax import SoftmaxTerms, add_resized_back, resized

IGNORED = 255


def batch(scale=2.0, dtype=torch.float64):
    g = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(2, 5, 13, 11, generator=g, dtype=dtype)
    target = torch.randint(0, 5, (2, 13, 11), generator=g)
    target[0, :4] = IGNORED
    return logits.requires_grad_(), target


def both(logits, shape):
    return F.interpolate(logits, shape, mode="bilinear", align_corners=True)


@pytest.mark.parametrize("shape", [(13, 11), (6, 5), (2, 4), (1, 1)])
@pytest.mark.parametrize("block", [1, 200, 10**6])
def test_both_terms_and_their_gradient_are_torchs(shape, block, monkeypatch):
    monkeypatch.setattr(softmax, "CPU_BLOCK", block)
    logits, target = batch()
    direction = torch.randn(*shape, generator=torch.Generator().manual_seed(1)).double()
    actual = SoftmaxTerms.apply(logits, target, target != IGNORED, shape)
    expected = F.cross_entropy(logits, target, ignore_index=IGNORED), both(logits, shape)
    assert_close(actual, expected, rtol=1e-12, atol=1e-12)
    a, e = (
        torch.autograd.grad(0.3 * mean + (maps * direction).sum(), logits)[0]
        for mean, maps in (actual, expected)
    )
    assert_close(a, e, rtol=1e-10, atol=1e-13)


def test_either_term_alone_has_its_gradient():
    logits, target = batch()
    mean, maps = SoftmaxTerms.apply(logits, target, target != IGNORED, (6, 5))
    (a,) = torch.autograd.grad(mean, logits, retain_graph=True)
    (e,) = torch.autograd.grad(F.cross_entropy(logits, target, ignore_index=IGNORED), logits)
    assert_close(a, e)
    (a,) = torch.autograd.grad(maps.square().sum(), logits)
    (e,) = torch.autograd.grad(both(logits, (6, 5)).square().sum(), logits)
    assert_close(a, e)


@pytest.mark.parametrize("scale", [1e2, 1e4, 1e30])
def test_large_logits_keep_their_digits(scale):
    """In float32; nothing is lost to a sum with the largest logit."""
    logits, target = batch(scale, torch.float32)
    actual, _ = SoftmaxTerms.apply(logits, target, target != IGNORED, (6, 5))
    expected = F.cross_entropy(logits, target, ignore_index=IGNORED)
    assert_close(actual, expected, rtol=1e-6, atol=0)
    gradients = (torch.autograd.grad(value, logits)[0] for value in (actual, expected))
    assert_close(*gradients, rtol=1e-5, atol=1e-8)


def test_what_comes_back_is_the_adjoint():
    """⟨resized x, y⟩ = ⟨x, y back⟩."""
    x, _ = batch()
    y = torch.randn(2, 5, 6, 5, generator=torch.Generator().manual_seed(1)).double()
    back = torch.zeros_like(x)
    add_resized_back(back, y)
    assert_close((resized(x, (6, 5)) * y).sum(), (x * back).sum())


@pytest.mark.parametrize("shape", [(13, 11), (6, 5), (2, 4), (1, 1)])
def test_what_comes_back_on_a_gpu_is_what_comes_back_on_a_cpu(shape, monkeypatch):
    """To rounding: a GPU adds column by column, in a fixed order."""
    y = torch.randn(2, 5, *shape, generator=torch.Generator().manual_seed(1)).double()
    expected, actual = torch.ones(2, 2, 5, 13, 11).double()
    add_resized_back(expected, y)
    monkeypatch.setattr(softmax, "on_host", lambda _: False)
    add_resized_back(actual, y)
    assert_close(actual, expected, rtol=1e-12, atol=1e-12)

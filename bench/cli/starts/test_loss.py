"""The contract of the loss my_loss."""

import torch

from losses import build_loss

IGNORED = 255


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits that require a gradient, and labels of which some are ignored."""
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 9, 8, generator=g, dtype=torch.float64, requires_grad=True)
    target = torch.randint(0, 3, (2, 9, 8), generator=g)
    target[0, :2] = IGNORED
    return logits, target


def test_gradients_are_those_of_finite_differences() -> None:
    """In float64."""
    loss, (logits, target) = build_loss("my_loss"), batch()
    assert torch.autograd.gradcheck(lambda x: loss(x, target), logits, fast_mode=True)


def test_logits_of_ignored_pixels_change_nothing() -> None:
    """To the bit."""
    loss, (logits, target) = build_loss("my_loss"), batch()
    other = logits.detach().clone()
    other[0, :, :2] = 7.5
    assert torch.equal(loss(other, target), loss(logits, target))


def test_without_a_labelled_pixel_all_is_zero_and_differentiable() -> None:
    """An image of nothing but void must not end a training."""
    loss, (logits, target) = build_loss("my_loss"), batch()
    value = loss(logits, torch.full_like(target, IGNORED))
    value.backward()
    assert value == 0
    assert (logits.grad == 0).all()


def test_large_logits_stay_finite() -> None:
    """Value and gradient, in float32."""
    loss, (logits, target) = build_loss("my_loss"), batch()
    large = (1e4 * logits.detach().float()).requires_grad_()
    value = loss(large, target)
    value.backward()
    assert value.isfinite()
    assert large.grad is not None
    assert large.grad.isfinite().all()

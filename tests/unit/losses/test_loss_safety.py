"""What a training may throw at a loss, and what comes back."""

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch.testing import assert_close

from losses import LOSSES, RMILoss, build_loss

IGNORED = 255
NEIGHBOURS = ["rmi", "affinity", "cwmi"]
every_loss = pytest.mark.parametrize("name", LOSSES)


def batch(classes: int = 3, height: int = 48, width: int = 40):
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(2, classes, height, width, generator=g)
    return logits, torch.randint(0, classes, (2, height, width), generator=g)


def value_and_gradient(loss, logits, target):
    leaf = logits.detach().clone().requires_grad_()
    value = loss(leaf, target)
    return value.detach(), torch.autograd.grad(value, leaf)[0]


@every_loss
def test_one_class_fills_the_image(name):
    logits, target = batch()
    value, gradient = value_and_gradient(build_loss(name), logits, torch.ones_like(target))
    assert value.isfinite()
    assert gradient.isfinite().all()


@every_loss
@pytest.mark.parametrize("constant", [0.0, -3.0, 40.0])
def test_constant_logits(name, constant):
    logits, target = batch()
    value, gradient = value_and_gradient(
        build_loss(name), torch.full_like(logits, constant), target
    )
    assert value.isfinite()
    assert gradient.isfinite().all()


def test_a_constant_prediction_moves_rmi_by_its_pixel_term_alone():
    """No covariance, no gradient: where nothing is padded the region term says nothing at all."""
    logits, target = batch()
    logits = torch.zeros_like(logits).requires_grad_()
    (gradient,) = torch.autograd.grad(
        RMILoss(formulation="paper").terms(logits, target)["rmi"], logits
    )
    assert (gradient == 0).all()


@every_loss
def test_one_of_two_images_is_wholly_ignored(name):
    logits, target = batch()
    target[1] = IGNORED
    value, gradient = value_and_gradient(build_loss(name), logits, target)
    assert value.isfinite()
    assert (gradient[1] == 0).all()
    assert (gradient[0] != 0).any()


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in NEIGHBOURS])
def test_a_map_of_one_pixel_is_enough_for_a_pixel_wise_loss(name):
    value, gradient = value_and_gradient(build_loss(name), *batch(3, 1, 1))
    assert value.isfinite()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_a_map_of_one_pixel_has_no_neighbours(name):
    with pytest.raises(ValueError, match=r"a crop of 1 x 1 is .*too small"):
        build_loss(name)(*batch(3, 1, 1))


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_saturate_nothing(name, dtype):
    """At ±10, where a sigmoid in half precision is 0 or 1."""
    logits, target = batch()
    half = (10 * logits.sign()).to(dtype)
    expected = value_and_gradient(build_loss(name), half.float(), target)
    actual = value_and_gradient(build_loss(name), half, target)
    assert_close(actual[0], expected[0])
    assert_close(actual[1].float(), expected[1], rtol=1e-2, atol=1e-6)


@every_loss
def test_autocast_changes_no_bit(name):
    logits, target = batch()
    expected = value_and_gradient(build_loss(name), logits, target)
    with torch.autocast("cpu", torch.bfloat16):
        actual = value_and_gradient(build_loss(name), logits, target)
    for one, other in zip(actual, expected, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", ["bce", "rmi", "affinity", "cwmi"])
def test_a_second_derivative_is_refused(name):
    """Those losses know their gradient in closed form, and not the gradient's."""
    logits, target = batch()
    logits.requires_grad_()
    with pytest.raises(RuntimeError, match="this loss has no second derivative"):
        torch.autograd.grad(build_loss(name)(logits, target), logits, create_graph=True)


@every_loss
def test_a_gradient_may_be_asked_for_twice(name):
    logits, target = batch()
    logits.requires_grad_()
    value = build_loss(name)(logits, target)
    first, second = (torch.autograd.grad(value, logits, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


@every_loss
def test_data_parallel_training(name, tmp_path):
    """The gradient reaches the network through DistributedDataParallel, on one process."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/ddp", rank=0, world_size=1)
    try:
        images, target = batch()
        torch.manual_seed(0)
        network = torch.nn.Conv2d(3, 3, 1)
        loss = build_loss(name)
        loss(DistributedDataParallel(network)(images), target).backward()
        gradient = network.weight.grad.clone()
        network.zero_grad()
        loss(network(images), target).backward()
        assert_close(gradient, network.weight.grad)
    finally:
        dist.destroy_process_group()


def test_logits_in_another_order_of_memory_get_their_gradient_in_it():
    logits, target = batch()
    for name in LOSSES:
        loss = build_loss(name)
        expected = value_and_gradient(loss, logits, target)
        actual = value_and_gradient(loss, logits.to(memory_format=torch.channels_last), target)
        for one, other in zip(actual, expected, strict=True):
            assert_close(one, other)

"""A batch: the same whenever it is made, and with a loss over the whole of its parts."""

import copy
import threading

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from bench.data.registry import open_dataset, training_split
from bench.spec import DataSpec, RecipeSpec
from bench.training.batches import AccumulatedBatch, TrainingData, batches
from losses import LOSSES, build_loss

DATA = DataSpec(name="scenes", train_images=9)
RECIPE = RecipeSpec(steps=6, batch_size=4, crop_size=(48, 64), lr=0.1)


@pytest.fixture(scope="module")
def data():
    dataset = open_dataset(DATA, None)
    return TrainingData(training_split(dataset, DATA), dataset, RECIPE, 3)


@pytest.mark.parametrize("ahead", [1, 3, 20])
def test_batches_made_ahead_are_the_same_in_the_same_order(data, ahead):
    plain = list(batches(data, range(2, 9), ahead=0, pin=False))
    fed = list(batches(data, range(2, 9), ahead=ahead, pin=False))
    assert [(b.ids, b.draws) for b in fed] == [(b.ids, b.draws) for b in plain]
    for one, other in zip(fed, plain, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)


def test_a_feed_that_is_left_ends_its_threads(data):
    before = threading.active_count()
    fed = batches(data, range(100), ahead=2, pin=False)
    next(fed)
    assert threading.active_count() > before
    fed.close()
    assert threading.active_count() == before


def test_a_fault_in_a_thread_reaches_the_training(data):
    """At its own step, not before."""

    class Faulty(TrainingData):
        def batch(self, step):
            if step == 2:
                raise OSError("no such image")
            return super().batch(step)

    fed = batches(Faulty(**vars(data)), range(5), ahead=3, pin=False)
    assert len([next(fed), next(fed)]) == 2
    with pytest.raises(OSError, match="no such image"):
        next(fed)


def test_on_the_device_images_are_normalised_and_labels_are_indices(data):
    batch = data.batch(0)
    assert batch.images.dtype == batch.labels.dtype == torch.uint8
    images, labels = data.on_device(batch, torch.device("cpu"))
    assert images.dtype == torch.float32
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert labels.dtype == torch.int64
    assert images.abs().max() < 4
    back = images * torch.tensor(data.dataset.std).view(3, 1, 1)
    back = back + torch.tensor(data.dataset.mean).view(3, 1, 1)
    torch.testing.assert_close(back, batch.images.float(), atol=1e-4, rtol=0)


CLASSES = 5


def network(*, norm: bool = False) -> nn.Module:
    """Two convolutions in float64, or with a batch norm between them."""
    torch.manual_seed(1)
    middle = [nn.BatchNorm2d(6)] if norm else []
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), *middle, nn.ReLU(), nn.Conv2d(6, CLASSES, 1)
    ).double()


@pytest.fixture
def batch():
    """Eight images; in the first half all but a few labels are ignored, so that parts differ."""
    torch.manual_seed(0)
    labels = torch.randint(0, CLASSES, (8, 6, 8)).repeat_interleave(4, 1).repeat_interleave(4, 2)
    labels[:4, 3:, 5:] = 255
    labels[0, 1:] = 255
    return torch.randn(8, 3, 24, 32, dtype=torch.float64), labels


def step(model, loss, batch, count, seen=None):
    images, labels = batch

    def logits(part, last, images):
        if seen is not None:
            seen.append((part, last, len(images), torch.is_grad_enabled()))
        return model(images)

    parts = AccumulatedBatch(logits, images, count)
    value = loss(parts.logits, labels)
    parts.backward(value, model)
    return value.item(), [p.grad.clone() for p in model.parameters()]


OF_SMALL_CROPS = {"cwmi": {"levels": 2}}
"""Options with which a loss takes crops of 24 x 32 pixels."""


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_parts_have_the_gradient_of_the_whole_whatever_the_loss(batch, name, count):
    """Exact: also for losses that are no means over images or pixels."""
    loss = build_loss(name, **OF_SMALL_CROPS.get(name, {}))
    loss.bind(CLASSES)
    value, gradients = step(network(), loss, batch, 1)
    parted_value, parted = step(network(), loss, batch, count)
    assert parted_value == pytest.approx(value, rel=1e-9)
    assert_close(parted, gradients, rtol=1e-6, atol=1e-9)
    assert any(gradient.abs().max() > 1e-4 for gradient in gradients)


def test_mean_of_the_parts_losses_would_be_another_loss(batch):
    """With unevenly ignored pixels; so the test above can fail."""
    images, labels = batch
    loss, (model, halves) = build_loss("ce"), (network(), network())
    step(model, loss, batch, 1)
    for half in (slice(0, 4), slice(4, 8)):
        (loss(halves(images[half]), labels[half]) / 2).backward()
    pairs = zip(model.parameters(), halves.parameters(), strict=True)
    off = [float((whole.grad - mean.grad).abs().max()) for whole, mean in pairs]
    assert max(off) > 1e-3


def test_every_part_but_the_last_goes_through_twice(batch):
    seen = []
    step(network(), build_loss("ce"), batch, 4, seen)
    assert [part for part, *_ in seen] == [0, 1, 2, 3, 0, 1, 2]
    assert [grad for *_, grad in seen] == [False] * 3 + [True] * 4
    assert [last for _, last, *_ in seen] == [False] * 6 + [True]
    assert {size for _, _, size, _ in seen} == {2}


def test_running_statistics_take_in_each_part_once(batch):
    """As if each part had been a batch; the second pass leaves them alone."""
    images, _ = batch
    model = network(norm=True)
    plain = copy.deepcopy(model)
    step(model, build_loss("ce"), batch, 4)
    for part in images.chunk(4):
        plain(part)
    norm, expected = model[1], plain[1]
    assert torch.equal(norm.running_mean, expected.running_mean)
    assert torch.equal(norm.running_var, expected.running_var)
    assert norm.num_batches_tracked == expected.num_batches_tracked == 4
    assert norm.track_running_stats


def test_batch_norm_sees_one_part(batch):
    """The documented difference: with batch norms parts are not the whole."""
    value, _ = step(network(norm=True), build_loss("ce"), batch, 1)
    parted, _ = step(network(norm=True), build_loss("ce"), batch, 4)
    assert value != pytest.approx(parted, rel=1e-6)

"""The feed: batches made ahead are those made in time."""

import threading

import pytest
import torch

from bench.data.registry import open_dataset, training_split
from bench.spec import DataSpec, RecipeSpec
from bench.training.batches import TrainingData, batches

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

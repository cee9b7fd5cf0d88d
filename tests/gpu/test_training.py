"""Training on a fake GPU: a whole step stays there, and waits as often as is said here."""

import pytest
import torch
from fake_gpu import GPU, fake_gpu
from torch import nn

from bench.data.reading import Split
from bench.data.registry import open_dataset
from bench.models.deeplab import build_model
from bench.spec import DataSpec, ModelSpec, RecipeSpec
from bench.training import trainer
from bench.training.batches import Batch, TrainingData
from bench.training.trainer import Training
from losses import LOSSES, build_loss

SCENES = open_dataset(DataSpec(name="scenes"), None)
CLASSES = len(SCENES.class_names)
SPLIT = Split(("a", "b", "c", "d"), [], [], "digest")
RECIPE = RecipeSpec(steps=4, batch_size=4, crop_size=(48, 64), lr=0.1)

# Two waits of the loss (tests/gpu/test_losses.py) and one for its terms, after which the GPU has
# all of the forward pass behind it; the confusion matrix then waits for its own two numbers.
STEP = {"value": 3, "bincount": 2}
EPOCH = {"copy to cpu": 1}

SMALL = ModelSpec(
    backbone="test_efficientnet", pretrained=False, head_channels=16, atrous_rates=(1, 2, 3)
)


def network():
    """A convolution, a batch norm and a classifier: what a step needs, quick to trace."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, CLASSES, 1)
    )


def batch():
    pixels = torch.zeros(4, 3, 48, 64, dtype=torch.uint8)
    return Batch(pixels, pixels[:, 0], ["a", "b", "c", "d"], "")


def training(model, loss, **changes):
    recipe = RECIPE.model_copy(update=changes)
    return Training(model, build_loss(loss), TrainingData(SPLIT, SCENES, recipe, 0), device=GPU)


def check(made, waits):
    """Two steps and the end of an epoch wait no more than STEP and EPOCH say."""
    for step in range(2):
        waits.found.clear()
        made._step(batch(), step)
        assert waits.counts == STEP, waits.found
        assert {weight.grad.device for weight in made.model.parameters()} == {GPU}
    held = [t for state in made.optimizer.state.values() for t in state.values()]
    averaged = made.average.weights.values() if made.average else []
    assert held
    assert {tensor.device for tensor in [*held, *averaged, *made.model.buffers()]} == {GPU}
    assert made.progress.matrix.device == GPU
    waits.found.clear()
    made.progress.step = 2
    made._epoch_record()
    assert waits.counts == EPOCH, waits.found
    assert waits.unordered <= {"nll_loss2d_forward"}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_step_of_every_loss_stays_on_the_gpu(loss, monkeypatch):
    """Forward, loss, backward, optimiser and running metrics."""
    with fake_gpu(monkeypatch) as waits:
        check(training(network(), loss), waits)


@pytest.mark.parametrize(
    "changes",
    [
        {"accumulate": 2},
        {"precision": "bfloat16"},
        {"optimizer": "adamw", "schedule": "cosine"},
        {"clip_norm": 1.0, "ema_decay": 0.99},
    ],
    ids=str,
)
def test_a_step_of_other_recipes_stays_on_the_gpu(changes, monkeypatch):
    """And wait no more often."""
    with fake_gpu(monkeypatch) as waits:
        check(training(network(), "rmi", **changes), waits)


def test_half_precision_is_for_the_convolutions_alone(monkeypatch):
    """Autocast is on for a GPU, and the loss gets float32."""
    seen = []
    with fake_gpu(monkeypatch):
        made = training(network(), "ce", precision="bfloat16")
        made.model[0].register_forward_hook(lambda *_: seen.append(_[2].dtype))
        assert made._logits(0, 0, True, torch.zeros(2, 3, 8, 8, device=GPU)).dtype == torch.float32
        assert {weight.dtype for weight in made.model.parameters()} == {torch.float32}
    assert seen == [torch.bfloat16]


def test_a_step_of_a_whole_network_stays_on_the_gpu(monkeypatch):
    """DeepLabv3+ with channels last, and one kernel for the update of all weights."""
    with fake_gpu(monkeypatch) as waits:
        made = training(build_model(SMALL, CLASSES, seed=0), "rmi")
        check(made, waits)
        assert made.optimizer.param_groups[0]["fused"]
        weight = made.model.head.decoder[0][0].weight
        assert weight.is_contiguous(memory_format=torch.channels_last)


def on_the_cpu(matrix, *arguments):
    return matrix(*arguments).cpu()


def asked_once_more(matrix, *arguments):
    counts = matrix(*arguments)
    return counts * bool(counts.sum() > 0)


def of_labels_on_the_cpu(matrix, prediction, target, classes):
    return matrix(prediction, torch.zeros(target.shape, dtype=torch.int64), classes)


@pytest.mark.parametrize("fault", [on_the_cpu, asked_once_more, of_labels_on_the_cpu])
def test_a_fault_that_is_put_into_the_step_is_found(fault, monkeypatch):
    """A copy to the CPU, a decision on a value, a tensor of the CPU."""
    own = trainer.confusion_matrix
    monkeypatch.setattr(trainer, "confusion_matrix", lambda *given: fault(own, *given))
    with fake_gpu(monkeypatch) as waits, pytest.raises(AssertionError):
        check(training(network(), "ce"), waits)


def test_a_batch_that_is_copied_with_a_wait_is_found(monkeypatch):
    """As torch.tensor(values, device=device) does."""
    own = TrainingData.on_device

    def waiting(data, given, device):
        images, labels = own(data, given, device)
        return images * torch.tensor([1.0], device=device), labels

    monkeypatch.setattr(TrainingData, "on_device", waiting)
    with fake_gpu(monkeypatch) as waits, pytest.raises(AssertionError, match="copy to cuda"):
        check(training(network(), "ce"), waits)


def test_a_model_that_stays_behind_is_found(monkeypatch):
    with fake_gpu(monkeypatch) as waits:
        made = training(network(), "ce")
        made.model[3].weight = nn.Parameter(torch.zeros(CLASSES, 8, 1, 1))
        with pytest.raises(AssertionError, match="mixes devices"):
            check(made, waits)

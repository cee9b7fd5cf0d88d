"""Evaluation on a fake GPU: networks, views and pixel counts stay there until they are counted."""

import numpy as np
import pytest
import torch
from fake_gpu import GPU, fake_gpu
from torch import nn

from bench.data.reading import Split
from bench.data.registry import open_dataset
from bench.evaluation.metrics import PixelCounts
from bench.evaluation.predictor import Predictor, best
from bench.models.deeplab import build_model
from bench.spec import DataSpec, EvaluationSpec, ModelSpec
from losses import build_loss

SCENES = open_dataset(DataSpec(name="scenes"), None)
CLASSES = len(SCENES.class_names)

# The image is copied there, and the clock is read when the GPU is idle, before and after.
PREDICT = {"copy to cuda": 1, "synchronize": 2}
# The labels are copied there, the histogram waits for two numbers, and the counts come back.
COUNT = {"copy to cuda": 1, "bincount": 2, "copy to cpu": 1}

VIEWS = [
    {},
    {"scales": (0.5, 1.0, 1.75), "flip": True},
    {"window": (32, 48), "stride": (16, 24)},
    {"window": (32, 48), "stride": (16, 24), "scales": (1.0, 1.5), "flip": True},
]
MODELS = [
    ModelSpec(backbone="tf_efficientnet_lite0", pretrained=False, separable=True),
    # ResNet-101, the paper's, has more of the same blocks.
    ModelSpec(
        backbone="resnet50s",
        pretrained=False,
        head="deeplabv3",
        dilated=False,
        align_corners=True,
        head_init="kaiming_normal",
    ),
]


def predictor(**options):
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, CLASSES, 1))
    return Predictor(model, build_loss("rmi"), SCENES, GPU, EvaluationSpec(**options))


@pytest.mark.parametrize("options", VIEWS, ids=str)
def test_an_image_is_predicted_and_counted_on_the_gpu(options, monkeypatch):
    """However many views there are, no more is waited for; labels may have another size."""
    image, label = np.zeros((64, 80, 3), np.uint8), np.zeros((70, 90), np.uint8)
    split = Split(("a",), [image], [label], "digest")
    with fake_gpu(monkeypatch) as waits:
        made = predictor(**options)
        waits.found.clear()
        (found,) = made.split(split)
        probabilities = made.probabilities(found.scores)
        assert waits.counts == PREDICT, waits.found
        assert found.scores.device == probabilities.device == GPU
        assert found.scores.shape == probabilities.shape == (CLASSES, 70, 90)
        waits.found.clear()
        counts = PixelCounts(SCENES)
        counts.add(best(found.scores), torch.from_numpy(label))
        assert waits.counts == COUNT, waits.found


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: f"{spec.head} {spec.backbone}")
def test_a_network_never_waits(spec, monkeypatch):
    """Forward and backward, with batch norm and dropout as in training."""
    with fake_gpu(monkeypatch) as waits:
        model = build_model(spec, CLASSES, seed=0).to(GPU).to(memory_format=torch.channels_last)
        waits.found.clear()
        logits = model.train()(torch.zeros(2, 3, 65, 65, device=GPU))
        assert (logits.device, logits.shape) == (GPU, (2, CLASSES, 65, 65))
        logits.sum().backward()
        assert waits.counts == {}, waits.found
        assert waits.unordered == set()
        assert {weight.grad.device for weight in model.parameters()} == {GPU}


def test_a_score_that_comes_back_too_early_is_found(monkeypatch):
    """The counts of labels on the CPU are no counts on the GPU."""
    label = np.zeros((64, 80), np.uint8)
    with fake_gpu(monkeypatch) as waits:
        scores = predictor().scores(np.zeros((64, 80, 3), np.uint8), (64, 80)).cpu()
        waits.found.clear()
        PixelCounts(SCENES).add(best(scores), torch.from_numpy(label))
        assert waits.counts != COUNT


def test_a_network_with_a_tensor_of_its_own_is_found(monkeypatch):
    """It is no parameter and no buffer, so it stays on the CPU."""

    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.shift = torch.ones(CLASSES, 1, 1)

        def forward(self, logits):
            return logits + self.shift

    with fake_gpu(monkeypatch):
        made = predictor()
        made.model.append(Shifted())
        with pytest.raises(AssertionError, match="mixes devices"):
            made.scores(np.zeros((64, 80, 3), np.uint8), (64, 80))

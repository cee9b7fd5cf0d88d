"""Probes see what changes a training, and nothing else."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from bench.models import deeplab
from bench.probes import numbers
from bench.probes.numbers import loss_numbers, network_numbers, recipe_numbers
from bench.spec import DataSpec, LossSpec, ModelSpec, RecipeSpec, RunSpec
from bench.training import batches, optimizer, trainer
from losses import LOSSES, build_loss
from losses.base import SegmentationLoss
from losses.dice import DiceLoss
from studies.behaviour import _shares

RECIPE = RecipeSpec(steps=40, batch_size=4, crop_size=(64, 64), lr=0.05, warmup_steps=2)
MODEL = ModelSpec(backbone="test_efficientnet", pretrained=False, head_channels=16, separable=True)
DATA = DataSpec(name="scenes", train_images=12, evaluate_images=5)
SPEC = RunSpec(data=DATA, model=MODEL, recipe=RECIPE, loss=LossSpec(name="dice"))


def differences(then, now):
    """The names of the groups that differ by more than another machine may cause."""
    return set(_shares(then, now))


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_tried_in_every_case(name):
    """Each value is finite; ignored pixels and, for affinity, progress change it."""
    found = loss_numbers(lambda: build_loss(name))
    values = {case: group["values"][0] for case, group in found.items() if "value" in case}
    assert len(values) == len(numbers.CASES)
    assert all(map(math.isfinite, values.values()))
    whole, ignored, late, single = values.values()
    assert whole != ignored
    assert (whole != late) == (name == "affinity")
    assert single == pytest.approx(ignored, rel=1e-5) or name == "affinity"


def test_the_options_of_a_loss_are_seen():
    usual = loss_numbers(lambda: build_loss("rmi"))
    for change in ({"region_size": 4}, {"pooling": "max"}, {"lambda_": 0.501}, {"ignored": "drop"}):
        other = loss_numbers(lambda change=change: build_loss("rmi", **change))
        assert "gradient" in differences(usual, other), change


def test_a_loss_is_tried_on_a_larger_map_where_it_needs_one():
    assert loss_numbers(lambda: build_loss("rmi", region_size=10, downsample_factor=6))


class Changed(DiceLoss):
    """Dice with another gradient, another precision, or other probabilities."""

    def __init__(self, *, how, **options):
        super().__init__(**options)
        self.how = how

    def terms(self, logits, target, *, progress=0.0):
        if self.how == "gradient":
            logits = logits + 0.1 * (logits - logits.detach())
        if self.how == "late" and progress > 0.9:
            logits = 1.01 * logits
        if self.how == "single":
            logits = logits.float()
        return super().terms(logits, target)

    def probabilities(self, logits):
        return super().probabilities(1.1 * logits if self.how == "probabilities" else logits)


@pytest.mark.parametrize(
    ("how", "seen"),
    [
        ("gradient", {"gradient"}),
        ("late", {"value", "gradient"}),
        ("probabilities", {"probabilities"}),
        ("single", set()),
    ],
)
def test_what_changes_in_a_loss_is_seen(how, seen):
    """Its value alone would miss a gradient, or what it does late in a training."""
    usual = loss_numbers(DiceLoss)
    assert differences(usual, loss_numbers(lambda: Changed(how=how))) == seen


@pytest.mark.parametrize(
    "change",
    [
        {"head": "deeplabv3"},
        {"head_init": "kaiming_normal"},
        {"dropout": 0.2},
        {"decoder_dropout": 0.1},
        {"align_corners": True},
        {"batch_norm_momentum": 0.05},
        {"batch_norm_eps": 1e-2},
        {"output_stride": 8},
        {"atrous_rates": (1, 2, 4)},
        {"separable": False},
    ],
    ids=str,
)
def test_every_option_of_a_network_shows(change):
    usual = network_numbers(MODEL, 11, None)
    assert differences(usual, network_numbers(MODEL, 11, None)) == set()
    assert differences(usual, network_numbers(MODEL.model_copy(update=change), 11, None))


def test_another_initialisation_of_the_head_shows(monkeypatch):
    usual = network_numbers(MODEL, 11, None)
    plain = nn.Conv2d.reset_parameters
    monkeypatch.setattr(nn.Conv2d, "reset_parameters", lambda own: (plain(own), own.weight))
    assert differences(usual, network_numbers(MODEL, 11, None)) == set()

    def scaled(self, channels, classes, spec):
        plain_head(self, channels, classes, spec)
        with torch.no_grad():
            self.classifier.weight.mul_(1.001)

    plain_head = deeplab.DeepLabV3PlusHead.__init__
    monkeypatch.setattr(deeplab.DeepLabV3PlusHead, "__init__", scaled)
    assert "weights of the head" in differences(usual, network_numbers(MODEL, 11, None))


def test_a_network_without_its_imagenet_weights_is_compared_by_its_head():
    model = MODEL.model_copy(update={"pretrained": True})
    assert set(network_numbers(model, 11, None)) == {"weights of the head"}


@pytest.mark.parametrize(
    "model",
    [
        ModelSpec(backbone="test_convnext", head="smp:FPN", pretrained=False),
        ModelSpec(head="foreign_networks:sound", pretrained=False),
    ],
    ids=lambda model: model.head,
)
def test_a_network_of_another_package_is_compared_by_weights_and_logits(model):
    usual = network_numbers(model, 11, None)
    assert len(usual) == 4
    assert all(map(math.isfinite, usual["logits"]["values"]))
    assert differences(usual, network_numbers(model, 11, None)) == set()
    assert differences(usual, network_numbers(model, 12, None)) >= {"weights of the head", "logits"}


@pytest.mark.parametrize(
    "change",
    [
        {"lr": 0.0501},
        {"head_lr_multiplier": 2.0},
        {"warmup_steps": 3},
        {"warmup_start_lr": 0.001},
        {"poly_power": 1.0},
        {"momentum": 0.8},
        {"weight_decay": 2e-4},
        {"scale": (0.5, 1.25)},
        {"scale_step": 0.25},
        {"interpolation": "bicubic"},
        {"flip": False},
        {"accumulate": 2},
        {"optimizer": "adamw"},
        {"schedule": "cosine"},
        {"clip_norm": 0.5},
        {"ema_decay": 0.9},
    ],
    ids=str,
)
def test_every_option_of_a_recipe_shows(change):
    usual = recipe_numbers(RECIPE)
    assert differences(usual, recipe_numbers(RECIPE)) == set()
    assert differences(usual, recipe_numbers(RECIPE.model_copy(update=change)))


@pytest.mark.parametrize("place", ["batch", "optimiser", "order", "dropout"])
def test_what_a_recipe_does_with_its_options_shows(monkeypatch, place):
    """Pixels that are changed, norms that decay, another order of samples, other dropout."""
    usual = recipe_numbers(RECIPE)
    if place == "batch":
        plain = batches.training_batch

        def brighter(*arguments):
            images, labels = plain(*arguments)
            return (images.float() * 1.2).clamp(0, 255).byte(), labels

        monkeypatch.setattr(batches, "training_batch", brighter)
    elif place == "optimiser":
        monkeypatch.setattr(optimizer, "LOWEST_LR", 0.01)
    elif place == "order":
        monkeypatch.setattr(batches, "epoch_order", lambda seed, epoch, n: np.arange(n))
    else:
        monkeypatch.setattr(trainer, "torch_seed", lambda *arguments: 1)
    assert differences(usual, recipe_numbers(RECIPE))


def test_a_recipe_does_not_depend_on_the_losses(monkeypatch):
    usual = recipe_numbers(RECIPE)
    monkeypatch.setattr(SegmentationLoss, "labelled", None)
    assert differences(usual, recipe_numbers(RECIPE)) == set()

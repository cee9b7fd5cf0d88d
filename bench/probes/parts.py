"""Loss, network and recipe as parts of a record: their files, and how they behave."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from bench.errors import format_error
from bench.models.deeplab import build_model
from bench.probes.groups import Numbers
from bench.probes.kept import kept, stamp
from bench.probes.numbers import loss_numbers, network_numbers, recipe_numbers
from bench.probes.record import FORM, Part
from bench.runs.source_code import Text, installed_version, text_of
from bench.spec import LossSpec, ModelSpec, RecipeSpec
from bench.training.trainer import Training
from losses import loss_from, loss_modules

NETWORK = ("bench.models", "bench.seeding", "timm", "torch")
RECIPE = ("bench.training", "bench.data.augmentation", "bench.seeding", "torch", "numpy")
"""Beginnings of the names of modules and packages that a part consists of."""


def loss_part(loss: LossSpec) -> Part:
    """Return the record of a loss."""
    return _part(text_of(*loss_modules(loss)), lambda: loss_numbers(lambda: loss_from(loss)))


def network_part(model: ModelSpec, classes: int, weights: Path | None, root: Path) -> Part:
    """Return the record of a network.

    Args:
        model: The network.
        classes: Number of channels of the logits.
        weights: File of ImageNet weights, if it is at hand.
        root: Output folder, which keeps the numbers: to build the network takes seconds.
    """
    text = network_text(model)
    key = [FORM, model.model_dump(mode="json"), classes, text, stamp("timm"), weights is None]
    return _part(text, lambda: kept(root, key, lambda: network_numbers(model, classes, weights)))


def recipe_part(recipe: RecipeSpec) -> Part:
    """Return the record of a recipe."""
    text = text_of(Training.__module__, within=RECIPE)
    return _part(text, lambda: recipe_numbers(recipe))


def network_text(model: ModelSpec) -> Text:
    """Return the files and packages that a network consists of."""
    builder = build_model.__module__
    if model.is_deeplab:
        return text_of(builder, within=NETWORK)
    module = model.module
    package = module.partition(".")[0]
    if version := installed_version(package):
        text = text_of(builder, within=NETWORK)
        text["packages"][package] = version
        return text
    return text_of(builder, module, within=(*NETWORK, package))  # editable: every file counts


def _part(text: Text, numbers: Callable[[], Numbers]) -> Part:
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        try:
            return {"text": text, "numbers": numbers()}
        except Exception as error:  # a plug-in loss or a library may raise anything
            return {"text": text, "fault": format_error(error)}

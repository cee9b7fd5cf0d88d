"""A network of another package, tried before the first training: does it take the images?"""

from __future__ import annotations

from contextlib import suppress
from functools import cache

import torch
from torch import nn

from bench.data_spec import Size
from bench.errors import SpecError, format_error
from bench.model_spec import ModelSpec, in_backbone
from bench.models.deeplab import build_model


@cache
def try_network(
    model: ModelSpec, num_classes: int, crop_size: Size, image_size: Size | None
) -> tuple[int, int]:
    """Return how many parameters the backbone has, and how many the head.

    Args:
        model: the network.
        num_classes: channels of the logits.
        crop_size: size of the images in training.
        image_size: size of the images that are scored; None: of any size.

    Raises:
        SpecError: the network cannot be built, or does not take the images.
        InstallError: its package is not installed.
    """
    network = _built(model, num_classes)
    # Neither a multiple of 32 nor of a ViT's patches.
    whole = image_size or (crop_size[0] + 37, crop_size[1] + 51)
    passes = ((crop_size, True, "change it"), (whole, False, "set data.image_size to it"))
    for size, training, way_out in passes:
        if fault := _fault(network.train(training), model, num_classes, size):
            place = f"recipe.crop_size = {list(crop_size)}: {name_of(model)}"
            images = f"takes no images of {size[0]} x {size[1]}"
            raise SpecError(f"{place} {images}: {fault}; {way_out}, or take another network")
    counts = {True: 0, False: 0}
    for name, parameter in network.named_parameters():
        counts[in_backbone(name)] += parameter.numel()
    return counts[True], counts[False]


def check_multiplier(model: ModelSpec, parameters: tuple[int, int], multiplier: float) -> None:
    """Raise SpecError if the head has a learning rate of its own, and no parameter is known as its.

    Args:
        model: the network.
        parameters: numbers that ``try_network`` returns.
        multiplier: recipe.head_lr_multiplier.
    """
    if multiplier != 1 and not all(parameters):
        raise SpecError(
            f"recipe.head_lr_multiplier = {multiplier:g}: {name_of(model)} does not say which of "
            "its parameters are the head's: none, or every one, is named backbone or encoder; set "
            "recipe.head_lr_multiplier = 1"
        )


def name_of(model: ModelSpec) -> str:
    """Return the lines of a profile that name the network."""
    backbone = "" if model.is_imported else f" over model.backbone = {model.backbone!r}"
    return f"model.head = {model.head!r}{backbone}"


def _built(model: ModelSpec, num_classes: int) -> nn.Module:
    """Return the network without memory for its weights, where it can be built so."""
    if not (model.is_imported and model.pretrained):  # which may have weights to download
        # A network may need the values of its weights.
        with suppress(Exception), torch.device("meta"):
            return build_model(model, num_classes, seed=0)
    return build_model(model, num_classes, seed=0)


def _fault(network: nn.Module, model: ModelSpec, num_classes: int, size: Size) -> str | None:
    """Return the message of the error on blank images of a size; None without one."""
    try:
        _pass(network.to("meta"), size, "meta")  # calculates shapes alone
        return None
    except SpecError as error:
        return str(error)
    except Exception:  # perhaps because the network looks at values
        valued = build_model(model, num_classes, seed=0).train(network.training)
    try:
        _pass(valued, size, "cpu")
        return None
    except Exception as error:  # a network may raise anything
        return format_error(error)


def _pass(network: nn.Module, size: Size, device: str) -> None:
    images = 2 if network.training else 1  # as in training, and in scoring
    with torch.no_grad():
        network(torch.zeros(images, 3, *size, device=device))

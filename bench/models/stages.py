"""Feature pyramids of timm's backbones without five stages or dilation: ConvNeXt, Swin, HRNet."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import timm
import torch
from timm.models import get_pretrained_cfg
from torch import Tensor, nn

from bench.errors import SpecError

STRIDES = (4, 8, 16, 32)
"""Strides of the features that a DeepLab head may read."""
FREE_SIZES: tuple[dict[str, Any], ...] = ({"dynamic_img_size": True}, {"strict_img_size": False})
"""Options with which ViTs and Swins take images of other sizes than they were pretrained on."""


def four_stages(name: str, output_stride: int) -> nn.Module:
    """Return timm's network ``name`` as the features of strides 4 to 32, or dilated if it can be.

    Its attribute ``multiple`` says of what it needs multiples as height and width.

    Raises:
        SpecError: it has no such features, or cannot be dilated to ``output_stride``.
    """
    with torch.device("meta"):
        plain: Any = timm.create_model(name, features_only=True)
    strides = plain.feature_info.reduction()
    if not set(STRIDES) <= set(strides):
        given = ", ".join(map(str, strides))
        one = "; head = 'smp:DPT' takes one stride" if len(set(strides)) == 1 else ""
        raise SpecError(f"its feature maps have strides {given}{one}")
    options: dict[str, Any] = {"out_indices": tuple(map(strides.index, STRIDES)), **any_size(name)}
    if output_stride != STRIDES[-1]:
        options["output_stride"] = output_stride
    try:
        network: Any = timm.create_model(name, features_only=True, **options)
    except (TypeError, AssertionError):
        raise SpecError("it cannot be dilated; write model.output_stride = 32") from None
    if str(getattr(network, "output_fmt", "")).endswith("NHWC"):
        network.register_forward_hook(_channels_first)
    network.multiple = STRIDES[-1]
    return network


@cache
def any_size(name: str) -> Mapping[str, Any]:
    """Return the options with which timm's network ``name`` takes images of any size, if any."""
    known = get_pretrained_cfg(name)
    if known is None or not known.fixed_input_size:
        return {}
    for options in FREE_SIZES:
        try:
            with torch.device("meta"):
                timm.create_model(name, **options)
            return options
        except TypeError:
            continue  # it does not know the option
    return {}


def _channels_first(network: nn.Module, images: Any, features: list[Tensor]) -> list[Tensor]:
    return [maps.permute(0, 3, 1, 2) for maps in features]

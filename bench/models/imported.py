"""Networks by import path: a function of an installed package returns a whole network."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import SpecError, format_error
from bench.model_spec import ModelSpec
from bench.models.deeplab import upsample
from losses.packages import installed

CLASSES = ("num_classes", "classes", "n_classes")
"""Names of the argument for the number of classes; without one it is the first argument."""
WEIGHTS = ("weights", "weights_backbone")
"""torchvision's arguments for pretrained weights; None starts from random ones."""


class ImportedModel(nn.Module):
    """Logits [b, num_classes, h, w] for images [b, 3, h, w], from a network of another package.

    Args:
        network: returns logits, or torchvision's {"out": logits}.
        num_classes: channels that the logits must have.
        path: import path of the network, for messages.
    """

    def __init__(self, network: nn.Module, num_classes: int, path: str) -> None:
        super().__init__()
        self.network = network
        self.num_classes = num_classes
        self.path = path

    def forward(self, images: Tensor) -> Tensor:
        """Upsample the network's logits bilinearly to the size of the images.

        Raises:
            SpecError: it returns something else than such logits.
        """
        output = self.network(images)
        logits = output.get("out") if isinstance(output, Mapping) else output
        if not isinstance(logits, Tensor):
            names = f" of {', '.join(map(str, output))}" if isinstance(output, Mapping) else ""
            raise self._fault(f"returns a {type(output).__name__}{names}")
        if logits.ndim != 4 or logits.shape[1] != self.num_classes:
            raise self._fault(f"returns a tensor {list(logits.shape)}")
        return upsample(logits.float(), images, align_corners=False)

    def _fault(self, fault: str) -> SpecError:
        return SpecError(
            f"model.head = {self.path!r} {fault}; it must return logits [batch, "
            f'{self.num_classes}, height, width], or a dict with them as "out"'
        )


def find_function(path: str) -> Callable[..., Any]:
    """Return what an import path names; raises SpecError if it cannot be called."""
    try:
        found = installed.load(path)
    except ValueError as error:
        raise SpecError(f"model.head = {error}") from None
    if not callable(found):
        raise SpecError(
            f"model.head = {path!r} is a {type(found).__name__}; name a function that returns a "
            "network"
        )
    return found


def build_imported(spec: ModelSpec, num_classes: int, *, seed: int) -> ImportedModel:
    """Return the network that a function returns for a number of classes.

    Raises:
        SpecError: the function raises, or returns no network.
    """
    function = find_function(spec.head)
    arguments, keywords = _arguments(function, spec, num_classes)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = function(*arguments, **keywords)
    except Exception as error:  # a function may raise anything
        way_out = "; pretrained = false loads no weights" if spec.pretrained else ""
        raise SpecError(
            f"model.head = {spec.head!r} cannot be built for {num_classes} classes: "
            f"{format_error(error)}{way_out}"
        ) from error
    if not isinstance(network, nn.Module):
        raise SpecError(
            f"model.head = {spec.head!r} returns a {type(network).__name__}, no torch.nn.Module"
        )
    return ImportedModel(network, num_classes, spec.head)


def _arguments(
    function: Callable[..., Any], spec: ModelSpec, num_classes: int
) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Return positional and keyword arguments: the number of classes, and which weights."""
    try:
        names = set(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # of a function in C
        names = set()
    keywords: dict[str, Any] = {}
    if "pretrained" in names:
        keywords["pretrained"] = spec.pretrained
    elif names.isdisjoint(WEIGHTS) and spec.pretrained:
        raise SpecError(
            f"model.pretrained: {spec.head!r} has no argument pretrained, weights or "
            "weights_backbone; write pretrained = false"
        )
    elif not spec.pretrained:
        keywords |= dict.fromkeys(names.intersection(WEIGHTS))
    if named := next((name for name in CLASSES if name in names), None):
        return (), {**keywords, named: num_classes}
    return (num_classes,), keywords

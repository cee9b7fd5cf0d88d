"""Files of ImageNet weights: read without running code, renamed to timm's names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models import get_pretrained_cfg
from torch import Tensor

from bench.errors import SpecError

Weights = Mapping[str, Tensor]
Shapes = Mapping[str, torch.Size]

NESTED = ("state_dict", "model")
"""Keys under which training scripts store the weights beside epoch and optimiser."""
SHOWN_KEYS = 3

# efficientnet_pytorch's names on the left, timm's on the right.
_STEM_AND_TOP = {
    "_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2",
    "_fc": "classifier",
}  # fmt: skip
_SEPARABLE_BLOCK = {
    "_depthwise_conv": "conv_dw", "_project_conv": "conv_pw", "_bn1": "bn1", "_bn2": "bn2",
}  # fmt: skip
_INVERTED_BLOCK = {
    "_expand_conv": "conv_pw", "_depthwise_conv": "conv_dw", "_project_conv": "conv_pwl",
    "_bn0": "bn1", "_bn1": "bn2", "_bn2": "bn3",
}  # fmt: skip


def network_weights(path: Path, name: str) -> dict[str, Tensor]:
    """Return the weights in a file under timm's names, without the classifier.

    ResNets have the same names in timm, torchvision and PyTorch-Encoding; EfficientNets may have
    those of efficientnet_pytorch.

    Args:
        path: a file of safetensors or of torch.save.
        name: of timm's network.

    Raises:
        SpecError: the file does not hold the whole network.
    """
    stored = _read(path)
    wanted, classifier = _network(name)
    faults = []
    for named in (stored, _from_efficientnet_pytorch(stored, wanted)):
        weights = {key: value for key, value in named.items() if not key.startswith(classifier)}
        for key in wanted:
            if key.endswith("num_batches_tracked"):  # torch before 0.4.1 kept none
                weights.setdefault(key, torch.tensor(0))
        misfits = _misfits(weights, wanted)
        if not any(misfits.values()):
            return weights
        faults.append(misfits)
    nearest = min(faults, key=lambda misfits: sum(map(len, misfits.values())))
    raise SpecError(
        f"{path}: weights of another architecture than {name!r}, under none of the names of timm, "
        f"torchvision, PyTorch-Encoding and efficientnet_pytorch: {_listed(nearest)}"
    )


def _read(path: Path) -> dict[str, Tensor]:
    try:
        stored = _loaded(path)
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnpicklingError:
        raise SpecError(
            f"{path}: holds more than tensors, so reading it could run code; save its state_dict "
            "alone"
        ) from None
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError) as error:
        first_line = str(error).strip().partition("\n")[0]
        raise SpecError(f"{path}: damaged, or not a file of weights: {first_line}") from None
    return _state_dict(stored, path)


def _loaded(path: Path) -> Any:
    with path.open("rb") as file:
        start = file.read(9)
    if start[8:] == b"{":  # safetensors: eight bytes of length, then JSON
        return load_file(path)
    if start[:2] in (b"PK", b"\x80\x02"):  # torch: a zip archive, or before 1.6 a pickle
        return torch.load(path, map_location="cpu", weights_only=True)
    raise ValueError("it begins neither like a file of torch.save nor like safetensors")


def _state_dict(stored: Any, path: Path) -> dict[str, Tensor]:
    for key in NESTED:
        if isinstance(stored, Mapping) and isinstance(stored.get(key), Mapping):
            stored = stored[key]
    if not isinstance(stored, Mapping) or not stored:
        raise SpecError(f"{path}: holds no named weights")
    for key, value in stored.items():
        if not isinstance(value, Tensor):
            raise SpecError(f"{path}: {key!r} is not a tensor but {type(value).__name__}")
    # DataParallel puts "module." before every name.
    return {str(key).removeprefix("module."): value for key, value in stored.items()}


@cache
def _network(name: str) -> tuple[Shapes, tuple[str, ...]]:
    """Return the shapes of a timm network's weights but the classifier's, and its name prefixes."""
    with torch.device("meta"):
        network = timm.create_model(name)
    known = get_pretrained_cfg(name)
    names = (known and known.classifier) or ()
    classifier = tuple(f"{part}." for part in ((names,) if isinstance(names, str) else names))
    return {
        key: value.shape
        for key, value in network.state_dict().items()
        if not key.startswith(classifier)
    }, classifier


def _from_efficientnet_pytorch(stored: Weights, wanted: Shapes) -> dict[str, Tensor]:
    """Return ``stored`` with every name of efficientnet_pytorch replaced by timm's."""
    found = (re.match(r"blocks\.\d+\.\d+\b", key) for key in wanted)
    blocks = list(dict.fromkeys(match[0] for match in found if match))
    return {_renamed(key, stored, blocks): value for key, value in stored.items()}


def _renamed(key: str, stored: Weights, blocks: list[str]) -> str:
    if match := re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key):
        index, part, leaf = int(match[1]), match[2], match[3]
        inverted = f"_blocks.{index}._expand_conv.weight" in stored
        names = _INVERTED_BLOCK if inverted else _SEPARABLE_BLOCK
        if index < len(blocks) and part in names:
            return f"{blocks[index]}.{names[part]}.{leaf}"
    part, _, leaf = key.partition(".")
    return f"{_STEM_AND_TOP.get(part, part)}.{leaf}"


def _misfits(weights: Weights, wanted: Shapes) -> dict[str, list[str]]:
    """Return how the weights differ from those wanted, by kind of difference."""
    return {
        "missing": [key for key in wanted if key not in weights],
        "not known": [key for key in weights if key not in wanted],
        "of another shape": [
            f"{key} {list(weights[key].shape)}, not {list(shape)}"
            for key, shape in wanted.items()
            if key in weights and weights[key].shape != shape
        ],
    }


def _listed(misfits: Mapping[str, list[str]]) -> str:
    parts = []
    for kind, keys in misfits.items():
        if keys:
            shown = "; ".join(keys[:SHOWN_KEYS]) + ("; …" if len(keys) > SHOWN_KEYS else "")
            parts.append(f"{len(keys)} {kind} ({shown})")
    return ", ".join(parts)

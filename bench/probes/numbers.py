"""Numbers that show how a loss, a network or a recipe behaves, on small fixed inputs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.data.dataset import Split
from bench.iou import IGNORED
from bench.model_spec import in_backbone
from bench.models.deeplab import build_model
from bench.probes.groups import (
    DOUBLE,
    DRAWN,
    EXACT,
    RESIZED,
    SINGLE,
    Numbers,
    as_number,
    group,
)
from bench.seeding import torch_seed
from bench.spec import ModelSpec, RecipeSpec
from bench.training.batches import TrainingData
from bench.training.optimizer import build_optimizer, clip, learning_rate, set_learning_rate
from bench.training.trainer import Training
from losses.base import SegmentationLoss

CLASSES = 3
CLASS_PIXELS = (5000, 2000, 300)
CROPS = ((32, 40), (64, 80), (128, 160), (256, 320))
"""Sizes to try a loss on, the smallest one that it takes first."""
CASES = (
    (0.0, False, torch.float64),
    (0.5, True, torch.float64),
    (1.0, False, torch.float64),
    (0.25, True, torch.float32),
)
"""Progress of the training, whether pixels are ignored, and precision."""
SIDE = 128
"""Height and width of the image for networks of other packages, which some of them need."""
STEPS = 3
"""Steps of the training that a recipe is tried in."""


def loss_numbers(build: Callable[[], SegmentationLoss]) -> Numbers:
    """Return value and gradient of a loss in each of CASES, and its probabilities.

    Raises:
        ValueError: the loss takes none of CROPS.
    """
    fault: Exception = ValueError("no case")
    for size in CROPS:
        try:
            build().check_input_size(*size)
            found = [_loss_case(build(), size, case) for case in CASES]
            return {name: group for numbers in found for name, group in numbers.items()}
        except (ValueError, RuntimeError) as error:
            fault = error
    raise fault


def _loss_case(
    loss: SegmentationLoss, size: tuple[int, int], case: tuple[float, bool, torch.dtype]
) -> Numbers:
    progress, ignored, dtype = case
    loss.bind(CLASSES)
    loss.fit(lambda: CLASS_PIXELS)
    logits, target = _prediction(size)
    if ignored:
        target[:, : size[0] // 5] = IGNORED
        target[:, 9::8, 2] = IGNORED
    logits = logits.to(dtype).requires_grad_()
    value = loss(logits, target, progress=progress)
    value.backward()
    assert logits.grad is not None
    learned = [p.grad for p in loss.parameters() if p.grad is not None]
    with torch.no_grad():
        probabilities = loss.probabilities(logits.detach())
    within = DOUBLE if value.dtype == torch.float64 else SINGLE
    name = f"{dtype}, progress {progress:g}" + ", ignored" * ignored
    return {
        f"value: {name}": group(within, [value.item()]),
        f"gradient: {name}": group(within, _summary(logits.grad)),
        f"learned: {name}": group(SINGLE, [x for grad in learned for x in _summary(grad)]),
        f"probabilities: {name}": group(within, _summary(probabilities)),
    }


def network_numbers(model: ModelSpec, classes: int, weights: Path | None) -> Numbers:
    """Return sums over the weights that a seed gives, and logits of a fixed image in float64.

    Args:
        model: The network.
        classes: Number of channels of the logits.
        weights: File of ImageNet weights. Where the model needs it and it is not at hand, only the
            head is compared.
    """
    network = build_model(model, classes, seed=torch_seed(0, "init"), weights=weights)
    head, backbone = [], []
    for name, parameter in network.named_parameters():
        (backbone if in_backbone(name) else head).append(_summary(parameter))
    numbers = {"weights of the head": group(DRAWN, [x for sums in head for x in sums])}
    if model.reads_weights and weights is None:
        return numbers
    sums = np.asarray(backbone).reshape(-1, 3).sum(0)
    numbers["weights of the backbone"] = group(DRAWN, sums.tolist())
    network.double()
    return numbers | _logits(network, 64 if model.is_deeplab else SIDE)


def _logits(network: nn.Module, side: int) -> Numbers:
    image = _fixed((2, 3, side, side))
    with torch.no_grad():
        torch.manual_seed(0)  # dropout
        training = _summary(network.train()(image))
        scoring = _summary(network.eval()(image))
    return {
        "logits in training": group(SINGLE, training),
        "logits": group(SINGLE, scoring),
    }


def recipe_numbers(recipe: RecipeSpec) -> Numbers:
    """Return what the first steps of a small training show, and how the optimiser moves weights.

    Args:
        recipe: The recipe; crops are small, in float32 and without torch.compile.
    """
    crop = {"crop_size": (24, 32), "precision": "float32", "compile": False}
    split = _small_split(recipe.batch_size + 1)
    dataset: Any = SimpleNamespace(class_names="abc", mean=(120.0,) * 3, std=(60.0,) * 3)
    data = TrainingData(split, dataset, recipe.model_copy(update=crop), seed=0)
    # Without resizing: on every CPU the first steps then see the same pixels.
    plain = recipe.model_copy(update={**crop, "scale": (1.0, 1.0), "scale_step": None})
    exact = replace(data, recipe=plain)
    training = Training(_SmallNetwork(), _PixelLoss(), exact, device=torch.device("cpu"))
    before = [parameter.detach().clone() for parameter in training.model.parameters()]
    batches = [data.on_device(data.batch(step), training.device) for step in range(STEPS)]
    rates = []
    for _ in islice(training.run(lambda record: None), STEPS):
        rates += [group["lr"] for group in training.optimizer.param_groups]
    pairs = zip(training.model.parameters(), before, strict=True)
    moved = [x for after, start in pairs for x in _summary((after - start) / sum(rates))]
    averaged = training.average.weights.values() if training.average else ()
    moved += [x for weight in averaged for x in _summary(weight)]
    return {
        "images": group(RESIZED, [x for images, _ in batches for x in _summary(images)]),
        "labels": group(RESIZED, [x for _, labels in batches for x in shares(labels)]),
        "rates": group(EXACT, [*rates, *_schedule(recipe)]),
        "optimiser": group(DOUBLE, _moves(recipe)),
        "first steps": group(DOUBLE, moved),
    }


class _PixelLoss(SegmentationLoss):
    """Cross entropy of torch, so that a recipe's probe does not depend on the losses."""

    def terms(self, logits: Tensor, target: Tensor, *, progress: float = 0.0) -> dict[str, Tensor]:
        return {"pixel": nn.functional.cross_entropy(logits, target, ignore_index=IGNORED)}


class _SmallNetwork(nn.Module):
    """Two convolutions in float64, whose weights are fixed numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Conv2d(4, CLASSES, 3, padding=2))
        self.double()
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(_fixed(tuple(parameter.shape)))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(images.double()))


def _moves(recipe: RecipeSpec) -> list[float]:
    """Return sums over the weights after a step without a gradient and after two with one."""
    network = _SmallNetwork()
    optimizer = build_optimizer(network, recipe)
    set_learning_rate(optimizer, 1.0)  # large, so that weight decay shows
    moves = []
    for gradient in (0.0, 1.0, 1.0):
        for parameter in network.parameters():
            parameter.grad = torch.full_like(parameter, gradient)
        clip(optimizer, recipe.clip_norm)
        optimizer.step()
        moves += [x for p in network.parameters() for x in _summary(p.detach())]
    return moves


def _schedule(recipe: RecipeSpec) -> list[float]:
    """Return the learning rates at the start and the end of the warm-up and of the decay."""
    marks = (1, recipe.warmup_steps, recipe.warmup_steps + 1, recipe.steps // 2, recipe.steps)
    return [learning_rate(recipe, max(1, step)) for step in marks]


def _small_split(count: int) -> Split:
    """Return images of 40 x 48 pixels in blocks of colour, three classes and ignored pixels."""
    logits, target = zip(*(_prediction((40, 48), f"image {i}") for i in range(count)), strict=True)
    pixels = [(x[0].permute(1, 2, 0) * 40 + 128).clamp(0, 255).byte().numpy() for x in logits]
    labels = [x[0].byte().numpy() for x in target]
    for label in labels:
        label[:4] = IGNORED
    return Split(tuple(map(str, range(count))), pixels, labels, "probe")


def _prediction(size: tuple[int, int], stream: str = "prediction") -> tuple[Tensor, Tensor]:
    """Return logits [1, 3, h, w] and labels that agree with them in part, in blocks of 8 x 8."""
    height, width = size
    blocks = _fixed((1, CLASSES, height // 8, width // 8), stream)
    smooth = blocks.repeat_interleave(8, 2).repeat_interleave(8, 3)
    return 2 * smooth + 1.5 * _fixed((1, CLASSES, height, width), stream), smooth.argmax(1)


def _fixed(shape: tuple[int, ...], stream: str = "") -> Tensor:
    """Return numbers in [-1, 1), the same with every version of torch and NumPy."""
    # Raw bits: how NumPy and torch make other distributions of them may change.
    raw = np.random.Philox(key=as_number([list(shape), stream])).random_raw(math.prod(shape))
    return torch.from_numpy((raw >> np.uint64(11)) * 2.0**-52 - 1).view(shape)


def _summary(tensor: Tensor) -> list[float]:
    """Return the norm and two projections on fixed directions, each about as large as the norm."""
    flat = tensor.detach().double().flatten()
    short = len(flat) % len(_direction(1))
    whole = flat[: len(flat) - short].view(-1, len(_direction(1))).sum(0)
    found = [flat.norm().item()]
    for number in (1, 2):
        direction = _direction(number)
        found.append((whole @ direction + flat[len(flat) - short :] @ direction[:short]).item())
    return found


@cache
def _direction(number: int) -> Tensor:
    """Return a fixed direction, which is repeated along a longer tensor."""
    return math.sqrt(3) * _fixed((997,), f"direction {number}")


def shares(labels: Tensor) -> list[float]:
    """Return the shares of labels 0, 1, 2 and of ignored ones, and the mean of all."""
    found = [(labels == value).double().mean().item() for value in (0, 1, 2, IGNORED)]
    return [*found, labels.double().mean().item() / 255]

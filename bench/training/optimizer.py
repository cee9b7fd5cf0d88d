"""The optimiser of a recipe: learning rates, groups of weights, clipping and averaged weights."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from bench.model_spec import in_backbone
from bench.spec import RecipeSpec

# The published code never lets the rate fall below this (the paper's formula ends at zero).
LOWEST_LR = 1e-6


def learning_rate(recipe: RecipeSpec, step: int) -> float:
    """Return the rate of step 1, 2, … ``recipe.steps``.

    Linear warm-up, then the poly schedule (Zhao et al. 2019, section 5.1) or half a cosine
    (Loshchilov & Hutter 2017, equation 5, without restarts).
    """
    if step <= recipe.warmup_steps:
        start = recipe.warmup_start_lr
        return start + (recipe.lr - start) * step / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / (recipe.steps - recipe.warmup_steps)
    if recipe.schedule == "cosine":
        return max(recipe.lr * (1 + math.cos(math.pi * done)) / 2, LOWEST_LR)
    return max(recipe.lr * (1 - done) ** recipe.poly_power, LOWEST_LR)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set each group's rate to ``rate`` times its scale."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


def build_optimizer(
    model: nn.Module, recipe: RecipeSpec, learned: Iterable[nn.Parameter] = ()
) -> torch.optim.Optimizer:
    """Return SGD or AdamW (Loshchilov & Hutter 2019) whose groups carry "scale".

    "scale" is the head's multiplier. Norms and biases do not decay, as in timm's groups.

    Args:
        model: parameters that are not of its backbone get ``recipe.head_lr_multiplier``.
        recipe: optimiser, learning rate, momentum (of SGD alone) and weight decay.
        learned: parameters of the loss; a group of its own, at the base rate without decay.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    on_gpu = False
    for name, parameter in model.named_parameters():
        scale = 1.0 if in_backbone(name) else recipe.head_lr_multiplier
        decay = recipe.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((scale, decay), []).append(parameter)
        on_gpu = parameter.is_cuda
    parts = [
        {"params": parameters, "scale": scale, "weight_decay": decay}
        for (scale, decay), parameters in groups.items()
    ]
    fused = on_gpu or None
    optimizer = (
        torch.optim.AdamW(parts, lr=recipe.lr, fused=fused)
        if recipe.optimizer == "adamw"
        else torch.optim.SGD(parts, lr=recipe.lr, momentum=recipe.momentum, fused=fused)
    )
    if of_loss := list(learned):
        optimizer.add_param_group({"params": of_loss, "scale": 1.0, "weight_decay": 0.0})
    return optimizer


def clip(optimizer: torch.optim.Optimizer, norm: float | None) -> None:
    """Scale all gradients so that their common norm is at most ``norm``; None leaves them."""
    if norm is not None:
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        nn.utils.clip_grad_norm_(weights, norm)


class WeightAverage:
    """Exponential moving average (EMA) of the weights of a model, its buffers included.

    As timm's ModelEmaV3 with its warm-up: at step n the decay is at most 1 - n^(-2/3), so a short
    training is not averaged with its random start. The counters of batch norms are copied.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: t.detach().clone() for name, t in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move the average towards ``model``, whose optimiser has taken ``step`` steps."""
        decay = min(self.decay, 1 - step ** (-2 / 3))
        averaged: list[Tensor] = []
        newest: list[Tensor] = []
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                averaged.append(self.weights[name])
                newest.append(tensor)
            else:
                self.weights[name].copy_(tensor)
        torch._foreach_lerp_(averaged, newest, 1 - decay)  # pyright: ignore (as timm does)

    def restore(self, weights: dict[str, Tensor]) -> None:
        """Continue from the ``weights`` of an earlier state."""
        for name, tensor in weights.items():
            self.weights[name].copy_(tensor)


def average_of(model: nn.Module, decay: float | None) -> WeightAverage | None:
    """Return the average of a model's weights; None without a decay."""
    return None if decay is None else WeightAverage(model, decay)

"""The optimiser and its learning-rate schedule."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from bench.spec import RecipeSpec

# The published code never lets the rate fall below this (the paper's formula ends at zero).
LOWEST_LR = 1e-6


def learning_rate(recipe: RecipeSpec, step: int) -> float:
    """Return the rate of step 1, 2, … ``recipe.steps``.

    Linear warm-up, then the poly schedule (Zhao et al. 2019, section 5.1).
    """
    if step <= recipe.warmup_steps:
        start = recipe.warmup_start_lr
        return start + (recipe.lr - start) * step / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / (recipe.steps - recipe.warmup_steps)
    return max(recipe.lr * (1 - done) ** recipe.poly_power, LOWEST_LR)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set each group's rate to ``rate`` times its scale."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


def build_optimizer(
    model: nn.Module, recipe: RecipeSpec, learned: Iterable[nn.Parameter] = ()
) -> torch.optim.SGD:
    """Return SGD whose groups carry "scale", the head's multiplier; norms and biases do not decay.

    Args:
        model: parameters whose name begins with "head." get ``recipe.head_lr_multiplier``.
        recipe: learning rate, momentum and weight decay.
        learned: parameters of the loss; a group of its own, at the base rate without decay.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    on_gpu = False
    for name, parameter in model.named_parameters():
        scale = recipe.head_lr_multiplier if name.startswith("head.") else 1.0
        decay = recipe.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((scale, decay), []).append(parameter)
        on_gpu = parameter.is_cuda
    optimizer = torch.optim.SGD(
        [
            {"params": parameters, "scale": scale, "weight_decay": decay}
            for (scale, decay), parameters in groups.items()
        ],
        lr=recipe.lr,
        momentum=recipe.momentum,
        fused=on_gpu or None,
    )
    if of_loss := list(learned):
        optimizer.add_param_group({"params": of_loss, "scale": 1.0, "weight_decay": 0.0})
    return optimizer

"""Gradients in closed form have no gradient of their own."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor

Backward = Callable[..., tuple[Tensor | None, ...]]


def first_order(backward: Backward) -> Backward:
    """Return the backward pass of a torch.autograd.Function that refuses to be differentiated.

    Left alone, autograd would take the gradient for a constant, and a second derivative for 0.
    """

    @wraps(backward)
    def refusing(ctx: Any, *grad_outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            raise RuntimeError(
                "this loss has no second derivative: its gradient is a closed form that autograd "
                "does not see into; ask for it without create_graph"
            )
        return backward(ctx, *grad_outputs)

    return refusing

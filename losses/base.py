"""The interface of every loss, and what losses share: input checks, one-hot labels, gradients."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

Backward = Callable[..., tuple[Tensor | None, ...]]

INFINITY = 0x7F800000
"""The bits of infinity in float32, as an integer."""


class SegmentationLoss(nn.Module, ABC):
    """A loss over the logits of a batch; a subclass writes ``terms``.

    Options are keyword-only constructor arguments of type bool, int, float, str or Literal, a list
    or tuple of these, or None, each with a default: study axes and table columns are read off the
    signature.
    """

    version: ClassVar[int] = 1
    """To be raised when a default or a value changes: part of what names a run."""

    def __init__(self, *, ignore_index: int = 255) -> None:
        super().__init__()
        self.ignore_index = ignore_index

    @classmethod
    def simpler(cls, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
        """Return name and options of a simpler loss that equals this one to the bit, or None.

        Both losses then share one run. A canary checks that they are equal.

        Args:
            options: the value of every option.
        """
        return None

    def bind(self, num_classes: int) -> None:
        """Create the parameters that the loss itself learns; called once, before a training.

        Args:
            num_classes: number of channels that the logits will have.
        """

    def fit(self, class_pixels: Callable[[], Sequence[int]]) -> dict[str, list[float]]:
        """Return numbers that follow from the training split, by name, for the record of the run.

        Called once before a training, after ``bind``. A loss that weighs classes by their sizes
        computes its weights here, and keeps them in a buffer.

        Args:
            class_pixels: returns the number of labelled pixels of each class; it reads every mask.
        """
        return {}

    @abstractmethod
    def terms(
        self,
        logits: Float[Tensor, "b c h w"],
        target: Int64[Tensor, "b h w"],
        *,
        progress: float = 0.0,
    ) -> dict[str, Float[Tensor, ""]]:
        """Return the weighted parts of the loss by name; their sum is the loss.

        Args:
            logits: scores before sigmoid or softmax.
            target: class of each pixel, or ``ignore_index``.
            progress: share of the training done, in [0, 1].

        Raises:
            FloatingPointError: a logit is NaN or infinite (the training has diverged).
            ValueError: a label is neither a class nor ``ignore_index``, or the map is too small.

        Under torch.compile neither logits nor labels are checked, because a graph cannot look at
        values; a logit that is not finite then makes the loss not finite.
        """

    def forward(
        self,
        logits: Float[Tensor, "b c h w"],
        target: Int64[Tensor, "b h w"],
        *,
        progress: float = 0.0,
    ) -> Float[Tensor, ""]:
        """Return the sum of ``terms``; see there for arguments and errors."""
        return torch.stack(tuple(self.terms(logits, target, progress=progress).values())).sum()

    def probabilities(self, logits: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return the class probabilities that the logits stand for; they sum to 1."""
        return logits.softmax(1)

    def check_input_size(self, height: int, width: int) -> None:
        """Raise ValueError with the numbers if a crop of this many pixels cannot be used."""

    def prepare(
        self, logits: Float[Tensor, "b c h w"], target: Int64[Tensor, "b h w"]
    ) -> tuple[Float[Tensor, "b c h w"], Bool[Tensor, "b h w"]]:
        """Return the logits in float32 (float64 stays) and the mask of labelled pixels.

        In half precision a sigmoid saturates at logits of about 10.

        Raises:
            FloatingPointError, ValueError: as ``terms``.
        """
        _, valid = self.labelled(logits, target)
        logits = full_precision(logits)
        check_finite(logits, logits.detach().sum())
        return logits, valid

    def labelled(
        self, logits: Float[Tensor, "b c h w"], target: Int64[Tensor, "b h w"]
    ) -> tuple[Int64[Tensor, "b h w"], Bool[Tensor, "b h w"]]:
        """Return the labels, 0 at pixels without one, and the mask of labelled pixels.

        Raises:
            ValueError: a label is neither a class nor ``ignore_index``.
        """
        valid = target != self.ignore_index
        labels = torch.where(valid, target, 0)
        if torch.compiler.is_compiling():
            return labels, valid
        lowest, highest = torch.stack(labels.aminmax()).tolist()
        if lowest < 0 or highest >= logits.shape[1]:
            stray = lowest if lowest < 0 else highest
            raise ValueError(
                f"label {stray} is neither one of the {logits.shape[1]} classes "
                f"nor ignore_index {self.ignore_index}"
            )
        return labels, valid


def full_precision(logits: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Return the logits in float32; float64 stays."""
    return logits if logits.dtype == torch.float64 else logits.float()


def check_finite(logits: Float[Tensor, "b c h w"], total: Float[Tensor, ""]) -> None:
    """Raise FloatingPointError if a logit is NaN or infinite, which shows in the logits' sum."""
    if torch.compiler.is_compiling():
        return
    # The sum of finite logits may overflow, so a second look decides.
    if not total.isfinite() and (count := int((~logits.isfinite()).sum())):
        raise FloatingPointError(
            f"{count} of {logits.numel()} logits are NaN or infinite: the training has "
            "diverged (a smaller learning rate or a longer warm-up may help)"
        )


def normalised_sigmoid(logits: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Return the sigmoid of each channel over their sum: class probabilities of a sigmoid loss."""
    # softmax(log s) = s / sum s, without 0 / 0 where every sigmoid underflows.
    return F.logsigmoid(logits).softmax(1)


def one_hot(
    target: Int64[Tensor, "b h w"], valid: Bool[Tensor, "b h w"], like: Float[Tensor, "b c h w"]
) -> Float[Tensor, "b c h w"]:
    """Return 1 in the channel of a labelled pixel's class and 0 elsewhere, shaped ``like``."""
    channel = target.masked_fill(~valid, 0).unsqueeze(1)
    return torch.zeros_like(like).scatter_(1, channel, valid.unsqueeze(1).to(like.dtype))


def descending(values: Float[Tensor, "k n"]) -> Int64[Tensor, "k n"]:
    """Return the order of each row from the largest value on; equal ones keep their order.

    Args:
        values: at least 0, or -1 for those that come last.
    """
    if values.dtype != torch.float32 or not on_host(values):
        return values.argsort(dim=1, descending=True, stable=True)
    # Floats of at least 0 are in the order of their bits, and NumPy sorts integers seven times as
    # fast as torch sorts floats with their places.
    bits = values.view(torch.int32).clamp(min=-1).long()
    keys = (INFINITY - bits << 32) | torch.arange(values.shape[1])
    return torch.from_numpy(np.sort(keys.numpy(), axis=1) & 0xFFFFFFFF)


def on_host(tensor: Tensor) -> bool:
    """Return whether Python may look at values, and cut the work by what it sees.

    Not on a GPU, which would have to finish all it has queued first, and not while a graph is
    compiled, which has no values yet.
    """
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling()


def constants(values: Sequence[Any], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return numbers, or rows of them, as a tensor on a device, without waiting for a GPU.

    ``torch.tensor(values, device=device)`` would wait until the GPU has done all it has queued.
    """
    return torch.tensor(values, dtype=dtype).to(device, non_blocking=True)


def first_order(backward: Backward) -> Backward:
    """Return the backward pass of a torch.autograd.Function that refuses to be differentiated.

    Otherwise autograd would take the closed-form gradient for a constant, and return a second
    derivative of 0.
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

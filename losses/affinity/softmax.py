"""Mean softmax cross entropy and resized logits, with one gradient for both.

Apart, each would bring a gradient of the logits' size for autograd to add up, though resizing
looks at few of many logits. Here the gradient is the only large tensor. Two numbers a pixel are
kept for it, the largest logit m and 1 / Σ exp(x - m):

    ∂/∂x = g · (exp(x - m) / Σ exp(x - m) - y)  +  the gradient of the resized maps, resized back,

where y is the one-hot label and g what arrives at the cross entropy of a pixel.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from losses.base import first_order, on_host

# Logits that a CPU works on at a time: several such blocks stay in a core's second cache.
CPU_BLOCK = 2**16


class SoftmaxTerms(torch.autograd.Function):
    """Mean softmax cross entropy of the labelled pixels, and the resized logits."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Float[Tensor, "b c h w"],
        target: Int64[Tensor, "b h w"],
        valid: Bool[Tensor, "b h w"],
        shape: tuple[int, int],
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "b c hr wr"]]:
        """Return the mean, 0 if nothing is labelled, and the maps that ``resized`` returns.

        Args:
            ctx: autograd's.
            logits: finite, one channel per class.
            target: the class of each labelled pixel.
            valid: whether a pixel is labelled.
            shape: rows and columns of the resized maps.
        """
        highest, total = (torch.empty_like(logits[:, 0]) for _ in range(2))
        for x, m, s in _blocks(logits, highest, total):
            torch.amax(x, 0, out=m)
            torch.sum((x - m).exp_(), 0, out=s)
        channel = target.masked_fill(~valid, 0).unsqueeze(1)
        labelled = valid.to(logits.dtype)
        number = labelled.sum(dtype=torch.float64).clamp(min=1)
        entropy = (highest - logits.gather(1, channel).squeeze(1)).add_(total.log())
        entropy = torch.where(valid, entropy, 0)
        share = labelled.div_(number)
        ctx.save_for_backward(logits, channel, share, highest, share / total)
        mean = entropy.sum(-1).sum(dtype=torch.float64) / number
        return mean.to(logits.dtype), resized(logits, shape)

    @staticmethod
    @first_order
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of the logits."""
        of_mean, of_resized = gradients
        logits, channel, share, highest, scale = ctx.saved_tensors
        gradient = torch.empty_like(logits)
        for x, g, m, w in _blocks(logits, gradient, highest, of_mean * scale):
            torch.mul((x - m).exp_(), w, out=g)
        gradient.scatter_add_(1, channel, (-of_mean * share).unsqueeze(1))
        add_resized_back(gradient, of_resized)
        return gradient, None, None, None


def resized(maps: Float[Tensor, "b c h w"], shape: tuple[int, int]) -> Float[Tensor, "b c hr wr"]:
    """Return maps resized bilinearly with aligned corners.

    Rows go first, each between two neighbours; to read whole rows is what memory is good at.
    """
    above, below, share = _rows(maps, shape[0])
    # Not lerp_, whose difference of two logits may overflow.
    rows = maps.index_select(2, above).mul_(1 - share).addcmul_(maps.index_select(2, below), share)
    return F.interpolate(rows, shape, mode="bilinear", align_corners=True)


def add_resized_back(
    gradient: Float[Tensor, "b c h w"], of_resized: Float[Tensor, "b c hr wr"]
) -> None:
    """Add to the gradient of maps what the gradient of these ``resized`` comes to."""
    above, below, share = _rows(gradient, of_resized.shape[-2])
    of_rows = _columns_back(of_resized, gradient.shape[-1])
    of_below = share * of_rows
    gradient.index_add_(2, below, of_below)
    gradient.index_add_(2, above, of_rows.sub_(of_below))


def _columns_back(
    of_resized: Float[Tensor, "b c hr wr"], width: int
) -> Float[Tensor, "b c hr {width}"]:
    """Return the gradient of rows of this width, given that of the rows with fewer columns."""
    *batch, rows, columns = of_resized.shape
    size = (*batch, rows, width)
    if on_host(of_resized):
        return torch.ops.aten.upsample_bilinear2d_backward(
            of_resized, (rows, columns), size, align_corners=True
        )
    # On a GPU this function of torch adds in any order; index_add_ keeps to one if it is asked to.
    left, right, share = _neighbours(columns, width, of_resized)
    of_right = share * of_resized
    of_rows = of_resized.new_zeros(size)
    return of_rows.index_add_(3, left, of_resized - of_right).index_add_(3, right, of_right)


def _rows(
    maps: Float[Tensor, "b c h w"], rows: int
) -> tuple[Int64[Tensor, " hr"], Int64[Tensor, " hr"], Float[Tensor, "hr 1"]]:
    """Return the rows above and below each row of the resized maps, and the share of the latter."""
    above, below, share = _neighbours(rows, maps.shape[-2], maps)
    return above, below, share.unsqueeze(1)


def _neighbours(
    count: int, among: int, like: Tensor
) -> tuple[Int64[Tensor, " {count}"], Int64[Tensor, " {count}"], Float[Tensor, " {count}"]]:
    """Return the places before and after each of ``count`` even ones, and the share of the latter.

    Even from the first to the last of the places 0 … ``among`` - 1.
    """
    spacing = (among - 1) / max(count - 1, 1)
    place = torch.arange(count, dtype=torch.float64, device=like.device) * spacing
    before = place.long()
    return before, (before + 1).clamp(max=among - 1), (place - before).to(like.dtype)


def _blocks(*maps: Tensor) -> list[tuple[Tensor, ...]]:
    """Return the same rows of an image of each of maps [b, c, h, w] or [b, h, w], all on a GPU."""
    logits = maps[0]
    rows = logits.shape[-2] if not on_host(logits) else max(1, CPU_BLOCK // logits[0, :, 0].numel())
    return [
        block
        for image in zip(*maps, strict=True)
        for block in zip(*(part.split(rows, dim=-2) for part in image), strict=True)
    ]

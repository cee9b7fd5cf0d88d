"""Sigmoid cross entropy and pooled sigmoids of a batch of logits, in one read of the logits.

Both need p = σ(x) of every pixel and class, and so does the gradient of both,

    ∂/∂x = (p - y)·g + G·p·(1 - p),

where g is the gradient that arrives at the cross entropy and G at the pixel's cell of the pooled
map. The gradient is the only tensor of the logits' size. Planes without G get theirs in the forward
pass, where p is at hand, if g is known in advance; for the others the backward pass computes p
again, which costs no more than fetching it. One-hot labels y are never built. On a CPU the work
goes plane by plane in strips of rows that stay in a core's cache.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from losses.base import first_order, on_host
from losses.region.windows import Grid

# Pixels of a strip on a CPU: a few float32 buffers of this size stay in a core's own cache. In half
# as many the calls would cost more than the work.
STRIP_PIXELS = 2**16
# Factors in [1/2, 1] that are multiplied before a logarithm is taken; 2^-64 does not underflow.
GROUP = 64
# Values of float32 in a cache line.
ALIGNED = 16


class SigmoidTerms(torch.autograd.Function):
    """Sum of the sigmoid cross entropies of labelled pixels, and p's mean over each cell.

    In a cell's mean, p is 0 at pixels without a label and beyond the border.
    """

    @staticmethod
    def forward(
        ctx: Any,
        logits: Float[Tensor, "b c h w"],
        labels: Int64[Tensor, "b h w"],
        valid: Bool[Tensor, "b h w"],
        grid: Grid,
        pooled: list[int],
        expected: Float[Tensor, ""],
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "m hc wc"], Float[Tensor, ""]]:
        """Return the sum over pixels and classes, the means, and the sum of all logits.

        Args:
            ctx: context of autograd.
            logits: one channel per class, contiguous.
            labels: the class of each pixel; any class at pixels without a label.
            valid: whether the pixel is labelled.
            grid: the cells.
            pooled: the m planes whose means are wanted, counted through all classes of the first
                image, of the second, and so on. On a GPU: all.
            expected: the gradient that most likely arrives at the sum; any other costs time only.
        """
        offset = ignore_offset(valid, logits)
        ctx.save_for_backward(logits, labels, valid, offset)
        ctx.set_materialize_grads(False)
        spanned = (grid.spanned(length) for length in logits.shape[-2:])
        means = logits.new_zeros(len(pooled), *spanned)
        ctx.grid, ctx.pooled, ctx.expected = grid, pooled, expected
        ahead = ctx.needs_input_grad[0] and on_host(logits)
        ctx.gradient = gradient = torch.empty_like(logits) if ahead else None
        sums, logit_sums = [], []
        for strip in strips(logits, grid):
            frame = Frame(strip, logits, grid)
            parts, out = strip.pixels_of(logits), strip.cells_of(means, pooled)
            slopes = () if gradient is None else strip.pixels_of(gradient)
            spare = torch.empty_like(parts[0])
            softplus, pool = SoftplusSum(parts[0], len(parts)), CellSums(frame.cells)
            for i, (x, shift) in enumerate(zip(parts, strip.offsets_of(offset), strict=False)):
                logit_sums.append(x.sum())
                x = with_offset(x, shift, softplus.values)
                plain = slopes[i] if slopes else spare
                p = write_into(frame.pixels if i in out else plain, torch.sigmoid, x)
                softplus.add(i, x, p)
                if i in out:
                    pool.write(out[i])
                elif slopes:
                    p.mul_(expected)
            sums.append(softplus.total())
        at_label = logits.gather(1, labels.unsqueeze(1)).squeeze(1)
        if offset is not None:
            at_label = torch.where(valid, at_label, 0)
        total = torch.stack(sums).sum() - at_label.sum(-1).sum(dtype=torch.float64)
        if on_host(total) and not total.isfinite():
            total = sum_in_float64(logits, labels, valid)
        rows, columns = (grid.cells(length) for length in logits.shape[-2:])
        means = means.div_(grid.factor**2)[..., :rows, :columns]
        logit_sum = torch.stack(logit_sums).sum()
        ctx.mark_non_differentiable(logit_sum)
        return total.to(logits.dtype), means, logit_sum

    @staticmethod
    @first_order
    def backward(ctx: Any, *grad_outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return the gradient of the logits."""
        logits, labels, valid, offset = ctx.saved_tensors
        grid: Grid = ctx.grid
        of_sum, of_means, _ = grad_outputs
        of_sum = logits.new_zeros(()) if of_sum is None else of_sum
        if of_means is not None:
            rows, columns = (grid.spanned(length) for length in logits.shape[-2:])
            missing = (0, columns - of_means.shape[-1], 0, rows - of_means.shape[-2])
            of_means = F.pad(of_means, missing) / grid.factor**2
        # Used once; a second pass through a retained graph computes it again.
        result, ctx.gradient = ctx.gradient, None
        matched = result is not None and of_sum.equal(ctx.expected)
        ready = set(range(logits.shape[0] * logits.shape[1])) - set(ctx.pooled) if matched else ()
        result = torch.empty_like(logits) if result is None else result
        for strip in strips(logits, grid):
            frame, slope = Frame(strip, logits, grid), Frame(strip, logits, grid)
            out = strip.pixels_of(result)
            of_cells = {} if of_means is None else strip.cells_of(of_means, ctx.pooled)
            parts = zip(strip.pixels_of(logits), strip.offsets_of(offset), strict=False)
            for i, (x, shift) in enumerate(parts):
                if i in ready:
                    continue
                if i in of_cells:
                    p = write_into(frame.pixels, torch.sigmoid, with_offset(x, shift, frame.pixels))
                    # p·(g + G - G·p): p meets G at the cells, and the result at the pixels.
                    cell = of_cells[i].repeat_interleave(grid.factor, dim=-1).unsqueeze(-2)
                    write_into(slope.cells, torch.addcmul, cell + of_sum, -cell, frame.cells)
                    write_into(out[i], torch.mul, slope.pixels, p)
                else:
                    write_into(out[i], torch.sigmoid, with_offset(x, shift, out[i])).mul_(of_sum)
        at_label = (
            torch.where(valid, -of_sum, 0) if offset is not None else -of_sum.expand_as(labels)
        )
        result.scatter_add_(1, labels.unsqueeze(1), at_label.unsqueeze(1))
        return result, None, None, None, None, None


@dataclass(frozen=True)
class Strip:
    """Rows of pixels and the rows of cells they fall into, worked on part by part.

    A part is one plane [rows, w] on a CPU, and one image [c, rows, w] elsewhere.
    """

    rows: slice
    cells: slice
    planes: bool
    classes: int

    def pixels_of(self, maps: Float[Tensor, "b c h w"]) -> tuple[Tensor, ...]:
        """Return the rows of pixels of every part."""
        rows = maps[:, :, self.rows]
        return (rows.flatten(0, 1) if self.planes else rows).unbind()

    def cells_of(self, maps: Float[Tensor, "m hc wc"], pooled: list[int]) -> dict[int, Tensor]:
        """Return the rows of cells of every part that has some, by the number of the part."""
        rows = maps[:, self.cells]
        if self.planes:
            return dict(zip(pooled, rows.unbind(), strict=True))
        return dict(enumerate(rows.unflatten(0, (-1, self.classes)).unbind())) if pooled else {}

    def offsets_of(self, offset: Float[Tensor, "b h w"] | None) -> Iterable[Tensor | None]:
        """Yield the offset of every part, or None without end."""
        if offset is None:
            return repeat(None)
        images = offset[:, self.rows].unbind()
        return [image for image in images for _ in range(self.classes)] if self.planes else images


def strips(logits: Float[Tensor, "b c h w"], grid: Grid) -> Iterator[Strip]:
    """Cut the rows between cells: a cache full at a time on a CPU, else all of them."""
    classes, height, width = logits.shape[1:]
    on_cpu = on_host(logits)
    end = grid.spanned(height)
    count = round(height * width / STRIP_PIXELS) if on_cpu else 1
    step = -(-end // max(1, count))
    for first in range(0, end, step):
        last = min(first + step, end)
        top = max(first * grid.factor - grid.padding, 0)
        rows = slice(top, min(last * grid.factor - grid.padding, height))
        yield Strip(rows, slice(first, last), planes=on_cpu, classes=classes)


class Frame:
    """Memory for one part of a strip, framed by zeros that complete the cells.

    ``pixels`` [rows, w] and ``cells`` [cells, k, columns] are two views of it. All parts use it in
    turn, so that it stays in the cache and nothing is allocated in the loop.
    """

    def __init__(self, strip: Strip, logits: Float[Tensor, "b c h w"], grid: Grid) -> None:
        k, width = grid.factor, logits.shape[-1]
        count, columns = strip.cells.stop - strip.cells.start, grid.spanned(width) * k
        classes = () if strip.planes else (strip.classes,)
        # Rows of pixels begin at multiples of 64 bytes: a store across two cache lines costs two.
        left = -grid.padding % ALIGNED
        row = -(-(left + columns) // ALIGNED) * ALIGNED
        memory = logits.new_zeros(*classes, count, k, row)
        top = grid.padding if strip.cells.start == 0 else 0
        bottom = top + strip.rows.stop - strip.rows.start
        first = left + grid.padding
        self.cells = memory[..., left : left + columns]
        self.pixels = memory.flatten(-3, -2)[..., top:bottom, first : first + width]


class SoftplusSum:
    """Σ log(1 + eˣ) over parts of one shape: max(x, 0) - log max(p, 1 - p), where p = σ(x).

    Logarithms are taken of products of many pixels, and sums end in float64.
    """

    def __init__(self, like: Float[Tensor, "*part"], parts: int) -> None:
        size, length = like.numel(), -(-like.numel() // GROUP)
        memory = like.new_empty(length * GROUP)
        self.values = memory[:size].view(like.shape)
        self.rest = memory[size:]
        self.groups = memory.view(GROUP, length)
        self.products = like.new_empty(parts, length)
        self.sums = like.new_empty(parts, length)
        self.rows = list(zip(self.products.unbind(), self.sums.unbind(), strict=True))

    def add(self, part: int, x: Float[Tensor, "*part"], p: Float[Tensor, "*part"]) -> None:
        """Add a part; x may be ``values``."""
        product, total = self.rows[part]
        torch.clamp(x, min=0, out=self.values)
        self.rest.fill_(0)
        torch.sum(self.groups, 0, out=total)
        torch.maximum(p, torch.sub(1, p, out=self.values), out=self.values)
        self.rest.fill_(1)
        torch.prod(self.groups, 0, out=product)

    def total(self) -> Float64[Tensor, ""]:
        """Return the sum over all parts."""
        return (self.sums - self.products.log_()).sum(dtype=torch.float64)


class CellSums:
    """Sums over the cells of a frame."""

    def __init__(self, cells: Float[Tensor, "*c cells k columns"]) -> None:
        self.cells, k = cells, cells.shape[-2]
        self.rows = cells.new_empty(*cells.shape[:-2], cells.shape[-1])
        self.columns = self.rows.unflatten(-1, (-1, k))

    def write(self, out: Float[Tensor, "*c cells wc"]) -> None:
        """Write the sums of what the frame holds now."""
        # Rows first: what is left for the slow sum of neighbours is a factor-th.
        sum_over(self.cells, -2, self.rows)
        sum_over(self.columns, -1, out)


def sum_over(terms: Tensor, dim: int, out: Tensor) -> None:
    """Write the sum over a short dimension: as additions, which are faster than torch.sum."""
    first, *others = terms.unbind(dim)
    if not others:
        out.copy_(first)
        return
    write_into(out, torch.add, first, others[0])
    for other in others[1:]:
        out.add_(other)


def sum_in_float64(
    logits: Float[Tensor, "b c h w"], labels: Int64[Tensor, "b h w"], valid: Bool[Tensor, "b h w"]
) -> Float64[Tensor, ""]:
    """Return the sum of cross entropies of logits so large that sums of float32 overflow."""
    x = logits.double()
    return (F.softplus(x).sum(1) - x.gather(1, labels.unsqueeze(1)).squeeze(1))[valid].sum()


def write_into(out: Tensor, operation: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """Write the result to ``out``, which may be a view, and return it."""
    if torch.compiler.is_compiling():  # a graph knows out= for contiguous memory only
        return out.copy_(operation(*inputs))
    return operation(*inputs, out=out)


def with_offset(x: Tensor, shift: Tensor | None, out: Tensor) -> Tensor:
    """Return a part of the logits, -inf where there is no label: in ``out`` if need be."""
    return x if shift is None else write_into(out, torch.add, x, shift)


def ignore_offset(
    valid: Bool[Tensor, "b h w"], logits: Float[Tensor, "b c h w"]
) -> Float[Tensor, "b h w"] | None:
    """Return what to add to logits to make p, its slope and its entropy 0 without a label: -inf.

    0 where there is a label; None if a CPU sees that there is one everywhere.
    """
    if on_host(valid) and valid.all():
        return None
    return torch.where(valid, 0.0, -torch.inf).to(logits.dtype)

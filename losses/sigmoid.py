"""Sigmoid cross entropy and pooled sigmoids of a batch of logits, in one read of the logits.

Both need p = σ(x) of every pixel and class, and so does the gradient of both,

    ∂/∂x = (p - y)·g + G·p·(1 - p),

where g is the gradient that arrives at the cross entropy and G at the pixel's cell of the pooled
map. Nothing of the logits' size is kept for it: the backward pass computes p again, which costs no
more than fetching it, so that the gradient is the only large tensor. One-hot labels y are never
built. On a CPU the work goes plane by plane in strips of rows that stay in a core's cache.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable

from losses.cells import Grid

# Pixels of a strip on a CPU: a few float32 buffers of this size stay in a core's own cache. Smaller
# ones would, too, but then the calls cost more than the work.
STRIP_PIXELS = 2**18
# Factors in [1/2, 1] that are multiplied before a logarithm is taken; 2^-64 does not underflow.
GROUP = 64


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
        grid: Grid | None,
        pooled: list[bool],
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "b c hc wc"]]:
        """Return the sum over pixels and classes, and the means.

        Args:
            ctx: autograd's.
            logits: finite, one channel per class, contiguous.
            labels: the class of each pixel; any class where it has none.
            valid: whether it has one.
            grid: the cells; None if no means are wanted, which are then of size 0.
            pooled: whether means are wanted, by plane: all classes of the first image, and so on.
                The others are 0 and take no gradient. On a GPU all are computed.
        """
        ctx.save_for_backward(logits, labels, valid)
        ctx.set_materialize_grads(False)
        means = logits.new_zeros(*logits.shape[:2], *spanned(logits, grid))
        grid, pooled = (Grid(), []) if grid is None else (grid, pooled)
        ctx.grid, ctx.pooled = grid, pooled
        mask = mask_of(valid, logits)
        sums = []
        for strip in strips(logits, grid):
            frame = Frame(strip, logits, grid)
            parts, out = strip.pixels_of(logits), strip.cells_of(means)
            softplus, pool = SoftplusSum(frame.pixels, len(parts)), CellSums(frame.cells)
            for i, x in enumerate(parts):
                p = torch.sigmoid(x, out=frame.pixels)
                inside = strip.shared(mask, i)
                if inside is not None:
                    p.mul_(inside)
                softplus.add(i, x, p, inside)
                if strip.wants(pooled, i):
                    pool.write(out[i])
            sums.append(softplus.total())
        at_label = logits.gather(1, labels.unsqueeze(1))
        if mask is not None:
            at_label.mul_(mask)
        total = torch.stack(sums).sum() - at_label.sum(-1).sum(dtype=torch.float64)
        rows, columns = (grid.cells(length) for length in logits.shape[-2:])
        return total.to(logits.dtype), means.div_(grid.factor**2)[..., :rows, :columns]

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  # as decorated
        ctx: Any, *grad_outputs: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        """Return the gradient of the logits."""
        logits, labels, valid = ctx.saved_tensors
        grid: Grid = ctx.grid
        of_sum, of_means = grad_outputs
        of_sum = logits.new_zeros(()) if of_sum is None else of_sum
        if of_means is not None:
            height, width = spanned(logits, grid)
            missing = (0, width - of_means.shape[-1], 0, height - of_means.shape[-2])
            of_means = F.pad(of_means, missing) / grid.factor**2
        mask = mask_of(valid, logits)
        result = torch.empty_like(logits)
        for strip in strips(logits, grid):
            frame, slope = Frame(strip, logits, grid), Frame(strip, logits, grid)
            p, out = frame.pixels, strip.pixels_of(result)
            up, both = strip.cell_gradients(of_means, of_sum, grid)
            for i, x in enumerate(strip.pixels_of(logits)):
                torch.sigmoid(x, out=p)
                if up and strip.wants(ctx.pooled, i):
                    # p·(g + G - G·p): p meets G at the cells, and the result at the pixels.
                    torch.addcmul(both[i], up[i], frame.cells, value=-1, out=slope.cells)
                    torch.mul(slope.pixels, p, out=out[i])
                else:
                    torch.mul(p, of_sum, out=out[i])
                inside = strip.shared(mask, i)
                if inside is not None:
                    out[i].mul_(inside)
        at_label = -of_sum.expand(labels.shape) if mask is None else -of_sum * mask.squeeze(1)
        result.scatter_add_(1, labels.unsqueeze(1), at_label.unsqueeze(1))
        return result, None, None, None, None


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
        """The rows of pixels of every part."""
        return self.parts(maps[:, :, self.rows])

    def cells_of(self, maps: Float[Tensor, "b c hc wc"]) -> tuple[Tensor, ...]:
        """The rows of cells of every part."""
        return self.parts(maps[:, :, self.cells])

    def cell_gradients(
        self, of_means: Float[Tensor, "b c hc wc"] | None, of_sum: Float[Tensor, ""], grid: Grid
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """G at the columns of pixels of every part, and g + G; nothing without G."""
        if of_means is None:
            return (), ()
        columns = of_means[:, :, self.cells].repeat_interleave(grid.factor, dim=-1).unsqueeze(-2)
        return self.parts(columns), self.parts(columns + of_sum)

    def parts(self, rows: Float[Tensor, "b c *rows"]) -> tuple[Tensor, ...]:
        """Its rows, part by part."""
        return (rows.flatten(0, 1) if self.planes else rows).unbind()

    def shared(self, mask: Float[Tensor, "b 1 h w"] | None, part: int) -> Tensor | None:
        """The rows of pixels of what all classes of an image share."""
        if mask is None:
            return None
        return mask[part // self.classes, 0, self.rows] if self.planes else mask[part, :, self.rows]

    def wants(self, planes: list[bool], part: int) -> bool:
        """Whether a part is computed if only these planes are asked for."""
        return bool(planes) and (not self.planes or planes[part])


def strips(logits: Float[Tensor, "b c h w"], grid: Grid) -> Iterator[Strip]:
    """Cut the rows between cells: a cache full at a time on a CPU, else all of them."""
    classes, height, width = logits.shape[1:]
    on_cpu = logits.device.type == "cpu"
    end = grid.spanned(height)
    step = max(1, STRIP_PIXELS // (grid.factor * width)) if on_cpu else end
    for first in range(0, end, step):
        last = min(first + step, end)
        top = max(first * grid.factor - grid.padding, 0)
        rows = slice(top, min(last * grid.factor - grid.padding, height))
        yield Strip(rows, slice(first, last), planes=on_cpu, classes=classes)


class Frame:
    """Memory for one part of a strip, framed by zeros that make up whole cells.

    ``pixels`` [rows, w] and ``cells`` [cells, k, columns] are two views of it. All parts use it in
    turn, so that it stays in the cache and nothing is allocated in the loop.
    """

    def __init__(self, strip: Strip, logits: Float[Tensor, "b c h w"], grid: Grid) -> None:
        k, width = grid.factor, logits.shape[-1]
        classes = () if strip.planes else (strip.classes,)
        count = strip.cells.stop - strip.cells.start
        memory = logits.new_zeros(*classes, count, k, grid.spanned(width) * k)
        top = grid.padding if strip.cells.start == 0 else 0
        bottom = top + strip.rows.stop - strip.rows.start
        self.cells = memory
        self.pixels = memory.flatten(-3, -2)[..., top:bottom, grid.padding : grid.padding + width]


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

    def add(
        self,
        part: int,
        x: Float[Tensor, "*part"],
        p: Float[Tensor, "*part"],
        inside: Float[Tensor, "*shared"] | None,
    ) -> None:
        """Take in a part; where it is not inside, p is 0 and x does not count."""
        product, total = self.rows[part]
        torch.maximum(p, torch.sub(1, p, out=self.values), out=self.values)
        self._fill_rest(1)
        torch.prod(self.groups, 0, out=product)
        torch.clamp(x, min=0, out=self.values)
        self._fill_rest(0)
        if inside is not None:
            self.values.mul_(inside)
        torch.sum(self.groups, 0, out=total)

    def _fill_rest(self, value: float) -> None:
        if self.rest.numel():
            self.rest.fill_(value)

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
    """Write the sum over a dimension; a sum of two is faster as such."""
    if terms.shape[dim] == 2:
        torch.add(*terms.unbind(dim), out=out)
    else:
        torch.sum(terms, dim, out=out)


def mask_of(
    valid: Bool[Tensor, "b h w"], logits: Float[Tensor, "b c h w"]
) -> Float[Tensor, "b 1 h w"] | None:
    """Return 1 where a pixel has a label and 0 elsewhere; None if a CPU sees no 0 at all."""
    if valid.device.type == "cpu" and valid.all():
        return None
    return valid.unsqueeze(1).to(logits.dtype)


def spanned(logits: Float[Tensor, "b c h w"], grid: Grid | None) -> tuple[int, int]:
    """Return the number of rows and columns of cells that hold a pixel; 0 without a grid."""
    if grid is None:
        return 0, 0
    height, width = logits.shape[-2:]
    return grid.spanned(height), grid.spanned(width)

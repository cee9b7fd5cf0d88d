"""Where a map is summed: in cells that it is pooled over, and over all places of a window.

Labels are counted in cells; their pooled one-hot maps are never built.

A window of R × S pixels sees p = 2RS values: of map 0 and then of map 1, row by row. Its N places
make a p × N matrix Z of points, centred: minus their mean. Wanted are the Gram matrix Z·Zᵀ and
products A·Z spread back over the map, for which Z itself need not be written out: maps are copied
S times, shifted by a column each, and a shift by rows is an offset into those copies.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from losses.base import on_host


@dataclass(frozen=True)
class Grid:
    """Square cells of ``factor`` pixels a side; the first begins ``padding`` outside the map."""

    factor: int = 1
    padding: int = 0

    def cells(self, length: int) -> int:
        """Number of whole cells along ``length`` pixels with padding on both sides."""
        return (length + 2 * self.padding) // self.factor

    def spanned(self, length: int) -> int:
        """Number of cells that hold one of ``length`` pixels; the last need not be whole."""
        return -(-(length + self.padding) // self.factor)


def cell_counts(
    labels: Int64[Tensor, "b h w"],
    valid: Bool[Tensor, "b h w"],
    classes: int,
    grid: Grid,
    dtype: torch.dtype,
) -> Float[Tensor, "b c hc wc"]:
    """Return how many valid pixels of each class lie in each cell."""
    height, width = labels.shape[-2:]
    rows, columns = grid.spanned(height), grid.spanned(width)
    row, column = (
        (torch.arange(length, device=labels.device) + grid.padding) // grid.factor
        for length in (height, width)
    )
    cell = row.unsqueeze(1) * columns + column
    index = torch.add(cell, labels, alpha=rows * columns).flatten(1)
    counts = torch.zeros(len(labels), classes * rows * columns, dtype=dtype, device=labels.device)
    counts.scatter_add_(1, index, valid.flatten(1).to(dtype))
    counts = counts.unflatten(1, (classes, rows, columns))
    return counts[..., : grid.cells(height), : grid.cells(width)]


def cell_coverage(height: int, width: int, grid: Grid, like: Tensor) -> Float[Tensor, "hc wc"]:
    """Return the share of each cell that lies on the map and not in the padding."""
    rows, columns = (_covered(length, grid, like) for length in (height, width))
    return rows.unsqueeze(1) * columns / grid.factor**2


def _covered(length: int, grid: Grid, like: Tensor) -> Float[Tensor, " cells"]:
    first = torch.arange(grid.cells(length), device=like.device) * grid.factor - grid.padding
    return ((first + grid.factor).clamp(max=length) - first.clamp(min=0)).to(like.dtype)


def nearest(maps: Tensor, height: int, width: int) -> Tensor:
    """Return maps [b, h, w] of any type resized as torch.nn.functional.interpolate's "nearest"."""
    rows, columns = (
        # Positions are resized, since it takes no labels; its rounding is not that of i·h // small.
        F.interpolate(torch.arange(float(large), device=maps.device)[None, None], small).long()
        for small, large in zip((height, width), maps.shape[-2:], strict=True)
    )
    return maps[:, rows.flatten().unsqueeze(1), columns.flatten()]


class Moments(NamedTuple):
    """What the points of m windows add up to."""

    places: Float64[Tensor, " m"]
    mean: Float64[Tensor, "m p"]
    gram: Float64[Tensor, "m p p"]


@runtime_checkable
class Windows(Protocol):
    """The windows of m pairs of maps."""

    pair: tuple[Float[Tensor, "m h w"], Float[Tensor, "m h w"]]

    def moments(self) -> Moments:
        """Return N, the mean of the points, and Z·Zᵀ."""
        ...

    def adjoint(
        self, matrix: Float64[Tensor, "m q p"], mean: Float64[Tensor, "m p"]
    ) -> Float[Tensor, "m h w"]:
        """Return A·Z, whose q = RS rows stand for the pixels of a window, summed over the map."""
        ...


def windows_of(
    pair: tuple[Float[Tensor, "m h w"], Float[Tensor, "m h w"]],
    window: tuple[int, int],
    kept: Float[Tensor, "m n"] | None,
) -> Windows:
    """Return the windows of some rows and columns; a place where ``kept`` is 0 is left out."""
    everywhere = kept is None or (on_host(kept) and bool(kept.all()))
    # Lags need a row of the map that every row of the window sees.
    if everywhere and pair[0].shape[-2] >= 2 * window[0] - 1:
        return LaggedWindows(pair, window)
    return ListedWindows(pair, window, kept)


class ListedWindows:
    """Every window written out: plain, large, and free to leave places out."""

    def __init__(
        self,
        pair: tuple[Float[Tensor, "m h w"], Float[Tensor, "m h w"]],
        window: tuple[int, int],
        kept: Float[Tensor, "m n"] | None,
    ) -> None:
        self.pair, self.window = pair, window
        m, h, w = pair[0].shape
        places = (h - window[0] + 1) * (w - window[1] + 1)
        every = pair[0].new_ones(m, places)
        self.kept = (every if kept is None else kept).unsqueeze(1).double()

    def moments(self) -> Moments:
        """See ``Windows``."""
        points = self._points()
        count = self.kept.sum(-1).clamp(min=1)
        mean = (points * self.kept).sum(-1) / count
        centred = (points - mean.unsqueeze(-1)) * self.kept
        return Moments(count.squeeze(1), mean, centred @ centred.mT)

    def adjoint(
        self, matrix: Float64[Tensor, "m q p"], mean: Float64[Tensor, "m p"]
    ) -> Float[Tensor, "m h w"]:
        """See ``Windows``."""
        product = matrix @ ((self._points() - mean.unsqueeze(-1)) * self.kept)
        like = self.pair[0]
        return F.fold(product, like.shape[-2:], self.window).squeeze(1).to(like.dtype)

    def _points(self) -> Float64[Tensor, "m p n"]:
        return F.unfold(torch.stack(self.pair, dim=1).double(), self.window)


class LaggedWindows:
    """Products of rows, summed once for each lag between two rows of the window.

    Row y of the window sees rows y … y + n - 1 of the map. Rows R - 1 … n - 1 are common to all;
    what a row of the window sees before and after those is summed row by row.
    """

    def __init__(
        self,
        pair: tuple[Float[Tensor, "m h w"], Float[Tensor, "m h w"]],
        window: tuple[int, int],
    ) -> None:
        self.pair = pair
        self.height, self.width = window
        h, w = pair[0].shape[-2:]
        self.n, self.v = h - self.height + 1, w - self.width + 1

    def moments(self) -> Moments:
        """See ``Windows``."""
        height, n, v = self.height, self.n, self.v
        # One more strip, of ones: products with it are sums.
        strips = self._strips(torch.float64, ones=1)
        flat, first = strips.flatten(2), height - 1
        common = [
            flat[..., first * v : n * v] @ flat[..., (first + lag) * v : (n + lag) * v].mT
            for lag in range(height)
        ]
        products = torch.stack(common, dim=2).unsqueeze(1)
        if height > 1:
            before = row_products(strips, 0, height).flip(1).cumsum(1).flip(1)
            after = row_products(strips, n, height).cumsum(1)
            none = torch.zeros_like(before[:, :1])
            products = products + torch.cat([before, none], 1) + torch.cat([none, after], 1)
        sums = products.flatten(1)[:, lag_index(height, self.width, products.device)]
        total, count = sums[:, :-1, -1:], sums[:, -1:, -1:]
        gram = sums[:, :-1, :-1] - total * (total / count).mT
        return Moments(count.flatten(), (total / count).squeeze(-1), gram)

    def adjoint(
        self, matrix: Float64[Tensor, "m q p"], mean: Float64[Tensor, "m p"]
    ) -> Float[Tensor, "m h w"]:
        """See ``Windows``."""
        height, width, n, v = self.height, self.width, self.n, self.v
        like = self.pair[0]
        m, h, w = like.shape
        # Less their means, maps of little variance keep their digits.
        shifts = torch.stack([maps.mean((-2, -1)) for maps in self.pair], dim=1)
        strips = self._strips(like.dtype).view(m, 2, -1).sub_(shifts.unsqueeze(2))
        strips = strips.view(m, 2 * width, -1)
        first, *others = matrix.to(like.dtype).unflatten(2, (2, height, width)).unbind(3)
        product = first.flatten(2) @ strips[..., : n * v]
        for y, block in enumerate(others, 1):
            product.baddbmm_(block.flatten(2), strips[..., y * v : (y + n) * v])

        rest = mean.unflatten(1, (2, height * width)) - shifts.unsqueeze(2)
        of_rest = (matrix @ rest.view(m, -1, 1)).view(m, height, width, 1)
        by_row = like.new_zeros(m, width, h)
        for y in range(height):
            by_row[..., y : y + n] -= of_rest[:, y]
        by_column = by_row.unsqueeze(-1).repeat(1, 1, 1, v)
        for y, part in enumerate(product.view(m, height, width, n, v).unbind(1)):
            by_column[:, :, y : y + n].add_(part)
        spread = like.new_zeros(m, h, w)
        for x, part in enumerate(by_column.unbind(1)):
            spread[..., x : x + v].add_(part)
        return spread

    def _strips(self, dtype: torch.dtype, ones: int = 0) -> Float[Tensor, "m s h v"]:
        """Return each map shifted by 0, 1, … columns, and then strips of ones."""
        m, h, _ = self.pair[0].shape
        width = self.width
        strips = self.pair[0].new_empty(m, 2 * width + ones, h, self.v, dtype=dtype)
        for first, maps in zip((0, width), self.pair, strict=True):
            strips[:, first : first + width] = maps.unfold(-1, width, 1).permute(0, 3, 1, 2)
        strips[:, 2 * width :] = 1
        return strips


def row_products(
    strips: Float64[Tensor, "m s h v"], first: int, height: int
) -> Float64[Tensor, "m r s lag s"]:
    """Return the products of r = height - 1 rows of the map with each of the rows 0, 1, … below.

    Rows below the map are 0.
    """
    rows, count = strips.transpose(1, 2), height - 1
    near = rows[:, first : first + 2 * count]
    near = F.pad(near, (0, 0, 0, 0, 0, 2 * count - near.shape[1]))
    below = near.unfold(1, height, 1).movedim(-1, 2).flatten(2, 3)
    return (rows[:, first : first + count] @ below.mT).unflatten(-1, (height, -1))


def lag_index(height: int, width: int, device: torch.device) -> Int64[Tensor, "p1 p1"]:
    """Return where entry (i, j) of the Gram matrix is among products [height, s, lag, s].

    The last i and j stand for the strip of ones. Of two pixels the one in the upper row gives row
    and first strip.
    """
    axes = (torch.arange(length, device=device) for length in (2, height, width))
    which, row, column = (axis.flatten() for axis in torch.meshgrid(*axes, indexing="ij"))
    row = F.pad(row, (0, 1), value=0)
    strip = F.pad(which * width + column, (0, 1), value=2 * width)
    count = 2 * width + 1
    lag = row - row.unsqueeze(1)
    upper = ((row * count + strip).unsqueeze(1) * height + lag) * count + strip
    return torch.where(lag >= 0, upper, upper.mT)

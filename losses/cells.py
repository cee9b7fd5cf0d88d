"""Cells that maps are pooled over, and the pooled one-hot labels, counted instead of built."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor


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

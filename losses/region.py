"""The shape of a region: which pixels of a small window make up a point, and what each weighs."""

import math
import re
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

LARGEST = 10


@dataclass(frozen=True)
class Region:
    """Pixels of a window, with a weight each; if weights differ, from the centre outwards."""

    height: int
    width: int
    pixels: tuple[int, ...]
    """Positions in the window, counted row by row."""
    weights: tuple[float, ...]

    @property
    def d(self) -> int:
        """Number of pixels: the dimension of a point."""
        return len(self.pixels)

    def of_both(self, gram: Float64[Tensor, "m p p"]) -> Float64[Tensor, "m d2 d2"]:
        """Return the entries of the region's pixels in map 0, then in map 1."""
        index = self._in_both(gram)
        return gram[:, index.unsqueeze(1), index]

    def in_window(self, matrix: Float64[Tensor, "m d d2"]) -> Float64[Tensor, "m q p"]:
        """Return the matrix by pixels of the window, 0 for those that are not in the region."""
        area = self.height * self.width
        index = self._in_both(matrix)
        whole = matrix.new_zeros(len(matrix), area, 2 * area)
        whole[:, index[: self.d].unsqueeze(1), index] = matrix
        return whole

    def _in_both(self, like: Tensor) -> Int64[Tensor, " d2"]:
        pixels = torch.tensor(self.pixels, device=like.device)
        return torch.cat([pixels, pixels + self.height * self.width])


@cache
def build_region(shape: str, size: int, radial_decay: float) -> Region:
    """Return the region of an RMI loss's options.

    Args:
        shape: "square", a height and a width ("1x5"), or offsets of pixels as rows and columns
            ("0,0 0,1 1,0"), of which only the differences count.
        size: side of the square.
        radial_decay: a pixel at distance r from the centre of the pixels weighs
            exp(-radial_decay · r); 0 weighs all the same.

    Raises:
        ValueError: a value is malformed or out of range, or both a size and a shape are given.
    """
    if not 1 <= size <= LARGEST:
        raise ValueError(f"region_size must be in [1, {LARGEST}], got {size}")
    if not 0 <= radial_decay < math.inf:
        raise ValueError(f"radial_decay must be a number of at least 0, got {radial_decay}")
    if shape == "square":
        shape = f"{size}x{size}"
    elif size != 3:
        raise ValueError(
            f"region_size {size} is the side of a square, and region is {shape!r}: give one of them"
        )
    offsets = _offsets(shape)
    height, width = (max(axis) + 1 for axis in zip(*offsets, strict=True))
    middle = [sum(axis) / len(offsets) for axis in zip(*offsets, strict=True)]
    distance = {pixel: round(math.dist(pixel, middle), 9) for pixel in offsets}
    # Pixels of equal weight go row by row, as in the published code: what that adds to the factor's
    # diagonal before its logarithm makes the value depend on their order, in the tenth digit.
    ordered = sorted(offsets, key=lambda pixel: (radial_decay * distance[pixel], pixel))
    return Region(
        height,
        width,
        tuple(row * width + column for row, column in ordered),
        tuple(math.exp(-radial_decay * distance[pixel]) for pixel in ordered),
    )


def _offsets(shape: str) -> list[tuple[int, int]]:
    """Return the pixels of a shape as (row, column), the least of either being 0."""
    if match := re.fullmatch(r"(\d+)x(\d+)", shape):
        height, width = map(int, match.groups())
        pixels = [(row, column) for row in range(height) for column in range(width)]
    elif re.fullmatch(r"-?\d+,-?\d+( -?\d+,-?\d+)*", shape):
        pairs = [pair.split(",") for pair in shape.split(" ")]
        top, left = (min(int(pair[axis]) for pair in pairs) for axis in (0, 1))
        pixels = [(int(row) - top, int(column) - left) for row, column in pairs]
    else:
        raise ValueError(
            "region must be 'square', a height and a width such as '1x5', or offsets such as "
            f"'0,0 0,1 1,0', got {shape!r}"
        )
    if len(set(pixels)) < len(pixels):
        raise ValueError(f"region {shape!r} names a pixel twice")
    if not pixels or max(max(pixel) for pixel in pixels) >= LARGEST:
        raise ValueError(f"region {shape!r} must fit into 1 to {LARGEST} rows and columns")
    return pixels

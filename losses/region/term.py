"""The region term of RMI on downsampled maps, with its gradient in closed form.

One image and class at a time: P and Y are maps of probabilities and of truth. The d pixels of a
region, in P and in Y, are one point; its N places on the map give N points. With Z the 2d × N
matrix of centred points, P's above Y's, and a small ridge ξ,

    J = Z·Zᵀ + ξ·I = [[Σ_P, Σ_PY], [Σ_YP, Σ_Y]] + ξ·I = L·Lᵀ.

The lower right block of L is the Cholesky factor of the Schur complement of Σ_P, which is M of
eq. 13 (Zhao et al. 2019): the covariance that is left of the truth when the prediction is known.

    ½·log det M = Σ_i log L_ii  over the last d rows of L                               (value)

needs no inverse, and no subtraction that cancels all digits of a good prediction. Term i is, up to
a constant, the entropy of the region's pixel i given the prediction and pixels 1 … i - 1. Ordered
from the centre outwards, each may have a weight w_i. With Q the last d rows of L⁻¹,

    ∂(Σ_i w_i·log L_ii)/∂Z = Qᵀ·diag(w)·Q·Z                                          (gradient)

of which only P's d rows are wanted. docs/rmi.md derives both.
"""

import math
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from losses.base import constants, first_order
from losses.region.windows import Windows, windows_of

LARGEST = 10


# Bytes of float64 maps, shifted by each column of a region, that are worked on at once: on a CPU
# enough to be worth the calls, on a GPU a small share of its memory.
CHUNK_BYTES = {"cpu": 6 * 2**20, "gpu": 2**28}


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
        pixels = constants(self.pixels, torch.int64, like.device)
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


@dataclass(frozen=True)
class Formulation:
    """Where the paper's text and its published code differ."""

    padded: bool
    """Pooling pads the map by half a window with zeros (average) or -inf (max)."""
    normalised: bool
    """Covariances are means over the regions; else sums."""
    ridge: float
    """Added to the diagonals of Σ_P and of M; paper: ξ."""
    probability_offset: float
    """Added to every probability before pooling."""
    log_offset: float
    """Added to each diagonal entry of M's Cholesky factor before its logarithm."""


class RegionTerm(torch.autograd.Function):
    """-I_l of eq. 14 for each of m maps: ½·log det M / d, or the weighted mean of its terms."""

    @staticmethod
    def forward(
        ctx: Any,
        probs: Float[Tensor, "m h w"],
        truth: Float[Tensor, "m h w"],
        kept: Float[Tensor, "m n"] | None,
        region: Region,
        formulation: Formulation,
    ) -> Float64[Tensor, " m"]:
        """Return the values, in nats per dimension; at least ½·log(ridge).

        Args:
            ctx: autograd's.
            probs: downsampled probabilities.
            truth: downsampled one-hot labels.
            kept: weight 0 or 1 of each of the n places of the region's window, row by row; None
                keeps all.
            region: the pixels of a point.
            formulation: scale and constants of the covariances.
        """
        if len(probs) == 0:
            ctx.gradient = torch.zeros_like(probs)
            return probs.new_zeros(0, dtype=torch.float64)
        parts = cut(probs, truth, kept, region)
        places, mean, gram = map(torch.cat, zip(*(part.moments() for part in parts), strict=True))
        scale = 1 / places[:, None, None] if formulation.normalised else 1.0
        factor = cholesky(region.of_both(gram) * scale, formulation.ridge)
        if ctx.needs_input_grad[0]:
            slope = entropy_slope(factor, region, formulation.log_offset) * scale
            step = len(parts[0].pair[0])
            slopes, means = region.in_window(slope).split(step), mean.split(step)
            ctx.gradient = torch.cat(
                [
                    part.adjoint(*of_part)
                    for part, *of_part in zip(parts, slopes, means, strict=True)
                ]
            )
        return entropy(factor, region, formulation.log_offset)

    @staticmethod
    @first_order
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of the probabilities."""
        scale = grad_outputs[0].to(ctx.gradient.dtype)
        return ctx.gradient * scale[:, None, None], None, None, None, None


def cut(
    probs: Float[Tensor, "m h w"],
    truth: Float[Tensor, "m h w"],
    kept: Float[Tensor, "m n"] | None,
    region: Region,
) -> list[Windows]:
    """Return the maps' windows, a few maps in each part."""
    one = 8 * 2 * region.width * probs.shape[1] * probs.shape[2]
    step = max(1, CHUNK_BYTES["cpu" if probs.device.type == "cpu" else "gpu"] // one)
    window = (region.height, region.width)
    return [
        windows_of((p, y), window, None if kept is None else kept[i * step : (i + 1) * step])
        for i, (p, y) in enumerate(zip(probs.split(step), truth.split(step), strict=True))
    ]


def cholesky(covariance: Float64[Tensor, "m d2 d2"], ridge: float) -> Float64[Tensor, "m d2 d2"]:
    """Return L with L·Lᵀ = covariance + ridge·I; NaN if there is none."""
    size = covariance.shape[-1]
    eye = torch.eye(size, dtype=covariance.dtype, device=covariance.device)
    factor, failed = torch.linalg.cholesky_ex(covariance + ridge * eye)
    return factor.masked_fill((failed > 0)[:, None, None], torch.nan)


def entropy(
    factor: Float64[Tensor, "m d2 d2"], region: Region, log_offset: float
) -> Float64[Tensor, " m"]:
    """Return the weighted mean of log L_ii over the last d rows."""
    diagonal = factor.diagonal(dim1=-2, dim2=-1)[:, region.d :]
    return (diagonal + log_offset).log() @ shares(region, factor.device)


def entropy_slope(
    factor: Float64[Tensor, "m d2 d2"], region: Region, log_offset: float
) -> Float64[Tensor, "m d d2"]:
    """Return A with ∂entropy/∂P = A·Z: the first d rows of Qᵀ·diag(w)·Q."""
    d = region.d
    last_rows = torch.eye(2 * d, dtype=factor.dtype, device=factor.device)[d:]
    q = torch.linalg.solve_triangular(
        factor, last_rows.expand(len(factor), -1, -1), upper=False, left=False
    )
    diagonal = factor.diagonal(dim1=-2, dim2=-1)[:, d:]
    weights = shares(region, factor.device) * diagonal / (diagonal + log_offset)
    return (q[..., :d] * weights.unsqueeze(-1)).mT @ q


def shares(region: Region, device: torch.device) -> Float64[Tensor, " d"]:
    """Return the region's weights over their sum."""
    weights = constants(region.weights, torch.float64, device)
    return weights / weights.sum()


def absent_value(region: Region, formulation: Formulation, like: Tensor) -> Float64[Tensor, " 1"]:
    """Return the value of a map without truth, whatever the prediction: M is the ridge alone."""
    eye = torch.eye(2 * region.d, dtype=torch.float64, device=like.device)
    return entropy(
        cholesky(0 * eye.unsqueeze(0), formulation.ridge), region, formulation.log_offset
    )

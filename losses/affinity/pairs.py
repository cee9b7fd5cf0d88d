"""Pairs of pixels at a distance: which count, where their labels differ, and sums over them.

Maps are padded with ignored pixels as wide as the distance, and pixels are numbered through all
images, so that a neighbour is a constant number away. The eight directions are both ways along
four axes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor


@dataclass(frozen=True)
class Pairs:
    """The pairs (centre, neighbour) of some images."""

    labels: Int64[Tensor, "n hp wp"]
    """Class of each pixel; ``classes`` where it is ignored, as are all beyond the border."""
    classes: int
    size: int
    kept: Bool[Tensor, "n a hp wp"]
    """The centres whose pairs along an axis count; a = 1 if they are the same for all four."""
    ends: Int64[Tensor, "2 e"]
    """Pixel numbers of the two ends, where their labels differ; either may be the centre."""
    counts: Bool[Tensor, "2 e"]
    """Whether the pair counts with this end as its centre; with neither if it is listed idly."""

    @classmethod
    def among(
        cls,
        labels: Int64[Tensor, "n h w"],
        classes: int,
        size: int,
        *,
        drop: bool,
        list_all: bool = False,
    ) -> "Pairs":
        """Return the pairs of labelled images.

        Args:
            labels: class of each pixel, or ``classes`` where it is ignored.
            classes: number of classes.
            size: distance between centre and neighbour.
            drop: a pair counts only if its centre, its neighbour and the pixel opposite the
                neighbour are labelled; else all pairs do whose centre is on the map.
            list_all: list pairs of equal labels too, since to pick the others a GPU would have
                to wait for their number.
        """
        padded = F.pad(labels, (size,) * 4, value=classes)
        flat = padded.flatten()
        steps = axes(size, padded.shape[-1])
        if drop:
            known = flat < classes
            kept = [known & known.roll(step) & known.roll(-step) for step in steps]
        else:
            kept = [F.pad(torch.ones_like(labels, dtype=torch.bool), (size,) * 4).flatten()] * 4
        ends, counts = [], []
        for step, count in zip(steps, kept, strict=True):
            centres = torch.stack([count[:-step], count[step:]])
            centres &= flat[:-step] != flat[step:]
            first = torch.arange(len(flat) - step, device=flat.device)
            if not list_all:
                first = centres.any(0).nonzero()[:, 0]
                centres = centres[:, first]
            ends.append(torch.stack([first, first + step]))
            counts.append(centres)
        return cls(
            labels=padded,
            classes=classes,
            size=size,
            kept=torch.stack([axis.view_as(padded) for axis in kept[: 4 if drop else 1]], dim=1),
            ends=torch.cat(ends, dim=1),
            counts=torch.cat(counts, dim=1),
        )

    @property
    def known(self) -> Bool[Tensor, "n hp wp"]:
        """The labelled pixels."""
        return self.labels < self.classes

    def numbers(self) -> Int64[Tensor, "2"]:
        """Return the number of edges (pair and channel of which one pixel only is), and others."""
        known = self.known.flatten()[self.ends]
        edges = (known.sum(0) * self.counts.sum(0)).sum()
        pairs = self.kept.sum() * (8 // self.kept.shape[1])
        return torch.stack([edges, pairs * self.classes - edges])

    def pad(self, maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c hp wp"]:
        """Return padded maps, 0 at ignored pixels."""
        padded = maps.new_zeros(*maps.shape[:2], *self.labels.shape[1:])
        known = self.known.unsqueeze(1).to(maps.dtype)
        self.crop(padded).copy_(maps).mul_(self.crop(known))
        return padded

    def crop(self, maps: Float[Tensor, "n c hp wp"]) -> Float[Tensor, "n c h w"]:
        """Return a view of what is inside the border."""
        inside = slice(self.size, -self.size)
        return maps[..., inside, inside]


class PairGraph:
    """The graph that has an edge from each centre to its neighbours, as heavy as the centre.

    Its Laplacian L turns sums over pairs into sums over pixels:
    Σ_(c → q) weight_c (f_q g_q - f_q g_c) = ⟨L f, g⟩.

    Args:
        weight: of the pairs of each centre along each axis; a = 1 if it is the same for all four.
        size: distance between centre and neighbour; maps are padded by as much.
    """

    def __init__(self, weight: Float[Tensor, "n a hp wp"], size: int) -> None:
        self.weight = weight
        self.size = size
        self.arriving = self.into(torch.ones_like(weight[:, :1]))

    def laplacian(self, f: Float[Tensor, "*n c hp wp"]) -> Float[Tensor, "*n c hp wp"]:
        """Return L f: f times the weight that arrives, minus the sum over what a pixel sees."""
        return self.out_of(f).neg_().addcmul_(self.arriving, f)

    def transposed(self, g: Float[Tensor, "*n c hp wp"]) -> Float[Tensor, "*n c hp wp"]:
        """Return Lᵀ g, so that ⟨L f, g⟩ = ⟨f, Lᵀ g⟩."""
        return self.into(g).neg_().addcmul_(self.arriving, g)

    def out_of(self, f: Float[Tensor, "*n c hp wp"]) -> Float[Tensor, "*n c hp wp"]:
        """Return at each centre its weight times the sum of f over its neighbours."""
        if self.weight.shape[1] == 1:
            return ring(f, self.size).mul_(self.weight)
        terms = zip(self.weight.split(1, dim=1), axes(self.size, f.shape[-1]), strict=True)
        return sum_of(weight * both_ways(f, step) for weight, step in terms)

    def into(self, g: Float[Tensor, "*n c hp wp"]) -> Float[Tensor, "*n c hp wp"]:
        """Return at each pixel the sum of weight times g over the centres around it."""
        if self.weight.shape[1] == 1:
            return ring(g * self.weight, self.size)
        terms = zip(self.weight.split(1, dim=1), axes(self.size, g.shape[-1]), strict=True)
        return sum_of(both_ways(g * weight, step) for weight, step in terms)


def axes(size: int, width: int) -> tuple[int, int, int, int]:
    """Return how many pixels away a neighbour is along each axis, on maps of this width."""
    return size, size * width, size * (width - 1), size * (width + 1)


def both_ways(maps: Float[Tensor, "*n c h w"], step: int) -> Float[Tensor, "*n c h w"]:
    """Return the sum of the two numbers ``step`` before and behind each; 0 beyond the ends."""
    flat = maps.flatten()
    total = torch.empty_like(flat)
    torch.add(flat[: -2 * step], flat[2 * step :], out=total[step:-step])
    total[:step] = flat[step : 2 * step]
    total[-step:] = flat[-2 * step : -step]
    return total.view_as(maps)


def ring(maps: Float[Tensor, "*n c h w"], size: int) -> Float[Tensor, "*n c h w"]:
    """Return the sum of each pixel's eight neighbours, first along rows, then along columns."""
    rows = both_ways(maps, size).add_(maps)
    return both_ways(rows, size * maps.shape[-1]).add_(rows).sub_(maps)


def sum_of(maps: Iterable[Float[Tensor, "*n c h w"]]) -> Float[Tensor, "*n c h w"]:
    """Return their sum, with one map more in memory than is summed."""
    return reduce(Tensor.add_, maps)

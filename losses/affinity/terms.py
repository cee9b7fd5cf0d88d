"""The affinity field term and its gradient in closed form, a few maps at a time.

A pixel has two outcomes in a channel: its class, with probability p, or another, with 1 - p. Let X
be the map of one of them, clipped. Between a neighbour q and a centre c, KL is the sum over both
X of X_q log X_q - X_q log X_c. Summed over all pairs, whatever their labels, with a weight for
each centre, that is ⟨L X, log X⟩, where L is the Laplacian of the pairs, and its derivative is
Lᵀ log X + L X / X. So the eight neighbours are never written down one by one. Where labels differ,
which is rare and in two channels only, the pair is taken back and costs max(0, margin - KL).
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from losses.affinity.pairs import PairGraph, Pairs
from losses.base import first_order, on_host

# Lower bound of the probability of an outcome, so that logarithms stay finite.
FLOOR = 1e-4
# Numbers that a CPU works on at a time: few enough for its cache, and enough to be worth the calls.
CPU_BLOCK = 160_000


@dataclass(frozen=True)
class Convention:
    """Where the field's authors and the port of their code differ."""

    drop: bool
    """A pair counts only if its centre, its neighbour and the pixel opposite the neighbour are
    labelled. Else each pixel of the map has eight pairs; a neighbour that is ignored or beyond
    the border is of no class and has probability 0."""
    offset: float
    """Added to 1 - p, before both p and 1 - p are clipped to [FLOOR, 1]."""

    def outcomes(self, p: Float[Tensor, "*s"]) -> Float[Tensor, "2 *s"]:
        """Return the clipped probabilities of a class and of any other."""
        return torch.stack([p, 1 + self.offset - p]).clamp_(FLOOR, 1)

    def chain(self, p: Float[Tensor, "*s"], slopes: Float[Tensor, "2 *s"]) -> Float[Tensor, "*s"]:
        """Return the derivative for p, given those for ``outcomes``: of a clipped one it is 0."""
        top = 1 + self.offset - FLOOR
        # Backward steps of activations: other ways to mask take ten times as long on a CPU.
        of_p = torch.ops.aten.threshold_backward(slopes[0], p, FLOOR)
        return of_p.sub_(
            torch.ops.aten.hardtanh_backward(
                slopes[1], p, self.offset, top if top < 1 else math.inf
            )
        )


ORIGINAL = Convention(drop=True, offset=0.0)
PORT = Convention(drop=False, offset=FLOOR)


def affinity(
    probs: Float[Tensor, "b c h w"],
    labels: Int64[Tensor, "b h w"],
    weights: Float[Tensor, "2 k"],
    *,
    size: int,
    kl_margin: float,
    convention: Convention,
) -> Float[Tensor, ""]:
    """Return the weighted mean cost of edge entries plus that of other entries.

    An entry is a pair (centre, one of its eight neighbours at distance ``size``) in one channel.
    It is an edge, and costs max(0, margin - KL), where just one of the two pixels is of the
    channel's class; else it costs KL. A kind without entries costs 0.

    Args:
        probs: probability of each class.
        labels: class of each pixel, or c where it is ignored.
        weights: of edges and of other entries, by the label of the centre; k = c + 1.
        size: distance of the neighbours.
        kl_margin: an edge that differs by this many nats costs nothing.
        convention: which pairs count, and how probabilities are clipped.
    """
    # A GPU takes the whole batch at once, a CPU some images after the others.
    at_once = not on_host(probs)
    images = len(probs) if at_once else max(1, CPU_BLOCK // probs[0].numel())
    parts = [
        Pairs.among(part, probs.shape[1], size, drop=convention.drop, list_all=at_once)
        for part in labels.split(images)
    ]
    counts = torch.stack([pairs.numbers() for pairs in parts]).sum(0)
    rates = (weights / counts.clamp(min=1).unsqueeze(1)).to(probs.dtype)
    return _Affinity.apply(probs, rates, parts, kl_margin, convention)


class _Affinity(torch.autograd.Function):
    """The term as a function of probabilities and rates: the weight of one entry of each kind.

    Derivatives come along with the value; there are no second ones.
    """

    @staticmethod
    def forward(
        ctx: Any,
        probs: Float[Tensor, "b c h w"],
        rates: Float[Tensor, "2 k"],
        parts: list[Pairs],
        kl_margin: float,
        convention: Convention,
    ) -> Float[Tensor, ""]:
        of_probs = torch.empty_like(probs)
        of_rates = torch.zeros_like(rates, dtype=torch.float64) if ctx.needs_input_grad[1] else None
        total = probs.new_zeros((), dtype=torch.float64)
        images = len(parts[0].labels)
        by_part = zip(parts, probs.split(images), of_probs.split(images), strict=True)
        for pairs, p, gradient in by_part:
            p = pairs.pad(p)
            slope = torch.empty_like(p)
            total += every_pair(p, pairs, rates[1], convention, slope)
            total += edges(p, pairs, rates, kl_margin, convention, slope, of_rates)
            if of_rates is not None:
                of_rates[1] += cost_by_class(p, pairs, convention)
            gradient.copy_(pairs.crop(slope))
        ctx.save_for_backward(of_probs, None if of_rates is None else of_rates.to(rates.dtype))
        # Without a labelled pixel the value is 0, and not what rounding leaves of it.
        labelled = torch.stack([pairs.known.any() for pairs in parts]).any()
        return (total * labelled).to(probs.dtype)

    @staticmethod
    @first_order
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (scale,) = gradients
        of_probs, of_rates = ctx.saved_tensors
        by_rate = None if of_rates is None else scale * of_rates
        return scale * of_probs, by_rate, None, None, None


def every_pair(
    p: Float[Tensor, "n c hp wp"],
    pairs: Pairs,
    rate: Float[Tensor, " k"],
    convention: Convention,
    slope: Float[Tensor, "n c hp wp"],
) -> Float64[Tensor, ""]:
    """Return the sum of KL over all entries, edges too, at the rate of the centre's label.

    Its derivative for p is written to ``slope``, where beyond the border it means nothing.
    """
    graph = PairGraph(pairs.kept * rate[pairs.labels].unsqueeze(1), pairs.size)
    total = p.new_zeros((), dtype=torch.float64)
    for part, gradient in zip(_blocks(p), _blocks(slope), strict=True):
        x = convention.outcomes(part)
        log = x.log()
        laplacian = graph.laplacian(x)
        total += (laplacian * log).sum(dtype=torch.float64)
        slopes = graph.transposed(log).addcdiv_(laplacian, x)
        gradient.copy_(convention.chain(part, slopes))
    return total


def cost_by_class(
    p: Float[Tensor, "n c hp wp"], pairs: Pairs, convention: Convention
) -> Float64[Tensor, " k"]:
    """Return the sum of KL over all entries, edges too, by the label of the centre."""
    graph = PairGraph(pairs.kept.to(p.dtype), pairs.size)
    totals = p.new_zeros(pairs.classes + 1, dtype=torch.float64)
    labels = pairs.labels.flatten()
    for part in _blocks(p):
        x = convention.outcomes(part)
        log = x.log()
        cost = graph.out_of(x * log) - graph.out_of(x) * log
        totals.index_add_(0, labels, cost.sum((0, 2)).flatten().double())
    return totals


def edges(
    p: Float[Tensor, "n c hp wp"],
    pairs: Pairs,
    rates: Float[Tensor, "2 k"],
    kl_margin: float,
    convention: Convention,
    slope: Float[Tensor, "n c hp wp"],
    of_rates: Float64[Tensor, "2 k"] | None,
) -> Float64[Tensor, ""]:
    """Return what edge entries cost, less what they cost in ``every_pair``.

    Its derivatives are added to ``slope`` and, if it is given, to ``of_rates``.
    """
    labels, plane = pairs.labels.flatten(), pairs.labels[0].numel()
    values, slopes = p.view(-1), slope.view(-1)
    total = p.new_zeros((), dtype=torch.float64)
    block = max(1, pairs.ends.shape[1] if not on_host(p) else CPU_BLOCK // 4)
    blocks = (part.split(block, dim=1) for part in (pairs.ends, pairs.counts))
    for ends, counts in zip(*blocks, strict=True):
        ends = ends.contiguous()
        # index_select takes a fraction of the time of indexing
        label = labels.index_select(0, ends.view(-1)).view_as(ends)
        rate = rates.index_select(1, label.view(-1)).view(2, *ends.shape)
        # Where the ends are in their image's map of the first channel.
        first = ends + ends[0] // plane * (plane * (pairs.classes - 1))
        for channel in label:
            # An ignored pixel has no channel.
            centres = (counts & (channel < pairs.classes)).to(p.dtype)
            place = first + channel.clamp(max=pairs.classes - 1) * plane
            at_ends = values.index_select(0, place.view(-1)).view_as(place)
            divergence, of_centre, of_neighbour = bernoulli_kl(convention.outcomes(at_ends))
            cost = (kl_margin - divergence).clamp_(min=0)
            total += ((rate[0] * cost - rate[1] * divergence) * centres).sum(dtype=torch.float64)
            weight = (rate[0] * (cost > 0) + rate[1]) * -centres
            of_outcomes = of_centre.mul_(weight).add_(of_neighbour.mul_(weight).flip(1))
            of_ends = convention.chain(at_ends, of_outcomes)
            slopes.index_add_(0, place.view(-1), of_ends.view(-1))
            if of_rates is not None:
                for kind, paid in enumerate((cost, -divergence)):
                    of_rates[kind].index_add_(0, label.view(-1), (paid * centres).double().view(-1))
    return total


def bernoulli_kl(
    x: Float[Tensor, "2 2 e"],
) -> tuple[Float[Tensor, "2 e"], Float[Tensor, "2 2 e"], Float[Tensor, "2 2 e"]]:
    """Return KL with each end of a pair as the centre and the other as the neighbour.

    With it come its derivatives for the centre's outcomes and for the neighbour's, in the place
    of the centre. ``x`` holds the outcomes [outcome, end, pair].
    """
    neighbour = x.flip(1)
    ratio = neighbour / x
    log = ratio.log()
    return (neighbour * log).sum(0), ratio.neg_(), log.add_(1)


def _blocks(maps: Float[Tensor, "n c hp wp"]) -> tuple[Float[Tensor, "n _ hp wp"], ...]:
    """Return views of as many channels as make a block on a CPU; all of them on a GPU."""
    if not on_host(maps) or len(maps) > 1:  # several images are a block
        return (maps,)
    return maps.split(max(1, CPU_BLOCK // maps[0, 0].numel()), dim=1)

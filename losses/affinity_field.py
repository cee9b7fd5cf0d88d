"""Affinity field loss: Ke, Hwang, Liu, Yu, "Adaptive Affinity Fields", ECCV 2018.

The variant is the one that Zhao et al. 2019 compared with, their port of the plain (not adaptive)
affinity field to PyTorch. It differs from the original: border and ignored pixels are kept, the
weight decays to 1/20 instead of 1/10, and logits and labels are resized.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from losses.base import SegmentationLoss, one_hot
from losses.cross_entropy import cross_entropy

# Lower bound of a probability, and what is added to 1 - p, so that logarithms stay finite.
FLOOR = 1e-4


class AffinityFieldLoss(SegmentationLoss):
    """Softmax cross entropy + decay · (λ_edge · edge term + λ_nonedge · non-edge term).

    For a pixel p, its neighbour q in one of eight directions and a class channel, let KL be the
    divergence of Bernoulli(p) from Bernoulli(q). Where the one-hot labels of the two differ in
    that channel the pair is an edge and costs max(0, margin - KL), else it costs KL. Each kind is
    averaged over all its (pixel, direction, channel) entries of the batch.

    Args:
        size: distance of the neighbours, in pixels of the resized map.
        kl_margin: an edge pair that differs by this many nats costs nothing.
        lambda_edge: weight of the edge term.
        lambda_nonedge: weight of the non-edge term.
        decay_base: decay = decay_base ** -progress; 1 keeps the weight constant.
        stride: the affinity term sees maps of (height // stride, width // stride).
        ignore_index: label of pixels that do not count.

    Raises:
        ValueError: an option is out of range.
    """

    def __init__(
        self,
        *,
        size: int = 1,
        kl_margin: float = 3.0,
        lambda_edge: float = 1.0,
        lambda_nonedge: float = 1.0,
        decay_base: float = 20.0,
        stride: int = 8,
        ignore_index: int = 255,
    ) -> None:
        super().__init__(ignore_index=ignore_index)
        for option, value in (("size", size), ("stride", stride)):
            if value < 1:
                raise ValueError(f"{option} must be at least 1, got {value}")
        for option, value in (
            ("kl_margin", kl_margin),
            ("lambda_edge", lambda_edge),
            ("lambda_nonedge", lambda_nonedge),
        ):
            if not 0 <= value < float("inf"):
                raise ValueError(f"{option} must be a number of at least 0, got {value}")
        if not 1 <= decay_base < float("inf"):
            raise ValueError(f"decay_base must be a number of at least 1, got {decay_base}")
        self.size = size
        self.kl_margin = kl_margin
        self.lambda_edge = lambda_edge
        self.lambda_nonedge = lambda_nonedge
        self.decay_base = decay_base
        self.stride = stride

    def terms(
        self,
        logits: Float[Tensor, "b c h w"],
        target: Int64[Tensor, "b h w"],
        *,
        progress: float = 0.0,
    ) -> dict[str, Float[Tensor, ""]]:
        """Return {"ce": cross entropy, "affinity": the decayed rest}.

        See ``SegmentationLoss.terms``.
        """
        logits, valid = self.prepare(logits, target)
        self.check_input_size(*logits.shape[-2:])
        return {
            "ce": cross_entropy(logits, target, valid, self.ignore_index),
            "affinity": self.decay_base**-progress * self._affinity_term(logits, target),
        }

    def check_input_size(self, height: int, width: int) -> None:
        """Raise ValueError unless some pixel of the resized map has a neighbour on it."""
        rows, columns = height // self.stride, width // self.stride
        if min(rows, columns) <= self.size:
            raise ValueError(
                f"a crop of {height} x {width} is {rows} x {columns} at stride {self.stride}: too "
                f"small for neighbours at distance {self.size}; use a larger crop or a smaller "
                f"stride ({self.stride})"
            )

    def _affinity_term(
        self, logits: Float[Tensor, "b c h w"], target: Int64[Tensor, "b h w"]
    ) -> Float[Tensor, ""]:
        size = [length // self.stride for length in logits.shape[-2:]]
        # Labels pass through the logits' dtype, because interpolate takes no integers.
        labels = F.interpolate(target.unsqueeze(1).to(logits.dtype), size).squeeze(1).long()
        logits = F.interpolate(logits, size, mode="bilinear", align_corners=True)
        valid = labels != self.ignore_index
        truth = one_hot(labels, valid, logits)
        probs = (logits.softmax(1) * valid.unsqueeze(1)).clamp(min=FLOOR)

        # Beyond the border the truth is 0 in every channel and the probability the floor, so a
        # border pixel meets an edge in the channel of its own class.
        edge = neighbours(truth, self.size, outside=0.0) != truth.unsqueeze(2)
        q = neighbours(probs, self.size, outside=FLOOR)
        p = probs.unsqueeze(2)
        not_p, not_q = 1 - p + FLOOR, 1 - q + FLOOR
        divergence = q * (q.log() - p.log()) + not_q * (not_q.log() - not_p.log())

        edge_sum = (F.relu(self.kl_margin - divergence) * edge).sum()
        nonedge_sum = (divergence * ~edge).sum()
        # A map without edges, or with nothing else, has no such term: 0, not 0 / 0.
        edges = edge.sum()
        return self.lambda_edge * edge_sum / edges.clamp(min=1) + (
            self.lambda_nonedge * nonedge_sum / (edge.numel() - edges).clamp(min=1)
        )


def neighbours(
    maps: Float[Tensor, "b c h w"], size: int, *, outside: float
) -> Float[Tensor, "b c 8 h w"]:
    """Return each pixel's eight neighbours at distance ``size``, row by row."""
    h, w = maps.shape[-2:]
    padded = F.pad(maps, (size, size, size, size), value=outside)
    return torch.stack(
        [
            padded[..., y : y + h, x : x + w]
            for y in (0, size, 2 * size)
            for x in (0, size, 2 * size)
            if (y, x) != (size, size)
        ],
        dim=2,
    )

"""Affinity field loss: Ke, Hwang, Liu, Yu, "Adaptive Affinity Fields", ECCV 2018."""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from losses.affinity.softmax import SoftmaxTerms
from losses.affinity.terms import ORIGINAL, PORT, affinity
from losses.base import SegmentationLoss, constants
from losses.region.windows import nearest

Variant = Literal["port", "original", "adaptive"]
ADAPTIVE_SIZES = (1, 2, 3)


class AffinityFieldLoss(SegmentationLoss):
    """Softmax cross entropy + decay · (λ_edge · edge term + λ_nonedge · non-edge term).

    For a pixel p, its neighbour q in one of eight directions and a class channel, let KL be the
    divergence of Bernoulli(p) from Bernoulli(q). Where the one-hot labels of the two differ in
    that channel the pair is an edge and costs max(0, margin - KL), else it costs KL. Each kind is
    averaged over all its (pixel, direction, channel) entries of the batch.

    Args:
        variant: "port" is what Zhao et al. 2019 compared with, their port of the plain field to
            PyTorch: border and ignored pixels are kept, as pixels of no class with probability 0,
            and maps shrink to floor(height / stride). "original" does as the field's authors: a
            pair counts only if its centre, its neighbour and the pixel opposite the neighbour are
            labelled and on the map, p and 1 - p are both clipped to [1e-4, 1], and maps shrink to
            ceil(height / stride); the authors' network gives logits of that size, ours are
            resized to it. "adaptive" adds up the original at sizes 1, 2 and 3, each weighted by
            the class of the centre. The weights are softmaxes over the sizes, one for edges and
            one for the rest, and are learned by gradient ascent, against the network.
        size: distance of the neighbours, in pixels of the resized map.
        kl_margin: an edge pair that differs by this many nats costs nothing.
        lambda_edge: weight of the edge term.
        lambda_nonedge: weight of the non-edge term.
        decay_base: decay = decay_base ** -progress; 1 keeps the weight constant. It is 20 in the
            port and 10 in the original.
        stride: the affinity term sees maps that are smaller by this factor. Logits are resized
            bilinearly with aligned corners, labels to the nearest.
        ignore_index: label of pixels that do not count.

    Raises:
        ValueError: an option is out of range.
    """

    def __init__(
        self,
        *,
        variant: Variant = "port",
        size: int = 1,
        kl_margin: float = 3.0,
        lambda_edge: float = 1.0,
        lambda_nonedge: float = 1.0,
        decay_base: float = 20.0,
        stride: int = 8,
        ignore_index: int = 255,
    ) -> None:
        super().__init__(ignore_index=ignore_index)
        if variant not in get_args(Variant):
            choices = ", ".join(get_args(Variant))
            raise ValueError(f"variant must be one of {choices}, got {variant!r}")
        for option, value in (("size", size), ("stride", stride)):
            if value < 1:
                raise ValueError(f"{option} must be at least 1, got {value}")
        if variant == "adaptive" and size != 1:
            raise ValueError(
                f"size = {size} has no meaning for variant 'adaptive', which learns to weigh sizes "
                "1, 2 and 3; leave size out, or use variant 'original'"
            )
        for option, value in (
            ("kl_margin", kl_margin),
            ("lambda_edge", lambda_edge),
            ("lambda_nonedge", lambda_nonedge),
        ):
            if not 0 <= value < float("inf"):
                raise ValueError(f"{option} must be a number of at least 0, got {value}")
        if not 1 <= decay_base < float("inf"):
            raise ValueError(f"decay_base must be a number of at least 1, got {decay_base}")
        self.variant = variant
        self.convention = PORT if variant == "port" else ORIGINAL
        self.sizes = ADAPTIVE_SIZES if variant == "adaptive" else (size,)
        self.kl_margin = kl_margin
        self.lambda_edge = lambda_edge
        self.lambda_nonedge = lambda_nonedge
        self.decay_base = decay_base
        self.stride = stride
        self.size_scores: nn.Parameter | None = None

    def bind(self, num_classes: int) -> None:
        """Make the adaptive variant's scores of sizes, all 0: each size weighs a third."""
        if self.variant == "adaptive":
            self.size_scores = nn.Parameter(torch.zeros(len(self.sizes), 2, num_classes))

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
        shape = self._resized(*logits.shape[-2:])
        pixel, resized = SoftmaxTerms.apply(logits.contiguous(), target, valid, shape)
        labels = nearest(target, *shape)
        labels = labels.masked_fill(labels == self.ignore_index, logits.shape[1])
        return {
            "ce": pixel,
            "affinity": self.decay_base**-progress * self._affinity_term(resized, labels),
        }

    def check_input_size(self, height: int, width: int) -> None:
        """Raise ValueError unless some pixel of the resized map has a neighbour that counts."""
        rows, columns = self._resized(height, width)
        size = max(self.sizes)
        if min(rows, columns) <= (2 * size if self.convention.drop else size):
            both = "on both sides " if self.convention.drop else ""
            raise ValueError(
                f"a crop of {height} x {width} is {rows} x {columns} at stride {self.stride}: too "
                f"small for neighbours {both}at distance {size}; use a larger crop or a smaller "
                f"stride ({self.stride})"
            )

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        """Return the size of the map that the affinity term sees."""
        spare = 0 if self.variant == "port" else self.stride - 1
        return (height + spare) // self.stride, (width + spare) // self.stride

    def _affinity_term(
        self, logits: Float[Tensor, "b c h w"], labels: Int64[Tensor, "b h w"]
    ) -> Float[Tensor, ""]:
        probs = logits.softmax(1)
        terms = [
            affinity(
                probs,
                labels,
                weights,
                size=size,
                kl_margin=self.kl_margin,
                convention=self.convention,
            )
            for size, weights in zip(self.sizes, self._weights(logits), strict=True)
        ]
        return torch.stack(terms).sum()

    def _weights(self, logits: Float[Tensor, "b c h w"]) -> Float[Tensor, "s 2 k"]:
        """Return the weights of edges and of the rest, by size and by label of the centre."""
        classes = logits.shape[1]
        lambdas = constants(
            [[self.lambda_edge], [self.lambda_nonedge]], logits.dtype, logits.device
        )
        if self.variant != "adaptive":
            return lambdas.expand(1, 2, classes + 1)
        if self.size_scores is None:  # in use without a training
            self.bind(classes)
        assert self.size_scores is not None
        scores = self.size_scores.to(logits)
        if scores.shape[-1] != classes:
            raise ValueError(
                f"this loss was bound to {scores.shape[-1]} classes, and the logits have {classes}"
            )
        # As a value this is the scores, as a derivative their negative: who descends the loss
        # climbs it here.
        reversed_ = 2 * scores.detach() - scores
        # The last label is that of ignored centres, which this variant drops.
        return F.pad(lambdas * reversed_.softmax(0), (0, 1))

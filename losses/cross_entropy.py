"""Cross entropy of each pixel, by softmax or sigmoid."""

import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from losses.base import (
    SegmentationLoss,
    check_finite,
    full_precision,
    normalised_sigmoid,
)
from losses.region.sigmoid import SigmoidTerms
from losses.region.windows import Grid


class CrossEntropyLoss(SegmentationLoss):
    """Softmax cross entropy, mean over labelled pixels (Zhao et al. 2019, eq. 1)."""

    def terms(
        self,
        logits: Float[Tensor, "b c h w"],
        target: Int64[Tensor, "b h w"],
        *,
        progress: float = 0.0,
    ) -> dict[str, Float[Tensor, ""]]:
        """Return {"ce": cross entropy}; see ``SegmentationLoss.terms``."""
        logits, valid = self.prepare(logits, target)
        return {"ce": cross_entropy(logits, target, valid, self.ignore_index)}


class BinaryCrossEntropyLoss(SegmentationLoss):
    """Sigmoid cross entropy of every class channel against its one-hot label.

    Summed over pixels and classes and divided by the number of labelled pixels plus one, as in
    the code published with Zhao et al. 2019: at zero logits it is C·ln 2, not ln 2.
    """

    def terms(
        self,
        logits: Float[Tensor, "b c h w"],
        target: Int64[Tensor, "b h w"],
        *,
        progress: float = 0.0,
    ) -> dict[str, Float[Tensor, ""]]:
        """Return {"bce": binary cross entropy}; see ``SegmentationLoss.terms``."""
        labels, valid = self.labelled(logits, target)
        return {"bce": binary_cross_entropy(full_precision(logits), labels, valid)}

    def probabilities(self, logits: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return sigmoids, normalised over classes."""
        return normalised_sigmoid(logits)


def cross_entropy(
    logits: Float[Tensor, "b c h w"],
    target: Int64[Tensor, "b h w"],
    valid: Bool[Tensor, "b h w"],
    ignore_index: int,
) -> Float[Tensor, ""]:
    """Return the mean over ``valid`` pixels of -log softmax at the label; 0 if there are none."""
    total = F.cross_entropy(logits, target, ignore_index=ignore_index, reduction="sum")
    return total / valid.sum().clamp(min=1)


def binary_cross_entropy(
    logits: Float[Tensor, "b c h w"],
    labels: Int64[Tensor, "b h w"],
    valid: Bool[Tensor, "b h w"],
) -> Float[Tensor, ""]:
    """Return the sum over ``valid`` pixels and all classes, over the number of those pixels + 1.

    Raises FloatingPointError if a logit is NaN or infinite.
    """
    share = 1 / (valid.sum() + 1).to(logits.dtype)
    total, _, logit_sum = SigmoidTerms.apply(logits.contiguous(), labels, valid, Grid(), [], share)
    check_finite(logits, logit_sum)
    return total * share

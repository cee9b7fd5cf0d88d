"""Focal loss: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from losses.base import SegmentationLoss
from losses.cross_entropy import cross_entropy


class FocalLoss(SegmentationLoss):
    """(1 - p)^gamma · -log p, mean over labelled pixels; 0 if nothing is labelled.

    p is the softmax at the pixel's label: eq. 4 of the paper, which has two classes, for more. The
    paper's α, a weight of each class, is left out.

    Args:
        gamma: at least 0; larger values weigh hard pixels more. 0 is the cross entropy, 2 the
            paper's choice.
        ignore_index: label of pixels that do not count.

    Raises:
        ValueError: gamma is out of range.
    """

    def __init__(self, *, gamma: float = 2.0, ignore_index: int = 255) -> None:
        super().__init__(ignore_index=ignore_index)
        if not 0 <= gamma < float("inf"):
            raise ValueError(f"gamma must be a number of at least 0, got {gamma}")
        self.gamma = gamma

    @classmethod
    def simpler(cls, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
        """Return the cross entropy, which is all that is left at gamma = 0."""
        return ("ce", {}) if options["gamma"] == 0 else None

    def terms(
        self,
        logits: Float[Tensor, "b c h w"],
        target: Int64[Tensor, "b h w"],
        *,
        progress: float = 0.0,
    ) -> dict[str, Float[Tensor, ""]]:
        """Return {"focal": the loss}; see ``SegmentationLoss.terms``."""
        logits, valid = self.prepare(logits, target)
        if self.gamma == 0:
            return {"focal": cross_entropy(logits, target, valid, self.ignore_index)}
        entropy = F.cross_entropy(logits, target, ignore_index=self.ignore_index, reduction="none")
        # expm1 keeps the digits of a small 1 - p. Above 0, the slope of its power is finite.
        missing = (-torch.expm1(-entropy)).clamp(min=torch.finfo(logits.dtype).tiny)
        total = (missing**self.gamma * entropy).sum()
        return {"focal": total / valid.sum().clamp(min=1)}

"""Jaccard metric loss: Wang, Ning, Blaschko, "Jaccard Metric Losses …", NeurIPS 2023."""

from jaxtyping import Float, Int64
from torch import Tensor

from losses.base import SegmentationLoss, one_hot


class JaccardLoss(SegmentationLoss):
    """1 - J_k, mean over the classes k that occur in the batch; 0 if nothing is labelled.

    With p the softmax of class k and y its label in [0, 1], L1 norms over the labelled pixels of
    the whole batch,

        J_k = (|p| + |y| - |p - y|) / (|p| + |y| + |p - y|),

    the paper's JML1. For one-hot labels it is the usual soft Jaccard, Σ p·y over
    Σ p + Σ y - Σ p·y. For soft labels, where the usual form is least at a certain prediction, it is
    0 at p = y only. A class that no pixel is labelled with is left out.

    Args:
        label_smoothing: share of a label, in [0, 1), that is spread evenly over all classes.
        ignore_index: label of pixels that do not count.

    Raises:
        ValueError: label_smoothing is out of range.
    """

    def __init__(self, *, label_smoothing: float = 0.0, ignore_index: int = 255) -> None:
        super().__init__(ignore_index=ignore_index)
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), got {label_smoothing}")
        self.label_smoothing = label_smoothing

    def terms(
        self,
        logits: Float[Tensor, "b c h w"],
        target: Int64[Tensor, "b h w"],
        *,
        progress: float = 0.0,
    ) -> dict[str, Float[Tensor, ""]]:
        """Return {"jaccard": mean of 1 - J_k}; see ``SegmentationLoss.terms``."""
        logits, valid = self.prepare(logits, target)
        truth = one_hot(target, valid, logits)
        occurs = truth.amax((0, 2, 3)) > 0
        labelled = valid.unsqueeze(1).to(logits.dtype)
        if self.label_smoothing:
            spread = self.label_smoothing / logits.shape[1]
            truth = truth.mul(1 - self.label_smoothing).add(spread * labelled)
        probs = logits.softmax(1) * labelled
        apart = (probs - truth).abs().sum((0, 2, 3))
        # Where a class is left out, 1 keeps its 0 / 0 out of the gradient.
        size = (probs.sum((0, 2, 3)) + truth.sum((0, 2, 3)) + apart).where(occurs, 1)
        costs = 2 * apart / size * occurs
        return {"jaccard": costs.sum() / occurs.sum().clamp(min=1)}

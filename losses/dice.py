"""Soft Dice loss: Milletari, Navab, Ahmadi, "V-Net", 3DV 2016, for more than two classes."""

from jaxtyping import Float, Int64
from torch import Tensor

from losses.base import SegmentationLoss, one_hot


class DiceLoss(SegmentationLoss):
    """1 - D_k, mean over the classes k that occur in the batch; 0 if nothing is labelled.

    With p the softmax of class k and y its one-hot label, summed over the labelled pixels of the
    whole batch,

        D_k = (2 · Σ p·y + smooth) / (Σ p² + Σ y² + smooth).

    A class that no pixel is labelled with is left out: the paper's D_k is 0 for it, whatever is
    predicted. A pixel wrongly given to it still costs, as one its own class has missed.

    Args:
        smooth: added above and below, in pixels; 0 is the paper's. More of it makes small classes
            weigh less.
        squared: squares in the denominator, as in the paper; without, Σ p + Σ y.
        ignore_index: label of pixels that do not count.

    Raises:
        ValueError: an option is out of range.
    """

    def __init__(
        self, *, smooth: float = 0.0, squared: bool = True, ignore_index: int = 255
    ) -> None:
        super().__init__(ignore_index=ignore_index)
        if not 0 <= smooth < float("inf"):
            raise ValueError(f"smooth must be a number of at least 0, got {smooth}")
        self.smooth = smooth
        self.squared = squared

    def terms(
        self,
        logits: Float[Tensor, "b c h w"],
        target: Int64[Tensor, "b h w"],
        *,
        progress: float = 0.0,
    ) -> dict[str, Float[Tensor, ""]]:
        """Return {"dice": mean of 1 - D_k}; see ``SegmentationLoss.terms``."""
        logits, valid = self.prepare(logits, target)
        truth = one_hot(target, valid, logits)
        probs = logits.softmax(1) * valid.unsqueeze(1)
        overlap = (probs * truth).sum((0, 2, 3))
        predicted = (probs.square() if self.squared else probs).sum((0, 2, 3))
        labelled = truth.sum((0, 2, 3))  # y² is y
        occurs = labelled > 0
        # Where a class is left out, 1 keeps its 0 / 0 out of the gradient.
        size = (predicted + labelled + self.smooth).where(occurs, 1)
        costs = (1 - (2 * overlap + self.smooth) / size) * occurs
        return {"dice": costs.sum() / occurs.sum().clamp(min=1)}

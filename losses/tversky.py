"""Tversky loss: Salehi, Erdogmus, Gholipour, "Tversky loss function …", MLMI 2017."""

from jaxtyping import Float, Int64
from torch import Tensor

from losses.base import SegmentationLoss, one_hot


class TverskyLoss(SegmentationLoss):
    """1 - T_k, mean over the classes k that occur in the batch; 0 if nothing is labelled.

    With p the softmax of class k and y its one-hot label, summed over the labelled pixels of the
    whole batch,

        T_k = (Σ p·y + smooth) / (Σ p·y + alpha · Σ p·(1 - y) + beta · Σ (1 - p)·y + smooth),

    the paper's index, for more than two classes. As in ``DiceLoss``, a class that no
    pixel is labelled with is left out. At alpha = beta = 0.5 it is Dice without squares (with twice
    the ``smooth``), at alpha = beta = 1 the soft Jaccard loss.

    Args:
        alpha: weight of pixels wrongly given to the class, at least 0.
        beta: weight of the class's pixels that are missed, above 0. The paper's best pair is 0.3
            and 0.7.
        smooth: added above and below, in pixels.
        ignore_index: label of pixels that do not count.

    Raises:
        ValueError: an option is out of range.
    """

    def __init__(
        self,
        *,
        alpha: float = 0.3,
        beta: float = 0.7,
        smooth: float = 0.0,
        ignore_index: int = 255,
    ) -> None:
        super().__init__(ignore_index=ignore_index)
        for option, value in (("alpha", alpha), ("smooth", smooth)):
            if not 0 <= value < float("inf"):
                raise ValueError(f"{option} must be a number of at least 0, got {value}")
        # At 0 the index of a class whose pixels are all missed would be 0 / 0.
        if not 0 < beta < float("inf"):
            raise ValueError(f"beta must be a number above 0, got {beta}")
        self.alpha = alpha
        self.beta = beta
        self.smooth = smooth

    def terms(
        self,
        logits: Float[Tensor, "b c h w"],
        target: Int64[Tensor, "b h w"],
        *,
        progress: float = 0.0,
    ) -> dict[str, Float[Tensor, ""]]:
        """Return {"tversky": mean of 1 - T_k}; see ``SegmentationLoss.terms``."""
        logits, valid = self.prepare(logits, target)
        truth = one_hot(target, valid, logits)
        probs = logits.softmax(1) * valid.unsqueeze(1)
        hit, predicted, labelled = (x.sum((0, 2, 3)) for x in (probs * truth, probs, truth))
        occurs = labelled > 0
        wrong = self.alpha * (predicted - hit) + self.beta * (labelled - hit)
        # Where a class is left out, 1 keeps its 0 / 0 out of the gradient.
        size = (hit + wrong + self.smooth).where(occurs, 1)
        costs = wrong / size * occurs
        return {"tversky": costs.sum() / occurs.sum().clamp(min=1)}

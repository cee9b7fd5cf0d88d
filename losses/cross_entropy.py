"""Cross entropy of each pixel, by softmax or sigmoid."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from losses.base import (
    SegmentationLoss,
    check_finite,
    descending,
    full_precision,
    normalised_sigmoid,
    one_hot,
)
from losses.region.sigmoid import SigmoidTerms
from losses.region.windows import Grid

WeightRule = Literal["inverse", "sqrt-inverse", "effective"]


class PixelLoss(SegmentationLoss):
    """A cost of each pixel, and its mean over the labelled pixels.

    Args:
        label_smoothing: share of a label, in [0, 1), that is spread evenly over all classes.
        class_weights: weight of a pixel by its label: a number for each class, or a rule that
            reads the training split. With n pixels of a class, "inverse" is 1 / n, "sqrt-inverse"
            its square root, and "effective" 1 / (1 - (1 - 1 / N)^n), N being the mean n (Cui et
            al. 2019, eq. 2 to 4; N is our choice). The mean of a rule's weights over the classes
            that occur is 1; a class that does not occur gets 0.
        top_k: share, in (0, 1], of the labelled pixels that count: those with the highest costs,
            before weights (online hard example mining, Shrivastava et al. 2016).
        ignore_index: label of pixels that do not count.

    Raises:
        ValueError: an option is out of range.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        *,
        label_smoothing: float = 0.0,
        class_weights: tuple[float, ...] | WeightRule | None = None,
        top_k: float = 1.0,
        ignore_index: int = 255,
    ) -> None:
        super().__init__(ignore_index=ignore_index)
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), got {label_smoothing}")
        if not 0 < top_k <= 1:
            raise ValueError(f"top_k must be in (0, 1], got {top_k}")
        self.label_smoothing = label_smoothing
        self.top_k = top_k
        self.is_default = label_smoothing == 0 and class_weights is None and top_k == 1
        self.rule: WeightRule | None = class_weights if isinstance(class_weights, str) else None
        self.register_buffer("class_weights", None)  # in a checkpoint, once there are some
        if isinstance(class_weights, tuple):
            if not all(0 <= w < float("inf") for w in class_weights) or not any(class_weights):
                shown = ", ".join(map(str, class_weights))
                raise ValueError(f"class_weights must be at least 0, and not all 0, got {shown}")
            self.class_weights = torch.tensor(class_weights, dtype=torch.float64)

    def bind(self, num_classes: int) -> None:
        """Make room for the weights of a rule, which are 1 until ``fit`` computes them.

        Raises:
            ValueError: the number of given weights is not that of classes.
        """
        if self.rule is not None:
            self.class_weights = torch.ones(num_classes, dtype=torch.float64)
        self._check_classes(num_classes)

    def fit(self, class_pixels: Callable[[], Sequence[int]]) -> dict[str, list[float]]:
        """Return {"class_weights": the weights that the rule gives}; nothing without a rule."""
        if self.rule is None:
            return {}
        found = weights_by_rule(self.rule, class_pixels())
        self.class_weights = torch.tensor(found, dtype=torch.float64)
        return {"class_weights": found}

    def weighted_sums(
        self,
        costs: Float[Tensor, "b h w"],
        labels: Int64[Tensor, "b h w"],
        valid: Bool[Tensor, "b h w"],
        classes: int,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Return the weighted sum of the costs that count, and the sum of their weights.

        Args:
            costs: of each pixel, at least 0.
            labels: the class of each pixel; any class at pixels without a label.
            valid: whether a pixel is labelled.
            classes: number of classes.
        """
        kept = valid if self.top_k == 1 else hardest(costs.detach(), valid, self.top_k)
        weights = kept.to(costs.dtype)
        if self.class_weights is not None:
            self._check_classes(classes)
            by_class = self.class_weights.to(costs)
            weights = weights * by_class.index_select(0, labels.flatten()).view_as(labels)
        # The cost of a pixel that does not count may have overflowed.
        return (torch.where(weights > 0, costs, 0) * weights).sum(), weights.sum()

    def _check_classes(self, classes: int) -> None:
        weights = self.class_weights
        if weights is not None and len(weights) != classes:
            raise ValueError(
                f"class_weights has {len(weights)} numbers, but there are {classes} classes; "
                "give one for each class"
            )


class CrossEntropyLoss(PixelLoss):
    """Softmax cross entropy, mean over labelled pixels (Zhao et al. 2019, eq. 1).

    With options it is Σ w·c / Σ w over the pixels that count, w being the weight of a pixel's label
    and c the cross entropy of its smoothed label. See ``PixelLoss`` for the options.
    """

    def terms(
        self,
        logits: Float[Tensor, "b c h w"],
        target: Int64[Tensor, "b h w"],
        *,
        progress: float = 0.0,
    ) -> dict[str, Float[Tensor, ""]]:
        """Return {"ce": cross entropy}; see ``SegmentationLoss.terms``."""
        logits, valid = self.prepare(logits, target)
        if self.is_default:
            return {"ce": cross_entropy(logits, target, valid, self.ignore_index)}
        costs = F.cross_entropy(
            logits,
            target,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            reduction="none",
        )
        labels = torch.where(valid, target, 0)
        total, weight = self.weighted_sums(costs, labels, valid, logits.shape[1])
        return {"ce": total / torch.where(weight > 0, weight, 1)}


class BinaryCrossEntropyLoss(PixelLoss):
    """Sigmoid cross entropy of every class channel against its one-hot label.

    Summed over pixels and classes and divided by the number of labelled pixels plus one, as in
    the code published with Zhao et al. 2019: at zero logits it is C·ln 2, not ln 2.

    With options it is Σ w·c / (Σ w + 1) over the pixels that count, w being the weight of a pixel's
    label and c its sum over channels. Each channel has two classes, so half of ``label_smoothing``
    goes to the other one. See ``PixelLoss`` for the options.
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
        logits = full_precision(logits)
        if self.is_default:
            return {"bce": binary_cross_entropy(logits, labels, valid)}
        check_finite(logits, logits.detach().sum())
        truth = one_hot(target, valid, logits)
        truth = truth.mul(1 - self.label_smoothing).add(self.label_smoothing / 2)
        costs = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").sum(1)
        total, weight = self.weighted_sums(costs, labels, valid, logits.shape[1])
        return {"bce": total / (weight + 1)}

    def probabilities(self, logits: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return sigmoids, normalised over classes."""
        return normalised_sigmoid(logits)


def hardest(
    costs: Float[Tensor, "b h w"], valid: Bool[Tensor, "b h w"], share: float
) -> Bool[Tensor, "b h w"]:
    """Return whether a pixel is among this share of the labelled ones, rounded up, by cost."""
    order = descending(torch.where(valid, costs, -1.0).view(1, -1))
    count = (share * valid.sum(dtype=torch.float64)).ceil()
    counts = torch.arange(costs.numel(), device=costs.device).view(1, -1) < count
    return torch.zeros_like(counts).scatter_(1, order, counts).view_as(valid)


def weights_by_rule(rule: WeightRule, pixels: Sequence[int]) -> list[float]:
    """Return the weight of each class of which the training split has this many pixels.

    >>> weights_by_rule("inverse", [100, 300, 0])
    [1.5, 0.5, 0.0]
    """
    occurring = [n for n in pixels if n]
    mean = sum(occurring) / max(1, len(occurring))
    parts = {
        "inverse": lambda n: 1 / n,
        "sqrt-inverse": lambda n: n**-0.5,
        "effective": lambda n: 1 / (1 - (1 - 1 / mean) ** n),
    }
    raw = [parts[rule](n) if n else 0.0 for n in pixels]
    return [len(occurring) * value / sum(raw) if value else 0.0 for value in raw]


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

"""A weighted sum of losses, such as 0.5 CE + 0.5 RMI."""

from collections.abc import Callable, Iterable, Sequence
from typing import cast

from jaxtyping import Float, Int64
from torch import Tensor, nn

from losses.base import SegmentationLoss


class WeightedSum(SegmentationLoss):
    """Σ w_i · L_i over losses L_i with weights w_i.

    The terms of every loss keep their names, such as "bce" and "rmi". A name that an earlier loss
    uses gets the number of its loss: "dice-2". The probabilities are those of the first loss.

    Args:
        parts: the weight and the loss of each summand, at least one.
        ignore_index: label of pixels that do not count, the same in every loss.
    """

    def __init__(
        self, parts: Sequence[tuple[float, SegmentationLoss]], *, ignore_index: int = 255
    ) -> None:
        super().__init__(ignore_index=ignore_index)
        self.weights = [weight for weight, _ in parts]
        self.losses = nn.ModuleList(loss for _, loss in parts)

    @property
    def parts(self) -> list[tuple[float, SegmentationLoss]]:
        """Return the weight and the loss of each summand."""
        losses = cast(Iterable[SegmentationLoss], self.losses)
        return list(zip(self.weights, losses, strict=True))

    def bind(self, num_classes: int) -> None:
        """Create the parameters that each loss learns."""
        for _, loss in self.parts:
            loss.bind(num_classes)

    def fit(self, class_pixels: Callable[[], Sequence[int]]) -> dict[str, list[float]]:
        """Return the numbers of every loss by name; see ``SegmentationLoss.fit``."""
        found: dict[str, list[float]] = {}
        for number, (_, loss) in enumerate(self.parts, 1):
            for name, values in loss.fit(class_pixels).items():
                found[f"{name}-{number}" if name in found else name] = values
        return found

    def terms(
        self,
        logits: Float[Tensor, "b c h w"],
        target: Int64[Tensor, "b h w"],
        *,
        progress: float = 0.0,
    ) -> dict[str, Float[Tensor, ""]]:
        """Return the weighted terms of every loss by name; see ``SegmentationLoss.terms``."""
        found: dict[str, Tensor] = {}
        for number, (weight, loss) in enumerate(self.parts, 1):
            for name, value in loss.terms(logits, target, progress=progress).items():
                found[f"{name}-{number}" if name in found else name] = weight * value
        return found

    def probabilities(self, logits: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return the class probabilities of the first loss."""
        return self.parts[0][1].probabilities(logits)

    def check_input_size(self, height: int, width: int) -> None:
        """Raise ValueError if a crop of this many pixels is too small for one of the losses."""
        for _, loss in self.parts:
            loss.check_input_size(height, width)

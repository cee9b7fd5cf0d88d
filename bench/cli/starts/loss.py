"""The loss my_loss: to begin with, the focal loss of Lin et al. 2017. Change ``terms``."""

import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from losses.base import SegmentationLoss


class MyLoss(SegmentationLoss):
    """Mean over the labelled pixels of (1 - p)^gamma · -log p, with p of the pixel's own class.

    The contract of every loss, which the test beside this file checks:
    - ignored pixels change nothing; if nothing is labelled, the loss is 0 with a gradient of 0;
    - gradients are those of finite differences, and large logits stay finite;
    - the device never waits: no .item(), no `if` on a tensor, no indexing by a mask.

    Args:
        gamma: at least 1; larger values weigh hard pixels more. Every option of a study is such an
            argument: keyword-only, bool, int, float, str or Literal, with a default.
        ignore_index: label of pixels that do not count; the data set gives it.

    Raises:
        ValueError: gamma is out of range; a study is refused when it is planned.
    """

    version = 1
    """Raise it whenever the same options give another number: finished runs are named by it."""

    def __init__(self, *, gamma: float = 2.0, ignore_index: int = 255) -> None:
        super().__init__(ignore_index=ignore_index)
        if not 1 <= gamma < float("inf"):
            raise ValueError(f"gamma must be a number of at least 1, got {gamma}")
        self.gamma = gamma

    def terms(
        self,
        logits: Float[Tensor, "b c h w"],
        target: Int64[Tensor, "b h w"],
        *,
        progress: float = 0.0,
    ) -> dict[str, Float[Tensor, ""]]:
        """Return the weighted parts of the loss by name; their sum is trained on."""
        logits, valid = self.prepare(logits, target)  # float32; refuses NaN and stray labels
        ce = F.cross_entropy(logits, target, ignore_index=self.ignore_index, reduction="none")
        hard = (1 - (-ce).exp()) ** self.gamma
        return {"my_loss": (hard * ce).sum() / valid.sum().clamp(min=1)}

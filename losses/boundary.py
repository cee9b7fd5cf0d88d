"""Boundary loss: Kervadec et al., "Boundary loss for highly unbalanced segmentation", MIDL 2019."""

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from losses.base import SegmentationLoss


class BoundaryLoss(SegmentationLoss):
    """Σ_k p_k · φ_k, mean over labelled pixels: the signed distance at which the mass lies.

    p_k is the softmax of class k, and φ_k(q) the distance of pixel q from class k in the label map
    of its image, in pixels: to the nearest pixel of the class for a pixel outside, and for one
    inside 1 minus the distance to the nearest pixel of another class, so that the outermost pixels
    of a class have 0, as in the code published with the paper. A class without a boundary, because
    the image lacks it or has no other, has no term. Ignored pixels belong to no class and count
    nowhere.

    It is made for a weighted sum with CE or Dice, as in the paper: alone it lets a pixel take any
    class that its image lacks. It is below 0 where most pixels are right.

    On a GPU each step waits for the label maps, whose distances a CPU computes.

    Args:
        ignore_index: label of pixels that do not count.
    """

    def terms(
        self,
        logits: Float[Tensor, "b c h w"],
        target: Int64[Tensor, "b h w"],
        *,
        progress: float = 0.0,
    ) -> dict[str, Float[Tensor, ""]]:
        """Return {"boundary": mean of p · φ}; see ``SegmentationLoss.terms``."""
        logits, valid = self.prepare(logits, target)
        labels = torch.where(valid, target, -1)
        distances = signed_distances(labels, logits.shape[1]).to(logits.dtype)
        total = (logits.softmax(1) * distances).sum()
        return {"boundary": total / valid.sum().clamp(min=1)}


# An operator of its own, because torch.compile cannot look into SciPy.
@torch.library.custom_op("segloss::signed_distances", mutates_args=())
def signed_distances(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Return the signed distance φ of each pixel from each class, float32 [b, k, h, w].

    Args:
        labels: class of each pixel [b, h, w], -1 where there is no label.
        classes: number of classes k.
    """
    maps = labels.cpu().numpy()
    found = np.zeros((len(maps), classes, *maps.shape[1:]), np.float32)
    for image, distances in zip(maps, found, strict=True):
        _write_distances(image, distances)
    return torch.from_numpy(found).to(labels.device, non_blocking=True)


@signed_distances.register_fake
def _(labels: torch.Tensor, classes: int) -> torch.Tensor:
    b, h, w = labels.shape
    return labels.new_empty((b, classes, h, w), dtype=torch.float32)


def _write_distances(labels: Int64[np.ndarray, "h w"], found: Float32[np.ndarray, "k h w"]) -> None:
    """Write the signed distances of one image; 0 is left where there is no label or no boundary."""
    from scipy.ndimage import distance_transform_edt

    present = np.unique(labels[labels >= 0])
    if len(present) < 2:
        return
    nearest = np.full((2, *labels.shape), np.inf, np.float32)
    for k in present:
        found[k] = distance_transform_edt(labels != k)
        nearest[1] = np.minimum(nearest[1], np.maximum(nearest[0], found[k]))
        nearest[0] = np.minimum(nearest[0], found[k])
    # The nearest class of a labelled pixel is its own, at 0; the second is the nearest other one.
    for k in present:
        np.copyto(found[k], 1 - nearest[1], where=labels == k)
    found[:, labels < 0] = 0

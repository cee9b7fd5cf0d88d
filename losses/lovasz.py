"""Lovász-softmax loss: Berman, Rannen Triki, Blaschko, "The Lovász-Softmax Loss", CVPR 2018.

The Jaccard loss of a class is a function of the set of pixels that are wrong. Its Lovász extension
to errors e in [0, 1] is piecewise linear: with the errors in descending order, each counts as much
as the Jaccard loss grows when its pixel joins the set of wrong ones (Algorithm 1). With U the
number of the class's pixels and of wrong ones of other classes, and I that of the class's pixels
that are not wrong, both after the pixel has joined, that growth is

    1 / U              for a pixel of the class,
    I / (U · (U - 1))  for another one.

A difference of two Jaccard losses, as in the algorithm, would lose digits. The slopes are constants
of the gradient.
"""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from losses.base import SegmentationLoss, descending, on_host


class LovaszLoss(SegmentationLoss):
    """Lovász extension of the Jaccard loss, mean over the classes that occur in the batch.

    The error of a pixel for class k is 1 - p where k is its label and p elsewhere, with p the
    softmax of class k. All labelled pixels of the batch are one set; 0 if nothing is labelled.

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
        """Return {"lovasz": the loss}; see ``SegmentationLoss.terms``."""
        logits, valid = self.prepare(logits, target)
        probs = logits.softmax(1).transpose(0, 1).flatten(1)
        pixels, valid = target.flatten(), valid.flatten()
        classes = torch.arange(logits.shape[1], device=logits.device)
        truth = pixels == classes.unsqueeze(1)
        occurs = truth.any(1)
        # A CPU sorts the errors of those classes only that occur.
        kept = occurs.nonzero().squeeze(1) if on_host(occurs) else classes
        truth, probs = truth[kept], probs[kept]
        with torch.no_grad():
            slopes = jaccard_slopes((truth.to(probs.dtype) - probs).abs(), truth, valid)
            slopes *= occurs[kept].unsqueeze(1)
            certain = (slopes * truth).sum()
            slopes = torch.where(truth, -slopes, slopes)
        total = (slopes * probs).sum() + certain
        return {"lovasz": total / occurs.sum().clamp(min=1)}


def jaccard_slopes(
    errors: Float[Tensor, "k n"], truth: Bool[Tensor, "k n"], valid: Bool[Tensor, " n"]
) -> Float[Tensor, "k n"]:
    """Return how much the Jaccard loss of each class grows with each pixel's error.

    Args:
        errors: in [0, 1], one row for each class.
        truth: whether a pixel has the class.
        valid: whether a pixel is labelled; the others get 0.
    """
    # Pixels without a label come last, where they change no other pixel's slope.
    order = descending(torch.where(valid, errors, -1.0))
    wrong = truth.gather(1, order)
    total = truth.sum(1, keepdim=True)
    seen = wrong.cumsum(1)
    places = torch.arange(1, errors.shape[1] + 1, device=errors.device)
    union = (total + places - seen).to(errors.dtype)
    rest = (total - seen).to(errors.dtype)
    # A class without pixels has no union at first; its slopes are not used.
    smaller = (union - 1).clamp(min=1)
    growth = torch.where(wrong, 1, rest / smaller) / union.clamp(min=1)
    return torch.zeros_like(errors).scatter_(1, order, growth) * valid

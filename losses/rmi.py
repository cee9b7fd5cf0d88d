"""Region mutual information: S. Zhao, Y. Wang, Z. Yang, D. Cai, NeurIPS 2019 ("the paper")."""

import warnings
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from losses.base import SegmentationLoss, normalised_sigmoid, one_hot
from losses.cross_entropy import binary_cross_entropy, cross_entropy

Pooling = Literal["avg", "max", "interp"]
FormulationName = Literal["authors", "paper"]
PixelTerm = Literal["bce", "ce"]
Ignored = Literal["zero", "drop"]


@dataclass(frozen=True)
class Formulation:
    """Where the paper's text and its published code differ."""

    padded: bool
    """Pooling pads the map by half a window with zeros (average) or -inf (max)."""
    normalised: bool
    """Covariances are means over the regions; else sums."""
    ridge: float
    """Added to the diagonals of Σ_P and of M; paper: ξ."""
    probability_offset: float
    """Added to every probability before pooling."""
    log_offset: float
    """Added to each diagonal entry of M's Cholesky factor before its logarithm."""


FORMULATIONS: dict[FormulationName, Formulation] = {
    # A ridge of 5e-4 on sums over N regions is one of 5e-4/N on means: 3e-8 at a 513² crop.
    "authors": Formulation(True, False, 5e-4, probability_offset=1e-6, log_offset=1e-8),
    # The text adds ξ to M only, but Σ_P is singular for a constant prediction.
    "paper": Formulation(False, True, 1e-6, probability_offset=0.0, log_offset=0.0),
}


class RMILoss(SegmentationLoss):
    """λ · pixel term + (1 - λ) · region term, where the region term is -I_l of eq. 14 to 16.

    Each pixel of the downsampled map stands for its region_size² region, so that a class channel
    becomes a cloud of points; I_l is a lower bound of the mutual information between the clouds
    of prediction and truth. It is bounded by 0.5·log(ridge) per class: negative values are normal.

    Args:
        region_size: side R of the square region, 1 to 10; points have d = R² dimensions.
        downsample_factor: truth and probabilities shrink by it before regions are taken; 1 does
            not shrink.
        pooling: how they shrink. "interp" takes nearest labels and bilinear probabilities with
            aligned corners, as the published code does.
        lambda_: weight λ of the pixel term, in [0, 1]; a term of weight 0 is not evaluated.
        formulation: "authors" computes what the published code does, "paper" what its text says;
            see ``Formulation``.
        pixel_term: "bce" or "ce", as in ``BinaryCrossEntropyLoss`` and ``CrossEntropyLoss``.
        ignored: "zero" sets truth and probability of ignored pixels to 0 (published code); "drop"
            leaves out regions that touch one.
        ignore_index: label of pixels that do not count.

    Raises:
        ValueError: an option is out of range.
    """

    def __init__(
        self,
        *,
        region_size: int = 3,
        downsample_factor: int = 4,
        pooling: Pooling = "avg",
        lambda_: float = 0.5,
        formulation: FormulationName = "authors",
        pixel_term: PixelTerm = "bce",
        ignored: Ignored = "zero",
        ignore_index: int = 255,
    ) -> None:
        super().__init__(ignore_index=ignore_index)
        if not 1 <= region_size <= 10:
            raise ValueError(f"region_size must be in [1, 10], got {region_size}")
        if downsample_factor < 1:
            raise ValueError(f"downsample_factor must be at least 1, got {downsample_factor}")
        if not 0 <= lambda_ <= 1:
            raise ValueError(f"lambda_ must be in [0, 1], got {lambda_}")
        if lambda_ == 0:
            warnings.warn(
                "lambda_ = 0 trains on the region term alone, which cannot tell a prediction from "
                "its inverse; use lambda_ > 0",
                stacklevel=2,
            )
        for option, value, kind in (
            ("pooling", pooling, Pooling),
            ("formulation", formulation, FormulationName),
            ("pixel_term", pixel_term, PixelTerm),
            ("ignored", ignored, Ignored),
        ):
            if value not in get_args(kind):
                choices = ", ".join(get_args(kind))
                raise ValueError(f"{option} must be one of {choices}, got {value!r}")
        self.region_size = region_size
        self.downsample_factor = downsample_factor
        self.pooling = pooling
        self.lambda_ = lambda_
        self.formulation = FORMULATIONS[formulation]
        self.pixel_term = pixel_term
        self.ignored = ignored

    def terms(
        self,
        logits: Float[Tensor, "b c h w"],
        target: Int64[Tensor, "b h w"],
        *,
        progress: float = 0.0,
    ) -> dict[str, Float[Tensor, ""]]:
        """Return {"bce" or "ce": λ · pixel term, "rmi": (1 - λ) · region term}.

        A term of weight 0 is absent. See ``SegmentationLoss.terms``.
        """
        logits, valid = self.prepare(logits, target)
        truth = one_hot(target, valid, logits)
        terms = {}
        if self.lambda_ > 0:
            if self.pixel_term == "bce":
                pixel = binary_cross_entropy(logits, truth, valid)
            else:
                pixel = cross_entropy(logits, target, valid, self.ignore_index)
            terms[self.pixel_term] = self.lambda_ * pixel
        if self.lambda_ < 1:
            terms["rmi"] = (1 - self.lambda_) * self._region_term(logits, truth, valid)
        return terms

    def probabilities(self, logits: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return a softmax where the pixel term is one, else sigmoids, normalised over classes."""
        return logits.softmax(1) if self.pixel_term == "ce" else normalised_sigmoid(logits)

    def check_input_size(self, height: int, width: int) -> None:
        """Raise ValueError unless at least two regions fit into the downsampled map."""
        if self.lambda_ == 1:
            return
        size, factor = self.region_size, self.downsample_factor
        rows, columns = (self._pooled(length) for length in (height, width))
        # Fewer than two points have no covariance: the term would be a constant.
        if min(rows, columns) < size or rows == columns == size:
            raise ValueError(
                f"a crop of {height} x {width} is {rows} x {columns} after downsampling by "
                f"{factor}: too small for two regions of {size} x {size}; use a larger crop, or "
                f"a smaller region_size ({size}) or downsample_factor ({factor})"
            )

    def _pooled(self, length: int) -> int:
        """Rows or columns that are left of ``length``."""
        factor = self.downsample_factor
        padding = 2 * self._padding if self.pooling != "interp" else 0
        return (length + padding) // factor

    @property
    def _padding(self) -> int:
        factor = self.downsample_factor
        return factor // 2 if self.formulation.padded and factor > 1 else 0

    def _region_term(
        self,
        logits: Float[Tensor, "b c h w"],
        truth: Float[Tensor, "b c h w"],
        valid: Bool[Tensor, "b h w"],
    ) -> Float[Tensor, ""]:
        """Return -I_l, summed over classes, mean over images (eq. 16); 0 if nothing is labelled."""
        self.check_input_size(*logits.shape[-2:])
        labelled = valid.unsqueeze(1).to(logits.dtype)
        offset = logits.new_tensor(self.formulation.probability_offset)
        probs = torch.addcmul(offset, logits.sigmoid(), labelled)
        kept = self._kept(labelled) if self.ignored == "drop" else None
        values = rmi_lower_bound(
            self._downsample(probs, "bilinear").double(),
            self._downsample(truth, "nearest").double(),
            kept,
            region_size=self.region_size,
            formulation=self.formulation,
        )
        return (-values.sum(1).mean() * valid.any()).to(logits.dtype)

    def _downsample(
        self, maps: Float[Tensor, "b c h w"], interpolation: Literal["bilinear", "nearest"]
    ) -> Float[Tensor, "b c hd wd"]:
        factor = self.downsample_factor
        if factor == 1:
            return maps
        if self.pooling == "avg":
            return F.avg_pool2d(maps, factor, padding=self._padding)
        if self.pooling == "max":
            return F.max_pool2d(maps, factor, padding=self._padding)
        size = [self._pooled(length) for length in maps.shape[-2:]]
        # Only bilinear knows corners.
        corners = True if interpolation == "bilinear" else None
        return F.interpolate(maps, size, mode=interpolation, align_corners=corners)

    def _kept(self, labelled: Float[Tensor, "b 1 h w"]) -> Float64[Tensor, "b 1 n"]:
        """Return 1 for each region that no ignored pixel went into, else 0."""
        ignored = 1 - labelled
        cells = self._downsample(ignored, "bilinear") + self._downsample(ignored, "nearest")
        touched = F.max_pool2d((cells > 0).double(), self.region_size, stride=1)
        return 1 - touched.flatten(2)


def rmi_lower_bound(
    probs: Float64[Tensor, "b c h w"],
    truth: Float64[Tensor, "b c h w"],
    kept: Float64[Tensor, "b 1 n"] | None = None,
    *,
    region_size: int,
    formulation: Formulation,
) -> Float64[Tensor, "b c"]:
    """Return I_l of eq. 14 for each image and class, in nats per dimension; at most -log(ridge)/2.

    With Z the 2d x N matrix of centred points, probabilities above truth, the Gram matrix ZZᵀ
    plus the ridge is [[Σ_P, Σ_PY], [Σ_YP, Σ_Y]]. The lower right block of its Cholesky factor is
    the Cholesky factor of the Schur complement Σ_Y - Σ_YP Σ_P⁻¹ Σ_PY, which is M of eq. 13. So one
    factorisation gives M's without an inverse and without the subtraction, which cancels all
    digits where a prediction is good.

    Args:
        probs: downsampled probabilities.
        truth: downsampled one-hot labels.
        kept: weight 0 or 1 of each of the n = (h-R+1)(w-R+1) regions, row by row; None keeps all.
        region_size: side R of a region.
        formulation: constants and scale of the covariances.
    """
    d = region_size * region_size
    weight = None if kept is None else kept.repeat_interleave(probs.shape[1], dim=0)
    # float64 throughout: Σ_P has condition numbers up to 1e6, and float32 sums are off by more
    # than the ridge.
    p, y = (_centred_points(maps.flatten(0, 1), region_size, weight) for maps in (probs, truth))
    yp = y @ p.mT
    top = torch.cat([p @ p.mT, yp.mT], dim=-1)
    bottom = torch.cat([yp, y @ y.mT], dim=-1)
    gram = torch.cat([top, bottom], dim=-2)
    if formulation.normalised:
        count = p.shape[-1] if weight is None else weight.sum(-1, keepdim=True).clamp(min=1)
        gram = gram / count
    ridge = formulation.ridge * torch.eye(2 * d, dtype=gram.dtype, device=gram.device)
    factor = torch.linalg.cholesky(gram + ridge)
    diagonal = factor.diagonal(dim1=-2, dim2=-1)[:, d:]
    # log det M = 2 Σ log diag, and eq. 14 divides by 2d.
    values = -(diagonal + formulation.log_offset).log().sum(-1) / d
    return values.unflatten(0, probs.shape[:2])


def _centred_points(
    maps: Float64[Tensor, "m h w"], region_size: int, weight: Float64[Tensor, "m 1 n"] | None
) -> Float64[Tensor, "m d n"]:
    """Return each map's regions, row by row, minus their mean; regions of weight 0 become 0."""
    points = F.unfold(maps.unsqueeze(1), region_size)
    # The mean may be a constant: the gradient of a centred Gram matrix sums to 0 over the points,
    # so nothing would flow through it (first derivatives only).
    if weight is None:
        return points - points.detach().mean(-1, keepdim=True)
    total = (points.detach() * weight).sum(-1, keepdim=True)
    return (points - total / weight.sum(-1, keepdim=True).clamp(min=1)) * weight

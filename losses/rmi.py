"""Region mutual information: S. Zhao, Y. Wang, Z. Yang, D. Cai, NeurIPS 2019 ("the paper").

From logits to the loss in four steps, and the files that take them:

1. probabilities, their pixel term, and their means over cells (region/sigmoid.py);
2. the truth's means over the same cells, counted from the labels (region/windows.py);
3. both maps' regions as points, and the points' covariances (region/term.py,
   region/windows.py);
4. the entropy of the truth's points given the prediction's, eq. 9 to 14 (region/term.py).
"""

import warnings
from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from losses.base import (
    SegmentationLoss,
    check_finite,
    constants,
    full_precision,
    normalised_sigmoid,
    on_host,
)
from losses.cross_entropy import binary_cross_entropy, cross_entropy
from losses.region.sigmoid import SigmoidTerms
from losses.region.term import Formulation, RegionTerm, absent_value, build_region
from losses.region.windows import Grid, cell_counts, cell_coverage, nearest

Pooling = Literal["avg", "max", "interp"]
FormulationName = Literal["authors", "paper"]
PixelTerm = Literal["bce", "ce"]
Ignored = Literal["zero", "drop"]

FORMULATIONS: dict[FormulationName, Formulation] = {
    # A ridge of 5e-4 on sums over N regions is one of 5e-4/N on means: 3e-8 at a 513² crop.
    "authors": Formulation(True, False, 5e-4, probability_offset=1e-6, log_offset=1e-8),
    # The text adds ξ to M only, but Σ_P is singular for a constant prediction.
    "paper": Formulation(False, True, 1e-6, probability_offset=0.0, log_offset=0.0),
}


class RMILoss(SegmentationLoss):
    """λ · pixel term + (1 - λ) · region term, where the region term is -I_l of eq. 14 to 16.

    Each pixel of the downsampled map stands for a region of d pixels, so that a class channel
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
        region: "square", or a shape of its own: a height and a width such as "1x5", or the offsets
            of its pixels as rows and columns such as "0,0 0,1 1,0".
        radial_decay: weight exp(-radial_decay · r) of a region's pixel at distance r from the
            centre; 0 weighs all the same, as the paper does.
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
        region: str = "square",
        radial_decay: float = 0.0,
        ignore_index: int = 255,
    ) -> None:
        super().__init__(ignore_index=ignore_index)
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
        self.region = build_region(region, region_size, radial_decay)
        self.region_option = (
            f"region_size ({region_size})" if region == "square" else f"region ({region})"
        )
        self.pooling = pooling
        self.lambda_ = lambda_
        self.formulation = FORMULATIONS[formulation]
        self.pixel_term = pixel_term
        self.ignored = ignored
        padded = self.formulation.padded and downsample_factor > 1 and pooling != "interp"
        self.grid = Grid(downsample_factor, downsample_factor // 2 if padded else 0)
        self.skip_absent = True

    @classmethod
    def simpler(cls, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
        """Return the binary cross entropy, which is all that is left at λ = 1."""
        only_bce = options["lambda_"] == 1 and options["pixel_term"] == "bce"
        return ("bce", {}) if only_bce else None

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
        labels, valid = self.labelled(logits, target)
        logits = full_precision(logits)
        # Half precision would round the covariances' products.
        with torch.autocast(logits.device.type, enabled=False):
            if self.lambda_ == 1:
                return {self.pixel_term: self._pixel_term(logits, target, labels, valid)}
            self.check_input_size(*logits.shape[-2:])
            bce_sum, region = self._bce_sum_and_region_term(logits.contiguous(), labels, valid)
            terms = {"rmi": (1 - self.lambda_) * region}
            if self.lambda_ == 0:
                return terms
            if self.pixel_term == "bce":
                pixel = bce_sum / (valid.sum() + 1)
            else:
                pixel = cross_entropy(logits, target, valid, self.ignore_index)
            return {self.pixel_term: self.lambda_ * pixel, **terms}

    def probabilities(self, logits: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return a softmax where the pixel term is one, else sigmoids, normalised over classes."""
        return logits.softmax(1) if self.pixel_term == "ce" else normalised_sigmoid(logits)

    def check_input_size(self, height: int, width: int) -> None:
        """Raise ValueError unless at least two regions fit into the downsampled map."""
        if self.lambda_ == 1:
            return
        region, factor = self.region, self.grid.factor
        rows, columns = (self.grid.cells(length) for length in (height, width))
        places = (rows - region.height + 1) * (columns - region.width + 1)
        # Fewer than two points have no covariance: the term would be a constant.
        if rows < region.height or columns < region.width or places < 2:
            raise ValueError(
                f"a crop of {height} x {width} is {rows} x {columns} after downsampling by "
                f"{factor}: too small for two regions of {region.height} x {region.width}; use a "
                f"larger crop, or a smaller {self.region_option} or downsample_factor ({factor})"
            )

    def _pixel_term(
        self,
        logits: Float[Tensor, "b c h w"],
        target: Int64[Tensor, "b h w"],
        labels: Int64[Tensor, "b h w"],
        valid: Bool[Tensor, "b h w"],
    ) -> Float[Tensor, ""]:
        if self.pixel_term == "bce":
            return binary_cross_entropy(logits, labels, valid)
        check_finite(logits, logits.detach().sum())
        return cross_entropy(logits, target, valid, self.ignore_index)

    def _bce_sum_and_region_term(
        self,
        logits: Float[Tensor, "b c h w"],
        labels: Int64[Tensor, "b h w"],
        valid: Bool[Tensor, "b h w"],
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Return the sum of sigmoid cross entropies, and -I_l: mean over images, sum over classes.

        -I_l is 0 if nothing is labelled (eq. 16).
        """
        counts, cells = self._label_counts(labels, valid, logits)
        pairs = torch.arange(len(counts), device=counts.device)
        # A map without truth has a constant value and no gradient: it need not be computed.
        if self.skip_absent and on_host(counts):
            pairs = counts.flatten(1).amax(1).nonzero().squeeze(1)
        bce_sum, probs = self._probabilities(logits, labels, valid, pairs)
        truth = counts[pairs]
        truth = (truth > 0).to(truth.dtype) if self.pooling == "max" else truth / cells.factor**2
        values = RegionTerm.apply(
            probs,
            truth,
            self._kept(valid, pairs // logits.shape[1]),
            self.region,
            self.formulation,
        )
        absent = absent_value(self.region, self.formulation, logits)
        values = absent.expand(len(counts)).index_put((pairs,), values)
        region = values.view(logits.shape[:2]).sum(1).mean() * valid.any()
        return bce_sum, region.to(logits.dtype)

    def _label_counts(
        self, labels: Int64[Tensor, "b h w"], valid: Bool[Tensor, "b h w"], like: Tensor
    ) -> tuple[Float[Tensor, "m hc wc"], Grid]:
        """Return how often each class of each image occurs in each cell, and the cells."""
        grid = self.grid
        if self.pooling == "interp":
            size = [grid.cells(length) for length in labels.shape[-2:]]
            labels, valid, grid = nearest(labels, *size), nearest(valid, *size), Grid()
        counts = cell_counts(labels, valid, like.shape[1], grid, like.dtype)
        return counts.flatten(0, 1), grid

    def _probabilities(
        self,
        logits: Float[Tensor, "b c h w"],
        labels: Int64[Tensor, "b h w"],
        valid: Bool[Tensor, "b h w"],
        pairs: Int64[Tensor, " m"],
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "m hc wc"]]:
        """Return the sum of sigmoid cross entropies, and some planes' downsampled probabilities."""
        grid, height, width = self.grid, *logits.shape[-2:]
        cells = grid if self.pooling == "avg" else Grid()
        pooled = pairs.tolist() if on_host(pairs) else list(range(len(pairs)))
        share = self.lambda_ / (valid.sum() + 1).to(logits.dtype)
        bce_sum, probs, logit_sum = SigmoidTerms.apply(logits, labels, valid, cells, pooled, share)
        check_finite(logits, logit_sum)
        if self.pooling == "avg":
            # A constant moves no covariance; what the padding takes of it does, at the border.
            offset = cell_coverage(height, width, grid, probs) * self.formulation.probability_offset
            return bce_sum, probs + offset
        maps = probs.unsqueeze(1)  # there may be none, which pooling takes for a batch
        if self.pooling == "max":
            maps = F.max_pool2d(maps, grid.factor, padding=grid.padding)
        else:
            size = [grid.cells(length) for length in (height, width)]
            maps = F.interpolate(maps, size, mode="bilinear", align_corners=True)
        return bce_sum, maps.squeeze(1)

    def _kept(
        self, valid: Bool[Tensor, "b h w"], images: Int64[Tensor, " m"]
    ) -> Float[Tensor, "m n"] | None:
        """Return 1 for each region of an image that no ignored pixel went into, else 0."""
        if self.ignored == "zero":
            return None
        if self.pooling == "interp":
            size = [self.grid.cells(length) for length in valid.shape[-2:]]
            holes = (~valid).unsqueeze(1).float()
            mixed = F.interpolate(holes, size, mode="bilinear", align_corners=True)
            touched = (mixed > 0) | ~nearest(valid, *size).unsqueeze(1)
        else:
            zeros = torch.zeros_like(valid, dtype=torch.int64)
            touched = cell_counts(zeros, ~valid, 1, self.grid, torch.float32) > 0
        windows = F.unfold(touched.float(), (self.region.height, self.region.width))
        pixels = constants(self.region.pixels, torch.int64, windows.device)
        return (1 - windows[:, pixels].amax(1))[images]

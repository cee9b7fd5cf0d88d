"""Complex wavelet mutual information: R. Lu, "Complex Wavelet Mutual Information Loss", ICML 2025.

A complex steerable pyramid splits prediction and label map of each class into bands of one octave
and one direction. The values of a level's K directions at a place make one complex vector, and I is
the mutual information of the label's and the prediction's vectors, both taken for Gaussian:

    I = log det (Σ_Y + ridge) - log det (Σ_Y - Σ_YP (Σ_P + ridge)^-1 Σ_YP^H + ridge).

The paper's abstract and figures fix this much: the pyramid, mutual information for each level, its
sum over levels, a cross entropy beside it. The rest is our choice, as the text was not at hand:

- Filters are those of Portilla and Simoncelli (IJCV 2000). At frequency (r, θ) a band's is
  cos(π/2 · log2(r / r_n)) · cos(θ - π k / K)^(K-1), within an octave of r_n = π / 2^(n+1) and
  within 90° of the direction. What lies above or below all octaves is left out.
- Covariances are sums over places, with RMI's ridge. The term log det Σ_Y, a constant that RMI
  leaves out, makes I = 0 for a class that is absent.
- I is divided by K, summed over classes and averaged over images, as RMI is.

No band is built. By Parseval's theorem the covariance of two of them is a sum over frequencies of
the product of their filters, which are real, times the product of the maps' spectra. A real map has
conjugate values at opposite frequencies, so half of these suffice.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Complex, Complex128, Float, Float64, Int64
from torch import Tensor

from losses.base import SegmentationLoss, constants, first_order, on_host, one_hot
from losses.cross_entropy import cross_entropy

RIDGE = 5e-4
"""RMI's, on sums over places: far below the energy of one pixel."""
CPU_PLANES = 2
"""Maps that a CPU works on at a time, so that their frequencies stay in its cache."""


class CWMILoss(SegmentationLoss):
    """lambda_ · softmax cross entropy - (1 - lambda_) · I.

    Args:
        levels: octaves of the pyramid, 1 to 8; a crop must have 2^(levels + 1) pixels each way.
        orientations: number K of directions, 2 to 8.
        lambda_: weight of the cross entropy, in (0, 1). I alone would not tell a prediction from
            its negative.
        ignore_index: label of pixels that do not count; both maps are 0 there.

    Raises:
        ValueError: an option is out of range.
    """

    def __init__(
        self,
        *,
        levels: int = 4,
        orientations: int = 4,
        lambda_: float = 0.5,
        ignore_index: int = 255,
    ) -> None:
        super().__init__(ignore_index=ignore_index)
        for option, value, least in (("levels", levels, 1), ("orientations", orientations, 2)):
            if not least <= value <= 8:
                raise ValueError(f"{option} must be in [{least}, 8], got {value}")
        if not 0 < lambda_ < 1:
            raise ValueError(f"lambda_ must be in (0, 1), got {lambda_}")
        self.levels = levels
        self.orientations = orientations
        self.lambda_ = lambda_

    def terms(
        self,
        logits: Float[Tensor, "b c h w"],
        target: Int64[Tensor, "b h w"],
        *,
        progress: float = 0.0,
    ) -> dict[str, Float[Tensor, ""]]:
        """Return {"ce": cross entropy, "cwmi": -I}, weighted; see ``SegmentationLoss.terms``."""
        logits, valid = self.prepare(logits, target)
        self.check_input_size(*logits.shape[-2:])
        entropy = cross_entropy(logits, target, valid, self.ignore_index)
        # Half precision would round the covariances' products.
        with torch.autocast(logits.device.type, enabled=False):
            information = self._information(logits, target, valid).to(logits.dtype)
        return {"ce": self.lambda_ * entropy, "cwmi": (self.lambda_ - 1) * information}

    def check_input_size(self, height: int, width: int) -> None:
        """Raise ValueError if the lowest octave has no frequency on a crop of this size."""
        least = 2 ** (self.levels + 1)
        if min(height, width) < least:
            raise ValueError(
                f"a crop of {height} x {width} is too small for levels ({self.levels}), which need "
                f"{least} pixels each way; use a larger crop or fewer levels"
            )

    def _information(
        self,
        logits: Float[Tensor, "b c h w"],
        target: Int64[Tensor, "b h w"],
        valid: Bool[Tensor, "b h w"],
    ) -> Float64[Tensor, ""]:
        """Return I / K, summed over levels and classes, mean over images."""
        truth = one_hot(target, valid, logits).flatten(0, 1)
        probs = (logits.softmax(1) * valid.unsqueeze(1)).flatten(0, 1)
        # A class that an image lacks has I = 0 and no gradient: it need not be computed.
        if on_host(truth):
            kept = truth.flatten(1).amax(1).nonzero().squeeze(1)
            truth, probs = truth[kept], probs[kept]
        covariances = Covariances.apply(probs, truth, self.levels, self.orientations)
        total = gaussian_information(*(as_matrices(c, self.orientations) for c in covariances))
        return total.sum() / (self.orientations * len(logits))


class Covariances(torch.autograd.Function):
    """Covariances of the bands of each level and map, for every pair of directions.

    With E and O of ``Octave.products``, and Y and P the spectra of a label map and of its
    prediction, they are Σ E·|Y|², Σ E·|P|², Σ E·Re(Y·P*) and Σ O·Im(Y·P*) over frequencies. If A, R
    and M arrive at the last three, the gradient's spectrum is Σ 2·A·E·P + (R·E - i·M·O)·Y over
    pairs.
    """

    @staticmethod
    def forward(
        ctx: Any,
        probs: Float[Tensor, "m h w"],
        truth: Float[Tensor, "m h w"],
        levels: int,
        orientations: int,
    ) -> tuple[Float64[Tensor, "l m d"], ...]:
        """Return the covariances of truth, of probs, and of both: real and imaginary parts."""
        y, p = (torch.fft.rfft2(maps, norm="ortho") for maps in (truth, probs))
        ctx.save_for_backward(y, p)
        ctx.size, ctx.levels, ctx.orientations = probs.shape[1:], levels, orientations
        count = orientations * (orientations + 1) // 2
        found = y.real.new_zeros(4, levels, len(y), count, dtype=torch.float64)
        for level in range(levels):
            octave = Octave(level, *ctx.size)
            even, odd = octave.products(orientations, y.device)
            for part in parts(y):
                of_y, of_p = octave.of(y[part]), octave.of(p[part])
                both = of_y * of_p.conj()
                energies = [(s * s.conj()).real for s in (of_y, of_p)]
                found[:3, level, part] = torch.stack([*energies, both.real]) @ even
                found[3, level, part] = both.imag @ odd
        return tuple(found.unbind())

    @staticmethod
    @first_order
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of probs."""
        y, p = ctx.saved_tensors
        _, of_probs, real, imaginary = gradients
        spectrum = torch.zeros_like(p)
        for level in range(ctx.levels):
            octave = Octave(level, *ctx.size)
            even, odd = (products.T for products in octave.products(ctx.orientations, y.device))
            for part in parts(y):
                own = 2 * of_probs[level, part] @ even
                other = torch.complex(real[level, part] @ even, -imaginary[level, part] @ odd)
                octave.add(spectrum[part], own * octave.of(p[part]) + other * octave.of(y[part]))
        # The inverse transform adds the mirror image of every column but the first.
        spectrum[..., 1:] /= 2
        return torch.fft.irfft2(spectrum, ctx.size, norm="ortho"), None, None, None


@dataclass(frozen=True)
class Octave:
    """The frequencies around π / 2^(level + 1) in half of the spectrum of a map of this size."""

    level: int
    height: int
    width: int

    @property
    def rows(self) -> int:
        """Number of frequencies of at least 0 and below π / 2^level, downwards."""
        return -(-self.height // 2 ** (self.level + 1))

    @property
    def columns(self) -> int:
        """The same along a row."""
        return -(-self.width // 2 ** (self.level + 1))

    def of(self, spectrum: Complex[Tensor, "m h half"]) -> Complex128[Tensor, "m f"]:
        """Return the octave's frequencies."""
        low = spectrum[:, :, : self.columns]
        low = torch.cat((low[:, : self.rows], low[:, self.height - self.rows + 1 :]), 1)
        return low.flatten(1).to(torch.complex128)

    def add(self, spectrum: Complex[Tensor, "m h half"], values: Complex128[Tensor, "m f"]) -> None:
        """Add values to the octave's frequencies of a spectrum."""
        low = values.unflatten(1, (-1, self.columns))
        spectrum[:, : self.rows, : self.columns] += low[:, : self.rows]
        spectrum[:, self.height - self.rows + 1 :, : self.columns] += low[:, self.rows :]

    def products(
        self, orientations: int, device: torch.device
    ) -> tuple[Float64[Tensor, "f d"], Float64[Tensor, "f d"]]:
        """Return E and O: F_j·F_k at a frequency plus, and minus, F_j·F_k at its opposite.

        F_k is the filter of direction k, scaled so that over all directions and both frequencies
        its squares add up to the octave's. A column is a pair j <= k.
        """
        places = {"dtype": torch.float64, "device": device}
        y = torch.cat((torch.arange(self.rows, **places), torch.arange(1 - self.rows, 0, **places)))
        y = 2 * math.pi / self.height * y.unsqueeze(1)
        x = 2 * math.pi / self.width * torch.arange(self.columns, **places)
        radius = (x.square() + y.square()).sqrt().clamp(min=1e-9)
        octaves = (radius / math.pi * 2 ** (self.level + 1)).log2().clamp(-1, 1)
        scale = torch.cos(math.pi / 2 * octaves).square()
        # A frequency of the first column has its opposite in it.
        scale[:, 0] /= 2
        order = orientations - 1
        scale *= 4**order / (orientations * math.comb(2 * order, order))
        filters = []
        for k in range(orientations):
            angle = math.pi * k / orientations
            cosine = (x * math.cos(angle) + y * math.sin(angle)) / radius
            filters.append((cosine.clamp(min=0) ** order, (-cosine).clamp(min=0) ** order))
        here, there = (
            torch.stack([scale * filters[j][i] * filters[k][i] for j, k in pairs(orientations)])
            for i in range(2)
        )
        return (here + there).flatten(1).T, (here - there).flatten(1).T


def pairs(orientations: int) -> list[tuple[int, int]]:
    """Return every pair of directions j <= k."""
    return [(j, k) for j in range(orientations) for k in range(j, orientations)]


def parts(maps: Complex[Tensor, "m h half"]) -> list[slice]:
    """Return the maps to work on at a time: few on a CPU, all on a GPU."""
    step = CPU_PLANES if on_host(maps) else max(1, len(maps))
    return [slice(first, first + step) for first in range(0, len(maps), step)]


def as_matrices(
    covariances: Float64[Tensor, "l m d"], orientations: int
) -> Float64[Tensor, "l m k k"]:
    """Return the symmetric matrices of which every pair of directions is given once."""
    place = {pair: i for i, pair in enumerate(pairs(orientations))}
    index = [
        [place[min(j, k), max(j, k)] for k in range(orientations)] for j in range(orientations)
    ]
    chosen = constants(index, torch.int64, covariances.device).flatten()
    return covariances.index_select(-1, chosen).unflatten(-1, (orientations, orientations))


def gaussian_information(
    truth: Float64[Tensor, "l m k k"],
    probs: Float64[Tensor, "l m k k"],
    real: Float64[Tensor, "l m k k"],
    imaginary: Float64[Tensor, "l m k k"],
) -> Float64[Tensor, "l m"]:
    """Return I, given Σ_Y, Σ_P, and the parts of Σ_YP."""
    ridge = RIDGE * torch.eye(truth.shape[-1], dtype=truth.dtype, device=truth.device)
    both, of_truth = torch.complex(real, imaginary), (truth + ridge).to(torch.complex128)
    factor = torch.linalg.cholesky_ex((probs + ridge).to(torch.complex128)).L
    explained = torch.linalg.solve_triangular(factor, both.mH, upper=False)
    return log_det(of_truth) - log_det(of_truth - explained.mH @ explained)


def log_det(matrices: Complex128[Tensor, "l m k k"]) -> Float64[Tensor, "l m"]:
    """Return the logarithm of the determinant of positive definite matrices."""
    # cholesky() would wait for a GPU, to see whether they are.
    factor = torch.linalg.cholesky_ex(matrices).L
    return 2 * factor.diagonal(dim1=-2, dim2=-1).real.log().sum(-1)

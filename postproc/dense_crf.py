"""Dense CRF: Krähenbühl & Koltun, NeurIPS 2011, through pydensecrf (the extra "crf")."""

import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

# Least probability: an energy of at most 11.5. Without it a class of probability 0 could never
# come back; it is pydensecrf's own default.
FLOOR = 1e-5
HOW_TO_INSTALL = (
    "install it (it needs a C++ compiler, e.g. apt install g++): pip install 'cython>=3.1' "
    "setuptools && pip install --no-build-isolation pydensecrf2"
)


def available() -> bool:
    """Return whether pydensecrf is installed."""
    return importlib.util.find_spec("pydensecrf") is not None


class DenseCRF:
    """Mean field inference in a fully connected CRF over pixels.

    Two pixels with different labels pay gaussian_weight · k_γ(distance) + bilateral_weight ·
    k_αβ(distance, colour difference), with Gaussian kernels k of standard deviations θ. Kernels
    are diagonal and normalised symmetrically. The defaults are those of Zhao et al. 2019.

    Args:
        steps: numbers of mean field steps to report; 0 is the prediction as it came.
        theta_alpha: bilateral kernel, standard deviation in pixels.
        theta_beta: bilateral kernel, standard deviation in intensities (0 to 255).
        theta_gamma: Gaussian kernel, standard deviation in pixels.
        bilateral_weight: cost of the bilateral kernel.
        gaussian_weight: cost of the Gaussian kernel.

    Raises:
        ValueError: an option is out of range.
    """

    def __init__(
        self,
        *,
        steps: tuple[int, ...] = (1, 5, 10),
        theta_alpha: float = 30.0,
        theta_beta: float = 13.0,
        theta_gamma: float = 3.0,
        bilateral_weight: float = 10.0,
        gaussian_weight: float = 3.0,
    ) -> None:
        if not steps or min(steps) < 0:
            raise ValueError(f"steps must hold numbers of at least 0, got {steps}")
        for option, value in (
            ("theta_alpha", theta_alpha),
            ("theta_beta", theta_beta),
            ("theta_gamma", theta_gamma),
        ):
            if not 0 < value < float("inf"):
                raise ValueError(f"{option} must be a number above 0, got {value}")
        for option, value in (
            ("bilateral_weight", bilateral_weight),
            ("gaussian_weight", gaussian_weight),
        ):
            if not 0 <= value < float("inf"):
                raise ValueError(f"{option} must be a number of at least 0, got {value}")
        self.steps = steps
        self.theta_alpha = theta_alpha
        self.theta_beta = theta_beta
        self.theta_gamma = theta_gamma
        self.bilateral_weight = bilateral_weight
        self.gaussian_weight = gaussian_weight

    def __call__(
        self, image: UInt8[np.ndarray, "h w 3"], probabilities: Float32[np.ndarray, "c h w"]
    ) -> dict[int, UInt8[np.ndarray, "h w"]]:
        """Return the labels after each number of steps, all out of one pass.

        Args:
            image: RGB, not normalised.
            probabilities: of each class, such as a softmax.

        Raises:
            ValueError: shapes, types or values are not those.
            ImportError: pydensecrf is not installed.
        """
        labels = dict(self.snapshots(image, probabilities))
        return {step: labels[step] for step in self.steps}

    def snapshots(
        self, image: UInt8[np.ndarray, "h w 3"], probabilities: Float32[np.ndarray, "c h w"]
    ) -> Iterator[tuple[int, UInt8[np.ndarray, "h w"]]]:
        """Yield (steps, labels) as soon as each number of steps is reached; else as a call does."""
        _check(image, probabilities)
        if 0 in self.steps:
            yield 0, probabilities.argmax(0).astype(np.uint8)
        last = max(self.steps)
        if last == 0:
            return
        crf = self._model(image, probabilities)
        belief, *scratch = crf.startInference()
        for step in range(1, last + 1):
            crf.stepInference(belief, *scratch)
            if step in self.steps:
                best = np.asarray(belief).argmax(0)
                yield step, best.reshape(image.shape[:2]).astype(np.uint8)

    def _model(
        self, image: UInt8[np.ndarray, "h w 3"], probabilities: Float32[np.ndarray, "c h w"]
    ) -> Any:
        """Return pydensecrf's model of one image, ready for inference."""
        try:
            from pydensecrf import densecrf  # pyright: ignore (compiled, without stubs)
        except ImportError as error:
            raise ImportError(f"the dense CRF needs pydensecrf; {HOW_TO_INSTALL}") from error
        classes, height, width = probabilities.shape
        crf = densecrf.DenseCRF2D(width, height, classes)
        # pydensecrf takes float32, C-contiguous, writable arrays only: softmax outputs are often
        # transposed views, and images often read-only ones.
        energy = -np.log(np.clip(probabilities, FLOOR, 1.0))
        crf.setUnaryEnergy(np.array(energy.reshape(classes, -1), dtype=np.float32, order="C"))
        crf.addPairwiseGaussian(sxy=self.theta_gamma, compat=self.gaussian_weight)
        crf.addPairwiseBilateral(
            sxy=self.theta_alpha,
            srgb=self.theta_beta,
            rgbim=np.array(image, order="C"),
            compat=self.bilateral_weight,
        )
        return crf


def _check(image: np.ndarray, probabilities: np.ndarray) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(
            f"image must be uint8 [height, width, 3], got {image.dtype} {list(image.shape)}"
        )
    if probabilities.ndim != 3 or probabilities.shape[1:] != image.shape[:2]:
        raise ValueError(
            f"probabilities must be [classes, {image.shape[0]}, {image.shape[1]}] like the image, "
            f"got {list(probabilities.shape)}"
        )
    # Rounding takes a softmax a little above 1. NaN fails this comparison too: one would spread
    # to every pixel in silence.
    low, high = probabilities.min(), probabilities.max()
    if not (low >= 0 and high <= 1 + 1e-3):
        raise ValueError(
            f"probabilities must lie in [0, 1], got {low} to {high}; pass a softmax, not logits"
        )

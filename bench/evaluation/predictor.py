"""Predict images with a trained network: its logits, or the mean over several views."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from bench.data.augmentation import normalise
from bench.data.dataset import SegmentationDataset, Split
from bench.spec import EvaluationSpec, Size
from losses.base import SegmentationLoss


@dataclass(frozen=True)
class Prediction:
    """The prediction of one image of a split, at the label's size."""

    index: int
    scores: Float[Tensor, "k h w"]
    """Logits, or probabilities if views were averaged; the class is the highest one."""
    seconds: float
    """Time from the image on the device to the scores there."""


@dataclass(frozen=True)
class Predictor:
    """A network that predicts one image, and one view of it, at a time.

    Attributes:
        model: The network; it is moved to ``device``.
        loss: The loss it was trained with, which turns logits into probabilities.
        dataset: The data set, for its mean and standard deviation.
        device: Where the network runs.
        spec: Scales, flip and sliding window.
    """

    model: nn.Module
    loss: SegmentationLoss
    dataset: SegmentationDataset
    device: torch.device
    spec: EvaluationSpec

    def __post_init__(self) -> None:
        self.model.to(self.device).to(memory_format=torch.channels_last).eval()

    def split(self, split: Split) -> Iterator[Prediction]:
        """Yield the prediction of every image of a split, in order."""
        for index, (image, label) in enumerate(zip(split.images, split.labels, strict=True)):
            inputs = self._inputs(image)
            started = self._now()
            scores = self._scores(inputs, label.shape)
            yield Prediction(index, scores, self._now() - started)

    def scores(self, image: UInt8[np.ndarray, "h w 3"], size: Size) -> Float[Tensor, "k h2 w2"]:
        """Return the scores of one image at ``size``, as in Prediction."""
        return self._scores(self._inputs(image), size)

    @torch.inference_mode()
    def probabilities(self, scores: Float[Tensor, "k h w"]) -> Float[Tensor, "k h w"]:
        """Return the probabilities that a prediction's scores stand for; they sum to 1."""
        return scores if self._averages else self.loss.probabilities(scores[None])[0]

    @property
    def _averages(self) -> bool:
        return self.spec.flip or len(self.spec.scales) > 1

    def _inputs(self, image: UInt8[np.ndarray, "h w 3"]) -> Float[Tensor, "1 3 h w"]:
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
        inputs = normalise(pixels, self.dataset.mean, self.dataset.std)
        return inputs.to(self.device, memory_format=torch.channels_last)

    @torch.inference_mode()
    def _scores(
        self, image: Float[Tensor, "1 3 h w"], size: Size
    ) -> Float[Tensor, "k height width"]:
        flips = (False, True) if self.spec.flip else (False,)
        views = [(scale, flip) for scale in self.spec.scales for flip in flips]
        if not self._averages:
            return self._logits(image, size, *views[0])[0]
        # Summed one by one, so that another view costs time but no memory.
        averaged = (self.loss.probabilities(self._logits(image, size, *view)) for view in views)
        return reduce(torch.add, averaged)[0] / len(views)

    def _logits(
        self, image: Float[Tensor, "1 3 h w"], size: Size, scale: float, flip: bool
    ) -> Float[Tensor, "1 k height width"]:
        """Return the logits of one view, flipped back and resized to ``size``."""
        if scale != 1:
            scaled = [max(1, round(length * scale)) for length in image.shape[-2:]]
            image = _resized(image, scaled, antialias=True)
        if flip:
            image = image.flip(-1)
        logits = self.model(image) if self.spec.window is None else self._windows(image)
        if flip:
            logits = logits.flip(-1)
        return logits if logits.shape[-2:] == size else _resized(logits, size)

    def _windows(self, image: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 k h w"]:
        """Return for each pixel the mean of the logits of all windows that hold it."""
        assert self.spec.window is not None
        assert self.spec.stride is not None
        height, width = self.spec.window
        corners = itertools.product(
            *map(_starts, image.shape[-2:], self.spec.window, self.spec.stride)
        )
        total, times = torch.zeros((), device=self.device), torch.zeros_like(image[:, :1])
        for top, left in corners:
            place = (..., slice(top, top + height), slice(left, left + width))
            logits = self.model(image[place])
            if total.ndim == 0:
                total = logits.new_zeros(1, logits.shape[1], *image.shape[-2:])
            total[place] += logits
            times[place] += 1
        return total / times

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def best(scores: Float[Tensor, "k h w"]) -> UInt8[Tensor, "h w"]:
    """Return the class with the highest score for each pixel."""
    return scores.max(0).indices.to(torch.uint8)


def _starts(length: int, window: int, stride: int) -> list[int]:
    """Return where windows begin: a stride apart, the last one flush with the end."""
    last = max(0, length - window)
    return [min(start, last) for start in range(0, last + stride, stride)]


def _resized(maps: Tensor, size: Size | list[int], *, antialias: bool = False) -> Tensor:
    return nn.functional.interpolate(
        maps, size=size, mode="bilinear", align_corners=False, antialias=antialias
    )

"""Training batches from stored images: random scale, crop and flip, then normalisation.

The geometry of a sample is drawn first, as plain numbers, from (seed, epoch, sample index) alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from bench.data.dataset import Split
from bench.iou import IGNORED
from bench.seeding import generator
from bench.spec import RecipeSpec


@dataclass(frozen=True)
class Augmentation:
    """The geometry of one sample: resize to (height, width), crop from (top, left), then flip."""

    height: int
    width: int
    top: int
    left: int
    flip: bool


def draw_augmentation(
    rng: np.random.Generator,
    size: tuple[int, int],
    *,
    crop_size: tuple[int, int],
    scale: tuple[float, float],
    flip: bool,
    scale_step: float | None = None,
) -> Augmentation:
    """Return a random geometry.

    Args:
        rng: Source of the random numbers.
        size: (height, width) of the stored image.
        crop_size: (height, width) of the crop.
        scale: Range of the factor of both sides, drawn uniformly.
        flip: Whether half of the images are mirrored.
        scale_step: Distance between two factors of the range; None draws from all of it.
    """
    # Always four draws, so that one option does not change the numbers of another.
    zoom, down, right, turn = rng.random(4).tolist()
    if scale_step is None:
        factor = scale[0] + (scale[1] - scale[0]) * zoom
    else:
        factor = scale[0] + scale_step * int(zoom * scale_count(scale, scale_step))
    height, width = (max(1, round(length * factor)) for length in size)
    return Augmentation(
        height=height,
        width=width,
        top=int(down * (max(0, height - crop_size[0]) + 1)),
        left=int(right * (max(0, width - crop_size[1]) + 1)),
        flip=flip and turn < 0.5,
    )


def scale_count(scale: tuple[float, float], scale_step: float) -> int:
    """Return the number of factors in the range ``scale``, ``scale_step`` apart."""
    return round((scale[1] - scale[0]) / scale_step) + 1


def sample_augmentation(
    split: Split, index: int, epoch: int, seed: int, recipe: RecipeSpec
) -> Augmentation:
    """Return the geometry of sample ``index`` in ``epoch``; its batch does not matter."""
    height, width = split.labels[index].shape
    return draw_augmentation(
        generator(seed, "augment", epoch, index),
        (height, width),
        crop_size=recipe.crop_size,
        scale=recipe.scale,
        flip=recipe.flip,
        scale_step=recipe.scale_step,
    )


def apply_augmentation(
    image: UInt8[np.ndarray, "h w 3"],
    label: UInt8[np.ndarray, "h w"],
    augmentation: Augmentation,
    crop_size: tuple[int, int],
    mean: Sequence[float],
    ignore_index: int = IGNORED,
    interpolation: Literal["bilinear", "bicubic"] = "bilinear",
) -> tuple[UInt8[Tensor, "3 crop_h crop_w"], UInt8[Tensor, "crop_h crop_w"]]:
    """Return the crop of image (antialiased) and label (nearest pixel), not normalised yet.

    A scaled image that is smaller than the crop is padded to the right and below, with the mean
    colour ``mean`` and with ``ignore_index``.
    """
    scaled = [augmentation.height, augmentation.width]
    pixels = torch.from_numpy(image).permute(2, 0, 1)
    classes = torch.from_numpy(label)[None]
    if list(label.shape) != scaled:
        pixels = F.resize(pixels, scaled, InterpolationMode(interpolation), antialias=True)
        classes = F.resize(classes, scaled, InterpolationMode.NEAREST_EXACT)
    height, width = crop_size
    corner = (augmentation.top, augmentation.left, min(height, scaled[0]), min(width, scaled[1]))
    pixels, classes = F.crop(pixels, *corner), F.crop(classes, *corner)
    below, beside = height - corner[2], width - corner[3]
    if below or beside:
        padding = [0, 0, beside, below]
        pixels = F.pad(pixels, padding, fill=[float(round(value)) for value in mean])
        classes = F.pad(classes, padding, fill=ignore_index)
    if augmentation.flip:
        pixels, classes = F.horizontal_flip(pixels), F.horizontal_flip(classes)
    return pixels, classes[0]


def normalise(
    images: UInt8[Tensor, "b 3 h w"], mean: Sequence[float], std: Sequence[float]
) -> Float[Tensor, "b 3 h w"]:
    """Return (images - mean) / std per channel, float32; ``mean`` and ``std`` in 0..255."""
    # torchvision's normalize gives the same bits, but waits for a GPU to copy mean and std there.
    mean_of, std_of = (
        torch.tensor(list(values)).view(-1, 1, 1).to(images.device, non_blocking=True)
        for values in (mean, std)
    )
    return images.float().sub_(mean_of).div_(std_of)


def training_batch(
    split: Split,
    indices: Sequence[int],
    augmentations: Sequence[Augmentation],
    recipe: RecipeSpec,
    mean: Sequence[float],
) -> tuple[UInt8[Tensor, "b 3 crop_h crop_w"], UInt8[Tensor, "b crop_h crop_w"]]:
    """Return images and labels of the samples ``indices``, each under its augmentation."""
    crops = [
        apply_augmentation(
            split.images[index],
            split.labels[index],
            augmentation,
            recipe.crop_size,
            mean,
            interpolation=recipe.interpolation,
        )
        for index, augmentation in zip(indices, augmentations, strict=True)
    ]
    images, labels = zip(*crops, strict=True)
    return torch.stack(images), torch.stack(labels)

"""The input of `segloss perf`: label maps, and logits with the errors of a trained network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from bench.data.camvid.labels import VOID
from bench.data.registry import open_dataset
from bench.errors import DataError
from bench.files import Strict
from bench.iou import IGNORED
from bench.spec import DataSpec, Positive

Scene = Literal["street", "objects"]

GAIN = 6.0
"""Height of the logits' steps between classes."""
NOISE: Mapping[Scene, float] = {"street": 1.5, "objects": 2.2}
"""Strength of the logits' noise, chosen so that about 96 % of the pixels are right."""


class Shape(Strict):
    """A batch of logits: its size, the scene of its labels, and the device that it suits."""

    name: str
    batch: Positive
    classes: Positive
    height: Positive
    width: Positive
    scene: Scene
    device: Literal["cpu", "cuda"] = "cpu"

    def __str__(self) -> str:
        return f"{self.name}, {self.batch} x {self.classes} x {self.height} x {self.width}"


SHAPES: Mapping[str, Shape] = {
    shape.name: shape
    for shape in (
        Shape(name="camvid", batch=4, classes=12, height=360, width=480, scene="street"),
        Shape(name="voc", batch=2, classes=21, height=513, width=513, scene="objects"),
        # The batches and crops of the paper's experiments.
        Shape(
            name="paper-voc", batch=16, classes=21, height=513, width=513, scene="objects",
            device="cuda",
        ),
        Shape(
            name="paper-camvid", batch=16, classes=11, height=479, width=479, scene="street",
            device="cuda",
        ),
    )
}  # fmt: skip


def make_labels(shape: Shape, data_root: Path | None) -> tuple[Int64[Tensor, "b h w"], str]:
    """Return the labels of ``shape`` and their source in words.

    Streets come from CamVid's training images if ``data_root`` holds them; otherwise they are
    drawn. With 12 classes, the last one is void.

    Raises:
        DataError: a file of CamVid cannot be read.
    """
    if shape.scene == "objects":
        maps = [_objects(shape, index) for index in range(shape.batch)]
        return torch.from_numpy(np.stack(maps)).long(), "drawn objects with ignored borders"
    maps, source = _streets(shape, data_root)
    return torch.from_numpy(np.stack([_resized(m, shape) for m in maps])).long(), source


def make_logits(labels: Int64[Tensor, "b h w"], shape: Shape) -> Float[Tensor, "b c h w"]:
    """Return logits that mostly predict the label, with soft borders and errors in patches."""
    counted = (labels != IGNORED).unsqueeze(1)
    channel = labels.unsqueeze(1).where(counted, 0)
    truth = torch.zeros(shape.batch, shape.classes, shape.height, shape.width)
    truth.scatter_(1, channel, counted.float())
    smooth = F.avg_pool2d(truth, 9, stride=1, padding=4)
    coarse = (shape.batch, shape.classes, shape.height // 8 + 1, shape.width // 8 + 1)
    noise = torch.randn(coarse, generator=torch.Generator().manual_seed(0))
    patches = F.interpolate(noise, (shape.height, shape.width), mode="bilinear")
    return (GAIN * (smooth - 0.5) + NOISE[shape.scene] * patches).contiguous()


def pixel_accuracy(logits: Float[Tensor, "b c h w"], labels: Int64[Tensor, "b h w"]) -> float:
    """Return the share, from 0 to 1, of labelled pixels whose class has the largest logit."""
    right = logits.max(1).indices == labels
    return float(right.sum() / (labels != IGNORED).sum())


def occurring(labels: Int64[Tensor, "b h w"], classes: int) -> float:
    """Return the share of (image, class) pairs with at least one pixel; RMI skips the others."""
    found = sum(len(set(label.unique().tolist()) - {IGNORED}) for label in labels)
    return found / (len(labels) * classes)


def _streets(shape: Shape, data_root: Path | None) -> tuple[list[UInt8[np.ndarray, "h w"]], str]:
    if data_root is not None:
        void = "class" if shape.classes > VOID else "ignore"
        camvid = open_dataset(DataSpec(name="camvid", void=void), data_root)
        try:
            entries = camvid.entries("train")
        except DataError as error:
            return _drawn_streets(shape), f"drawn streets ({error})"
        picked = [entries[index % len(entries)] for index in range(shape.batch)]
        return [entry.read().label for entry in picked], "CamVid train"
    return _drawn_streets(shape), "drawn streets (no --data-root)"


def _drawn_streets(shape: Shape) -> list[UInt8[np.ndarray, "h w"]]:
    scenes = open_dataset(DataSpec(name="scenes"), None)
    maps = []
    for entry in scenes.entries("train")[: shape.batch]:
        label = entry.read().label.copy()
        # The drawn scenes have fewer classes than CamVid, so the first few are given other
        # numbers in the right half.
        drawn = len(scenes.class_names)
        right = label[:, label.shape[1] // 2 :]
        right[right < VOID - drawn] += drawn
        if shape.classes > VOID:
            label[label == IGNORED] = VOID
        maps.append(label)
    return maps


def _objects(shape: Shape, index: int) -> UInt8[np.ndarray, "h w"]:
    """Return one or two ellipses of different classes on background, with ignored borders."""
    random = np.random.default_rng(index)
    y = np.linspace(0, 1, shape.height)[:, None]
    x = np.linspace(0, 1, shape.width)
    label = np.zeros((shape.height, shape.width), np.uint8)
    count = min(1 + index % 2, shape.classes - 1)
    classes = random.choice(np.arange(1, shape.classes), count, replace=False)
    for place, number in enumerate(classes):
        centre_y, centre_x = random.uniform(0.4, 0.6), (place + 0.5) / count
        radius_y, radius_x = random.uniform(0.15, 0.35), random.uniform(0.25, 0.45) / count
        inside = ((y - centre_y) / radius_y) ** 2 + ((x - centre_x) / radius_x) ** 2 < 1
        label[inside] = number
    border = np.zeros_like(label, dtype=bool)
    border[1:] |= label[1:] != label[:-1]
    border[:, 1:] |= label[:, 1:] != label[:, :-1]
    label[border] = IGNORED
    return label


def _resized(label: UInt8[np.ndarray, "h w"], shape: Shape) -> UInt8[np.ndarray, "hr wr"]:
    rows = np.arange(shape.height) * label.shape[0] // shape.height
    columns = np.arange(shape.width) * label.shape[1] // shape.width
    return label[rows[:, None], columns]

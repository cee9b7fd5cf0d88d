"""The affinity field loss transcribed from its formula: whole tensors, eight neighbours, autograd.

``AffinityFieldLoss(variant="port")`` computes the same value in closed form. Tests use this
transcription as a second way to the value, benchmarks as the baseline.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

FLOOR = 1e-4
"""Lower bound of a probability, also added to 1 - p."""


def plain_affinity_loss(
    logits: Tensor,
    target: Tensor,
    *,
    size: int = 1,
    stride: int = 8,
    kl_margin: float = 3.0,
    lambda_edge: float = 1.0,
    lambda_nonedge: float = 1.0,
    decay: float = 1.0,
    ignore_index: int = 255,
) -> Tensor:
    """Return softmax cross entropy + decay · (λ_edge · edge mean + λ_nonedge · non-edge mean).

    Args:
        logits: [b, c, h, w].
        target: class of each pixel [b, h, w], or ``ignore_index``; at least one pixel has a class.
        size: distance of the neighbours in pixels of the map of (h // stride, w // stride).
        stride: factor by which that map is smaller than the logits.
        kl_margin: divergence in nats from which an edge pair costs nothing.
        lambda_edge: weight of the edge mean.
        lambda_nonedge: weight of the non-edge mean.
        decay: weight of both.
        ignore_index: label of the ignored pixels.
    """
    pixel = F.cross_entropy(logits, target, ignore_index=ignore_index)

    classes = logits.shape[1]
    shape = [length // stride for length in logits.shape[-2:]]
    labels = F.interpolate(target.unsqueeze(1).to(logits.dtype), shape).squeeze(1).long()
    labelled = (labels != ignore_index).unsqueeze(1)
    labels = labels.masked_fill(labels == ignore_index, classes)
    truth = F.one_hot(labels, classes + 1)[..., :classes].permute(0, 3, 1, 2).to(logits.dtype)
    resized = F.interpolate(logits, shape, mode="bilinear", align_corners=True)
    probs = (resized.softmax(1) * labelled).clamp(min=FLOOR)

    edge = neighbours(truth, size, outside=0.0) != truth.unsqueeze(2)
    p = probs.unsqueeze(2)
    q = neighbours(probs, size, outside=FLOOR)
    not_p, not_q = 1 - p + FLOOR, 1 - q + FLOOR
    divergence = q * (q / p).log() + not_q * (not_q / not_p).log()

    edges = edge.sum()
    edge_mean = (F.relu(kl_margin - divergence) * edge).sum() / edges.clamp(min=1)
    nonedge_mean = (divergence * ~edge).sum() / (edge.numel() - edges).clamp(min=1)
    return pixel + decay * (lambda_edge * edge_mean + lambda_nonedge * nonedge_mean)


def neighbours(maps: Tensor, size: int, *, outside: float) -> Tensor:
    """Return each pixel's eight neighbours [b, c, 8, h, w] of maps [b, c, h, w]."""
    h, w = maps.shape[-2:]
    padded = F.pad(maps, (size,) * 4, value=outside)
    steps = [(y, x) for y in (0, size, 2 * size) for x in (0, size, 2 * size)]
    steps.remove((size, size))
    return torch.stack([padded[..., y : y + h, x : x + w] for y, x in steps], dim=2)

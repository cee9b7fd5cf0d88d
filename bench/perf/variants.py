"""The measured losses, and the plain transcriptions that they are compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from bench.files import Strict
from bench.perf.plain_affinity import plain_affinity_loss
from bench.perf.plain_rmi import plain_rmi_terms
from bench.spec import Scalar
from losses import LOSSES, build_loss

OPTIONS: Mapping[str, tuple[dict[str, Scalar], ...]] = {
    "affinity": ({"stride": 8}, {"stride": 2}),
    "rmi": (
        {"downsample_factor": 4, "region_size": 3},
        {"downsample_factor": 2, "region_size": 3},
        {"downsample_factor": 6, "region_size": 5},
    ),
}
"""The options that decide the cost of a loss; every other loss is timed with its defaults."""

LossFunction = Callable[[Tensor, Tensor], Tensor]


class Variant(Strict):
    """A loss with its options, computed by the package or by the plain transcription."""

    loss: str
    options: dict[str, Scalar]
    plain: bool = False

    def __str__(self) -> str:
        options = [f"{name}={value}" for name, value in self.options.items()]
        return " ".join([self.loss, *options, *(["(plain)"] if self.plain else [])])

    def build(self) -> LossFunction:
        """Return the function of logits and target."""
        if not self.plain:
            return build_loss(self.loss, **self.options)
        return PLAIN[self.loss](self.options)

    def twin(self) -> Variant:
        """Return the plain transcription of the same loss."""
        return self.model_copy(update={"plain": True})

    def is_transcribed(self) -> bool:
        """Return whether the loss has a plain transcription."""
        return self.loss in PLAIN


def _plain_rmi(options: Mapping[str, Any]) -> LossFunction:
    def loss(logits: Tensor, target: Tensor) -> Tensor:
        pixel, region = plain_rmi_terms(logits, target, **options)
        return 0.5 * pixel + 0.5 * region.to(logits.dtype)

    return loss


def _plain_affinity(options: Mapping[str, Any]) -> LossFunction:
    def loss(logits: Tensor, target: Tensor) -> Tensor:
        return plain_affinity_loss(logits, target, **options)

    return loss


PLAIN: Mapping[str, Callable[[Mapping[str, Any]], LossFunction]] = {
    "rmi": _plain_rmi,
    "affinity": _plain_affinity,
}


def variants() -> list[Variant]:
    """Return every loss of the package with each of its OPTIONS, CE first."""
    return [
        Variant(loss=loss, options=options)
        for loss in LOSSES
        for options in OPTIONS.get(loss, ({},))
    ]

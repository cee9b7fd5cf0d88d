"""The losses that are timed, and the plain transcriptions that they are held against."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

from torch import Tensor

from bench.spec import Scalar, Strict
from losses import LOSSES, build_loss

REFERENCES = Path(__file__).parent.parent / "tests" / "reference"

OPTIONS: Mapping[str, tuple[dict[str, Scalar], ...]] = {
    "affinity": ({"stride": 8}, {"stride": 2}),
    "rmi": (
        {"downsample_factor": 4, "region_size": 3},
        {"downsample_factor": 2, "region_size": 3},
        {"downsample_factor": 6, "region_size": 5},
    ),
}
"""What sets the cost of a loss; one that is not here is timed with its defaults."""

LossFunction = Callable[[Tensor, Tensor], Tensor]


class Variant(Strict):
    """A loss with its options, as the package computes it or as the plain transcription does."""

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
        return PLAIN[self.loss](_load(_reference(self.loss)), self.options)

    def twin(self) -> Variant:
        """Return the same loss by its plain transcription."""
        return self.model_copy(update={"plain": True})

    def is_transcribed(self) -> bool:
        """Return whether the transcription is there."""
        return self.loss in PLAIN and _reference(self.loss).is_file()


def _plain_rmi(module: ModuleType, options: Mapping[str, Scalar]) -> LossFunction:
    def loss(logits: Tensor, target: Tensor) -> Tensor:
        pixel, region = module.plain_rmi_terms(logits, target, **options)
        return 0.5 * pixel + 0.5 * region.to(logits.dtype)

    return loss


def _plain_affinity(module: ModuleType, options: Mapping[str, Scalar]) -> LossFunction:
    def loss(logits: Tensor, target: Tensor) -> Tensor:
        return module.plain_affinity_loss(logits, target, **options)

    return loss


PLAIN: Mapping[str, Callable[[ModuleType, Mapping[str, Scalar]], LossFunction]] = {
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


def missing_plain() -> list[str]:
    """Return the losses whose transcription is not here: an installed wheel has none."""
    return [loss for loss in PLAIN if not _reference(loss).is_file()]


def _reference(loss: str) -> Path:
    return REFERENCES / f"plain_{loss}.py"


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

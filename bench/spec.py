"""RunSpec: everything that decides the result of one training or one evaluation.

No torch here: planning, reports and the ledger read specifications without it. Device, worker
count, paths and titles do not change a result; they are not part of a specification, so they cannot
change a ``run_id``.
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Collection
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bench.data_spec import HELD_OUT, DataSpec, Size
from bench.files import Positive, Scalar, Strict
from bench.model_spec import ModelSpec

__all__ = [
    "HELD_OUT",
    "CRFSpec",
    "DataSpec",
    "EvaluationSpec",
    "LossSpec",
    "ModelSpec",
    "RecipeSpec",
    "RunSpec",
    "Scalar",
    "Size",
    "TermSpec",
    "digest",
]

SCHEMA_VERSION = 1
OWN_RECIPE = ("lr", "head_lr_multiplier", "weight_decay", "clip_norm")
"""Fields of a recipe that depend on the scale of a loss: a method may have values of its own."""


class RecipeSpec(Strict):
    """How a model is trained: the same for every method of a study, but for OWN_RECIPE."""

    steps: Positive
    batch_size: Annotated[int, Field(ge=2)]
    crop_size: Size
    lr: Annotated[float, Field(gt=0)]
    head_lr_multiplier: Annotated[float, Field(gt=0)] = 1.0
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    warmup_start_lr: Annotated[float, Field(ge=0)] = 0.0
    """Learning rate at step 0 of the warm-up."""
    schedule: Literal["poly", "cosine"] = "poly"
    """How the rate falls after the warm-up."""
    poly_power: Annotated[float, Field(gt=0)] = 0.9
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """AdamW has torch's betas (0.9, 0.999) and eps (1e-8)."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    """Highest norm of all gradients together; larger ones are scaled down to it."""
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of a moving average of the weights, which is scored instead of the last weights."""
    scale: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (0.75, 1.25)
    scale_step: Annotated[float, Field(gt=0)] | None = None
    """Distance between two factors of the range ``scale``; None draws from all of it."""
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    """Method that scales training images; labels take the nearest pixel."""
    flip: bool = True
    accumulate: Positive = 1
    """Number of parts of a batch: less memory, and batch norm sees one part at a time."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the convolutions in training; weights, upsampling and loss are float32."""
    compile: bool = False
    """Whether the network is compiled with torch.compile for training."""

    @model_validator(mode="after")
    def _values_are_used(self) -> RecipeSpec:
        uses = {"momentum": self.optimizer == "sgd", "poly_power": self.schedule == "poly"}
        for name, used in uses.items():
            if not used and getattr(self, name) != RecipeSpec.model_fields[name].default:
                other = "adamw" if name == "momentum" else "cosine"
                raise ValueError(f"{name} = {getattr(self, name)} has no effect with {other}")
        return self

    @property
    def description(self) -> str:
        """Words for titles, such as "AdamW, cosine schedule"; empty for SGD and poly alone."""
        parts = {
            "AdamW": self.optimizer == "adamw",
            "cosine schedule": self.schedule == "cosine",
            f"gradients clipped to norm {self.clip_norm or 0:g}": self.clip_norm is not None,
            f"EMA {self.ema_decay} of the weights": self.ema_decay is not None,
        }
        return ", ".join(words for words, on in parts.items() if on)


Option = Scalar | tuple[Scalar, ...] | None
"""A value of a loss's option."""
SUM = "sum"


class TermSpec(Strict):
    """One loss of a weighted sum: its name and the options that differ from their defaults."""

    name: str
    """Name in LOSSES, of an installed plug-in, or the import path of a class."""
    version: int | str = 1
    """Version of the class; the package with its version for an import path."""
    options: dict[str, Option] = {}
    weight: Annotated[float, Field(gt=0)] = 1.0


class LossSpec(Strict):
    """A loss, as ``TermSpec`` describes it, or a weighted sum, whose name is "sum"."""

    name: str
    version: int | str = 1
    options: dict[str, Option] = {}
    terms: tuple[TermSpec, ...] = ()
    """Losses of a sum; the first one's probabilities are those of the sum."""

    @property
    def names(self) -> str:
        """Return the name of the loss, or those of a sum, such as "ce + rmi"."""
        return " + ".join(term.name for term in self.terms) or self.name

    @property
    def label(self) -> str:
        """Return the name of the loss, or the sum with its weights, such as "0.5 ce + 0.5 rmi"."""
        parts = ((term.weight, term.name) for term in self.terms)
        words = (name if weight == 1 else f"{weight:g} {name}" for weight, name in parts)
        return " + ".join(words) or self.name


class CRFSpec(Strict):
    """Dense CRF applied to the probabilities of a finished training (Krähenbühl & Koltun 2011)."""

    version: Literal[1] = 1
    steps: Annotated[int, Field(ge=0)]
    theta_alpha: Annotated[float, Field(gt=0)] = 30.0
    theta_beta: Annotated[float, Field(gt=0)] = 13.0
    theta_gamma: Annotated[float, Field(gt=0)] = 3.0
    bilateral_weight: Annotated[float, Field(ge=0)] = 10.0
    gaussian_weight: Annotated[float, Field(ge=0)] = 3.0


class EvaluationSpec(Strict):
    """How a trained network is scored; by default on whole images at one scale, as in the paper."""

    scales: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = (1.0,)
    """Factors by which images are scaled; probabilities are averaged."""
    flip: bool = False
    """Whether to average with the mirrored image, at each scale."""
    window: Size | None = None
    """Size of a window that slides over the image; logits are averaged. None: whole images."""
    stride: Size | None = None
    """Distance between two positions of the window."""
    every: Positive | None = None
    """Steps of a training between two scores on the way; None scores it at its end alone."""
    on: str | None = None
    """Split to score on the way; None: the one that is scored at the end."""

    @model_validator(mode="after")
    def _windows_touch(self) -> EvaluationSpec:
        if (self.window is None) != (self.stride is None):
            raise ValueError("window and stride belong together; give both or neither")
        if self.window and self.stride and any(map(operator.gt, self.stride, self.window)):
            raise ValueError("stride is above window: pixels between two windows would be left out")
        if len(set(self.scales)) < len(self.scales):
            raise ValueError("scales names a factor twice")
        if self.on is not None and self.every is None:
            raise ValueError("on is the split to score every so many steps; give every, too")
        return self

    @property
    def of_training(self) -> EvaluationSpec:
        """How the training behind an evaluation is scored: in the default way, at each score."""
        return EvaluationSpec(every=self.every, on=self.on)

    @property
    def description(self) -> str:
        """Words for titles, such as "multi-scale (0.5, 1, 1.5) + flip"; empty for the default."""
        parts = []
        if self.scales != (1.0,):
            scales = ", ".join(f"{scale:g}" for scale in self.scales)
            parts.append(f"multi-scale ({scales})" if len(self.scales) > 1 else f"scale {scales}")
        if self.flip:
            parts.append("flip")
        if self.window:
            parts.append("sliding window {} x {}".format(*self.window))
        return " + ".join(parts)


class RunSpec(Strict):
    """One training, or (with ``crf`` or another ``evaluation``) one evaluation of a training."""

    data: DataSpec
    model: ModelSpec
    recipe: RecipeSpec
    loss: LossSpec
    seed: Annotated[int, Field(ge=0)] = 0
    crf: CRFSpec | None = None
    evaluation: EvaluationSpec = EvaluationSpec()

    def __hash__(self) -> int:
        return hash(self.run_id)

    @property
    def run_id(self) -> str:
        """Twelve hexadecimal digits that name the run; a field at its default changes nothing.

        >>> spec = RunSpec(
        ...     data=DataSpec(name="scenes"),
        ...     model=ModelSpec(backbone="tf_efficientnet_lite0"),
        ...     recipe=RecipeSpec(steps=10, batch_size=2, crop_size=(32, 32), lr=0.1),
        ...     loss=LossSpec(name="ce"),
        ... )
        >>> spec.run_id == spec.model_copy(update={"seed": 0}).run_id
        True
        """
        return _run_id(self.model_dump_json(exclude_defaults=True))

    @property
    def source(self) -> RunSpec:
        """The training whose weights this run uses: itself, unless it is an evaluation."""
        plain = {"crf": None, "evaluation": self.evaluation.of_training}
        return self if self.trains else self.model_copy(update=plain)

    @property
    def trains(self) -> bool:
        """Whether this run is a training; it is scored in the default way."""
        return self.crf is None and self.evaluation == self.evaluation.of_training

    @property
    def pass_id(self) -> str:
        """Id of the pass: CRF evaluations that differ in their steps alone share one inference.

        Every other run is a pass by itself.
        """
        if self.crf is None:
            return self.run_id
        no_steps = self.crf.model_copy(update={"steps": 0})
        return self.model_copy(update={"crf": no_steps}).run_id

    @property
    def comparison_key(self) -> str:
        """Digest of what runs of one table share: everything but loss, CRF, seed and fold."""
        return self.shared_key(())

    def shared_key(self, own_recipe: Collection[str]) -> str:
        """Return ``comparison_key`` without the fields of the recipe that a study lets differ."""
        shared = self.model_dump(
            mode="json", exclude_defaults=True, include={"data", "model", "recipe", "evaluation"}
        )
        shared["data"].pop("fold", None)
        shared["recipe"] = {k: v for k, v in shared["recipe"].items() if k not in own_recipe}
        return digest({"schema": SCHEMA_VERSION, **shared})


@cache
def _run_id(spec_json: str) -> str:
    # Cached, because a plan asks for the id of each run many times.
    return digest({"schema": SCHEMA_VERSION, **json.loads(spec_json)})


def digest(value: Any) -> str:
    """Return twelve hexadecimal digits of a JSON-shaped value, independent of key order."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]

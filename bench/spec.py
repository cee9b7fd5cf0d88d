"""RunSpec: everything that decides the result of one training or one evaluation.

No torch here: planning, reports and the ledger read specs without it. What does not change a result
(device, worker count, paths, titles) is not part of a spec, so it cannot change a ``run_id``.
"""

from __future__ import annotations

import hashlib
import json
import operator
import re
from functools import cache
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import to_json

from bench.errors import SpecError, unknown

SCHEMA_VERSION = 1
Scalar = bool | int | float | str
Positive = Annotated[int, Field(ge=1)]
HELD_OUT = "held-out"
"""The split of the training images that are held out of training."""
Size = tuple[Positive, Positive]  # (height, width) in pixels


class Strict(BaseModel):
    """Base of all records: frozen, strictly typed, unknown keys refused."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class DataSpec(Strict):
    """Which images are trained on and which are scored."""

    name: str
    train: Annotated[tuple[str, ...], Field(min_length=1)] = ("train",)
    evaluate: str = "test"
    void: Literal["ignore", "class"] = "ignore"
    class_map: Literal["usual", "strict"] = "usual"
    """How CamVid's 32 classes become 11, where a copy has 32: docs/data.md."""
    image_size: Size | None = None
    """Size at which the network sees an image; labels are scored at their stored size."""
    train_images: Positive | None = None
    """At most so many images, evenly spaced; None takes all. So does ``evaluate_images``."""
    evaluate_images: Positive | None = None
    held_out: tuple[str, ...] = ()
    """Sequences of the training images that are scored, as split "held-out", and not trained on."""
    held_out_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The same for images that stand alone: so large a share of them, evenly spaced."""

    @model_validator(mode="after")
    def _scored_on_unseen_images(self) -> DataSpec:
        if self.evaluate in self.train:
            raise ValueError(f"evaluate = {self.evaluate!r} is a split that is trained on")
        held_out = bool(self.held_out) + bool(self.held_out_share)
        if held_out != (self.evaluate == HELD_OUT):
            raise ValueError(f"evaluate = {HELD_OUT!r} goes with held_out or held_out_share")
        return self


class ModelSpec(Strict):
    """A segmentation head over a timm feature backbone."""

    backbone: str
    head: Literal["deeplabv3", "deeplabv3plus"] = "deeplabv3plus"
    pretrained: bool = True
    """Start from ImageNet weights."""
    weights: str | None = None
    """SHA-256 of the file they come from, its first 12 digits; None: timm's weights by name."""
    output_stride: Literal[8, 16, 32] = 16
    dilated: bool = True
    """Dilate the stages past the output stride; the paper's published code does not."""
    head_channels: Positive = 256
    atrous_rates: tuple[Positive, Positive, Positive] = (6, 12, 18)
    separable: bool = False
    """Depthwise separable convolutions in the head (as DeepLabv3+ on mobile backbones)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    decoder_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Before DeepLabv3+'s classifier; DeepLabv3 has no decoder."""
    head_init: Literal["kaiming_uniform", "kaiming_normal"] = "kaiming_uniform"
    """torch's default (a = √5, random biases), or He et al. 2015 (gain √2, biases 0)."""
    align_corners: bool = False
    """Bilinear upsampling maps corner pixels on corner pixels, not corners on corners."""
    batch_norm_momentum: Annotated[float, Field(gt=0, le=1)] = 0.1
    batch_norm_eps: Annotated[float, Field(gt=0)] | None = None
    """None: what the backbone was trained with, and 1e-5 in the head."""

    @field_validator("weights")
    @classmethod
    def _is_a_digest(cls, weights: str | None) -> str | None:
        if weights is not None and not re.fullmatch("[0-9a-f]{12}", weights):
            raise ValueError("must be the first 12 hexadecimal digits of the file's SHA-256")
        return weights

    @model_validator(mode="after")
    def _weights_are_used(self) -> ModelSpec:
        if self.weights is not None and not self.pretrained:
            raise ValueError("weights names a file, and pretrained = false does not read it")
        return self


class RecipeSpec(Strict):
    """How a model is trained: the same for every method of a study."""

    steps: Positive
    batch_size: Annotated[int, Field(ge=2)]
    crop_size: Size
    lr: Annotated[float, Field(gt=0)]
    head_lr_multiplier: Annotated[float, Field(gt=0)] = 1.0
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    warmup_start_lr: Annotated[float, Field(ge=0)] = 0.0
    """Rate that the warm-up starts from, at step 0."""
    poly_power: Annotated[float, Field(gt=0)] = 0.9
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    scale: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (0.75, 1.25)
    scale_step: Annotated[float, Field(gt=0)] | None = None
    """Between two factors of the range ``scale``; None draws from all of it."""
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    """How a scaled training image is made; labels take the nearest pixel."""
    flip: bool = True
    accumulate: Positive = 1
    """Parts in which a batch goes through the network: less memory, batch norm sees one part."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the network's convolutions while it trains; weights, upsampling and loss are float32."""
    compile: bool = False
    """Whether torch.compile makes the training step's network."""


class LossSpec(Strict):
    """A loss by its name in LOSSES, with the options that differ from its defaults."""

    name: str
    version: int = 1
    options: dict[str, Scalar] = {}


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
    """How a trained network is scored; by default as in the paper, whole images at one scale."""

    scales: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = (1.0,)
    """Factors at which the network sees an image; probabilities are averaged."""
    flip: bool = False
    """Average with the mirrored image, at each scale."""
    window: Size | None = None
    """Size of a window that slides over the image; logits are averaged. None: whole images."""
    stride: Size | None = None
    """How far the window slides at a time."""

    @model_validator(mode="after")
    def _windows_touch(self) -> EvaluationSpec:
        if (self.window is None) != (self.stride is None):
            raise ValueError("window and stride need each other; give both or none")
        if self.window and self.stride and any(map(operator.gt, self.stride, self.window)):
            raise ValueError("stride is above window: pixels between two windows are not seen")
        if len(set(self.scales)) < len(self.scales):
            raise ValueError("scales names a factor twice")
        return self

    @property
    def description(self) -> str:
        """For titles, such as "multi-scale (0.5, 1, 1.5) + flip"; empty for the default."""
        said = []
        if self.scales != (1.0,):
            scales = ", ".join(f"{scale:g}" for scale in self.scales)
            said.append(f"multi-scale ({scales})" if len(self.scales) > 1 else f"scale {scales}")
        said += ["flip"] * self.flip
        if self.window:
            said.append("sliding window {} x {}".format(*self.window))
        return " + ".join(said)


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
        plain = {"crf": None, "evaluation": EvaluationSpec()}
        return self if self.trains else self.model_copy(update=plain)

    @property
    def trains(self) -> bool:
        """Whether this run is a training, which is scored in the default way."""
        return self.crf is None and self.evaluation == EvaluationSpec()

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
        """Digest of what two runs must share to stand in one table: all but loss, CRF and seed."""
        held = self.model_dump(
            mode="json", exclude_defaults=True, include={"data", "model", "recipe", "evaluation"}
        )
        return digest({"schema": SCHEMA_VERSION, **held})


@cache
def _run_id(spec_json: str) -> str:
    # Cached, because a plan asks for the id of each run many times.
    return digest({"schema": SCHEMA_VERSION, **json.loads(spec_json)})


def digest(value: Any) -> str:
    """Twelve hexadecimal digits of a JSON-shaped value, independent of key order."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


M = TypeVar("M", bound=BaseModel)


def parse(model: type[M], data: Any, *, where: str) -> M:
    """Return ``data`` as a ``model``; raises SpecError naming ``where``, the key and the value."""
    try:
        # JSON mode, because TOML and JSON both write tuples as lists.
        return model.model_validate_json(to_json(data))
    except ValidationError as error:
        # A misspelt key is also a missing one; the misspelling says more.
        first = min(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
        raise SpecError(f"{where}: {_explain(first, model)}") from None


def _explain(error: Any, model: type[BaseModel]) -> str:
    location = [str(part) for part in error["loc"]]
    key = ".".join(location)
    if error["type"] == "extra_forbidden":
        known = _fields_at(model, error["loc"][:-1])
        place = f"{'.'.join(location[:-1])}: " if location[:-1] else ""
        return place + unknown("key", location[-1], known)
    if error["type"] == "missing":
        return f"{key} is missing"
    value = error["input"]
    shown = f", got {value!r}" if not isinstance(value, (dict, list)) else ""
    message = error["msg"].removeprefix("Value error, ")
    said = f"{message[:1].lower()}{message[1:]}{shown}"
    return f"{key}: {said}" if key else said


def _fields_at(model: Any, location: tuple[Any, ...]) -> list[str]:
    """Names of the fields that the record at ``location`` inside ``model`` may have."""
    for part in location:
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            continue  # a key of a mapping or an index: the record's type stays
        model = _record_in(field.annotation) or model
    return list(getattr(model, "model_fields", {}))


def _record_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if found := _record_in(argument):
            return found
    return None

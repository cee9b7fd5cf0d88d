"""ModelSpec: everything that decides the network of a run; the names of heads."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from bench.errors import hint
from bench.files import Positive, Strict

DEEPLAB_HEADS = ("deeplabv3", "deeplabv3plus")
SMP = "smp:"
"""Beginning of the name of a head of segmentation_models_pytorch."""
SMP_MODULE = "segmentation_models_pytorch"
SMP_HEADS = (
    "DPT", "DeepLabV3", "DeepLabV3Plus", "FPN", "Linknet", "MAnet", "PAN", "PSPNet", "Segformer",
    "UPerNet", "Unet", "UnetPlusPlus",
)  # fmt: skip
HEADS = (*DEEPLAB_HEADS, *(SMP + name for name in SMP_HEADS))
IMPORT_PATH = re.compile(r"(?!smp:)[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class ModelSpec(Strict):
    """A head over a timm backbone, or a network by import path."""

    backbone: str = ""
    """timm's name, or one of an encoder of segmentation_models_pytorch for a head of it."""
    head: str = "deeplabv3plus"
    """One of HEADS; or "package.module:function", which returns a whole network."""
    package: str | None = None
    """Distribution and version that the head is from; set when a study is planned."""
    pretrained: bool = True
    """Start from ImageNet weights."""
    weights: str | None = None
    """First 12 digits of the SHA-256 of their file; None: timm's weights by name."""
    output_stride: Literal[8, 16, 32] = 16
    dilated: bool = True
    """Dilate the stages past the output stride; the paper's published code does not."""
    head_channels: Positive = 256
    atrous_rates: tuple[Positive, Positive, Positive] = (6, 12, 18)
    separable: bool = False
    """Depthwise separable convolutions in the head (as DeepLabv3+ on mobile backbones)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    decoder_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout before DeepLabv3+'s classifier; DeepLabv3 has no decoder."""
    head_init: Literal["kaiming_uniform", "kaiming_normal"] = "kaiming_uniform"
    """torch's default (a = √5, random biases), or He et al. 2015 (gain √2, biases 0)."""
    align_corners: bool = False
    """Whether bilinear upsampling aligns the centres of corner pixels, not the image's corners."""
    batch_norm_momentum: Annotated[float, Field(gt=0, le=1)] = 0.1
    batch_norm_eps: Annotated[float, Field(gt=0)] | None = None
    """None: the backbone's own value, and 1e-5 in the head."""

    @property
    def is_deeplab(self) -> bool:
        """Whether the head is one of this project."""
        return self.head in DEEPLAB_HEADS

    @property
    def is_imported(self) -> bool:
        """Whether the head is the import path of a whole network."""
        return self.head not in HEADS

    @property
    def module(self) -> str:
        """Name of the module of another package that the network is from."""
        return self.head.partition(":")[0] if self.is_imported else SMP_MODULE

    @property
    def reads_weights(self) -> bool:
        """Whether the backbone starts from weights that the bench places."""
        return self.pretrained and not self.is_imported

    @property
    def unused(self) -> frozenset[str]:
        """Names of the fields that a network with this head does not read."""
        if self.is_deeplab:
            return frozenset({"package"})
        fields = list(ModelSpec.model_fields)
        of_deeplab = fields[fields.index("output_stride") :]
        return frozenset([*of_deeplab, *(("backbone", "weights") if self.is_imported else ())])

    @field_validator("backbone")
    @classmethod
    def _is_timms_name(cls, backbone: str) -> str:
        return backbone.removeprefix("tu-")  # segmentation_models_pytorch marks timm's names so

    @field_validator("head")
    @classmethod
    def _is_known(cls, head: str) -> str:
        if head not in HEADS and not IMPORT_PATH.fullmatch(head):
            raise ValueError(
                f"no head and no import path package.module:function; {hint(head, HEADS)}"
            )
        return head

    @model_validator(mode="after")
    def _fields_are_used(self) -> ModelSpec:
        if not self.backbone and not self.is_imported:
            raise ValueError(f"backbone is missing; head = {self.head!r} needs one")
        for name, field in ModelSpec.model_fields.items():
            if name in self.unused and getattr(self, name) != field.default:
                raise ValueError(f"head = {self.head!r} does not read {name}; remove it")
        return self

    @field_validator("weights")
    @classmethod
    def _is_a_digest(cls, weights: str | None) -> str | None:
        if weights is not None and not re.fullmatch("[0-9a-f]{12}", weights):
            raise ValueError("must be the first 12 hexadecimal digits of the file's SHA-256")
        return weights

    @model_validator(mode="after")
    def _weights_are_used(self) -> ModelSpec:
        if self.weights is not None and not self.pretrained:
            raise ValueError("weights names a file, but pretrained = false does not read it")
        return self


def in_backbone(parameter: str) -> bool:
    """Return whether a network's parameter of this name is of its backbone, or else of its head.

    In a network by import path, "network.", the backbone may be called encoder.
    """
    return parameter.removeprefix("network.").startswith(("backbone.", "encoder."))

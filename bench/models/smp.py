"""Heads of segmentation_models_pytorch over timm's backbones and the encoders of its own."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from bench.errors import SpecError, format_error, unknown
from bench.model_spec import SMP, ModelSpec
from bench.models.deeplab import SegmentationModel
from bench.models.pretrained import load_backbone
from bench.models.stages import any_size

DPT = f"{SMP}DPT"


class SmpHead(nn.Module):
    """Decoder and classifier of a network of segmentation_models_pytorch."""

    def __init__(self, decoder: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder
        self.classifier = classifier

    def forward(self, features: list[Tensor] | tuple[list[Tensor], ...]) -> Tensor:
        """Return logits; DPT's encoder gives its class tokens beside the feature maps."""
        inputs = features if isinstance(features, tuple) else (features,)
        return self.classifier(self.decoder(*inputs))


def build_smp(
    spec: ModelSpec, num_classes: int, *, seed: int, weights: Path | None
) -> SegmentationModel:
    """Return the network with weights drawn from ``seed``, and the backbone's from a file.

    Raises:
        SpecError: head and backbone do not fit together, or the file is of another backbone.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _create(spec, num_classes)
    if weights is not None:
        load_backbone(network.encoder.model, spec.backbone, weights)
    return SegmentationModel(
        network.encoder,
        SmpHead(network.decoder, network.segmentation_head),
        align_corners=False,
        multiple=_multiple(network, spec.head),
    )


def _multiple(network: Any, head: str) -> int:
    """Return of what the network needs multiples as height and width."""
    if not network.requires_divisible_input_shape:
        return 1
    stride = network.encoder.output_stride
    return 2 * stride if head == DPT else stride  # DPT's deepest map has half the size of the ViT's


def encoder_name(backbone: str) -> str:
    """Return the name of a backbone in segmentation_models_pytorch; raises SpecError."""
    import segmentation_models_pytorch as smp

    if timm.is_model(backbone):
        return f"tu-{backbone}"
    # Its encoders called "timm-" are deprecated copies of timm's.
    own = [name for name in smp.encoders.get_encoder_names() if not name.startswith("timm-")]
    if backbone not in own:
        raise SpecError(unknown("model.backbone", backbone, [*timm.list_models(), *own]))
    return backbone


def _create(spec: ModelSpec, num_classes: int) -> Any:
    import segmentation_models_pytorch as smp

    name = encoder_name(spec.backbone)
    options = dict(any_size(spec.backbone)) if name.startswith("tu-") else {}
    if spec.head == DPT:
        options["num_classes"] = 0  # no classifier of whole images
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # DPT's, of a backbone without class token
            network: Any = smp.create_model(
                spec.head.removeprefix(SMP),
                encoder_name=name,
                encoder_weights=None,
                classes=num_classes,
                **options,
            )
    except Exception as error:  # it and timm raise whatever they do
        raise SpecError(
            f"model.head = {spec.head!r} does not take model.backbone = {spec.backbone!r}: "
            f"{format_error(error)}; take another of the two (smp:DPT is the head for ViTs)"
        ) from error
    if spec.head == DPT:
        # Parameters without a gradient would stop a training on several GPUs.
        network.encoder.model.prune_intermediate_layers(
            network.encoder._output_indices, prune_norm=True
        )
    return network

"""DeepLabv3 and DeepLabv3+ heads over timm feature backbones.

Sources: Chen et al. 2017, "Rethinking atrous convolution" (DeepLabv3); Chen et al. 2018,
"Encoder-decoder with atrous separable convolution" (DeepLabv3+).
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.errors import SpecError, unknown
from bench.models.pretrained import load_backbone
from bench.spec import ModelSpec

# Width of the decoder's skip branch, as in DeepLabv3+ (section 4.1).
SKIP_CHANNELS = 48


class SegmentationModel(nn.Module):
    """Logits [b, num_classes, h, w] for images [b, 3, h, w] of any size.

    Args:
        backbone: returns the features of images.
        head: returns logits of features.
        align_corners: of the upsampling.
        multiple: of which the backbone needs height and width; images are padded below and on the
            right with the mean colour, and the logits cropped.
    """

    def __init__(
        self, backbone: nn.Module, head: nn.Module, *, align_corners: bool, multiple: int = 1
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.align_corners = align_corners
        self.multiple = multiple

    def forward(self, images: Tensor) -> Tensor:
        """Upsample the head's logits bilinearly to the size of the images."""
        height, width = images.shape[-2:]
        right, below = -width % self.multiple, -height % self.multiple
        if right or below:
            images = F.pad(images, (0, right, 0, below))
        logits = self.head(self.backbone(images)).float()  # under autocast they are bfloat16
        logits = upsample(logits, images, align_corners=self.align_corners)
        return logits[..., :height, :width] if right or below else logits


class ASPP(nn.Module):
    """Atrous spatial pyramid: 1x1, three atrous 3x3 and image pooling, projected to one map."""

    def __init__(self, channels: int, spec: ModelSpec) -> None:
        super().__init__()
        width = spec.head_channels
        self.branches = nn.ModuleList(
            [
                conv_bn_relu(channels, width, 1),
                *(
                    conv_bn_relu(channels, width, 3, dilation=rate, separable=spec.separable)
                    for rate in spec.atrous_rates
                ),
            ]
        )
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_bn_relu(channels, width, 1))
        self.project = nn.Sequential(conv_bn_relu(5 * width, width, 1), nn.Dropout(spec.dropout))

    def forward(self, features: Tensor) -> Tensor:
        """Return [b, head_channels, h, w] for features [b, channels, h, w]."""
        pooled = self.pool(features).expand(-1, -1, *features.shape[-2:])
        return self.project(torch.cat([*(branch(features) for branch in self.branches), pooled], 1))


class DeepLabV3Head(nn.Module):
    """ASPP on the deepest features, then a 1x1 classifier."""

    def __init__(self, channels: list[int], num_classes: int, spec: ModelSpec) -> None:
        super().__init__()
        self.aspp = ASPP(channels[-1], spec)
        self.classifier = nn.Conv2d(spec.head_channels, num_classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return logits at the output stride."""
        return self.classifier(self.aspp(features[-1]))


class DeepLabV3PlusHead(nn.Module):
    """ASPP, then a decoder that joins the features of stride 4."""

    def __init__(self, channels: list[int], num_classes: int, spec: ModelSpec) -> None:
        super().__init__()
        width = spec.head_channels
        self.aspp = ASPP(channels[-1], spec)
        self.skip = conv_bn_relu(channels[0], SKIP_CHANNELS, 1)
        self.decoder = nn.Sequential(
            conv_bn_relu(width + SKIP_CHANNELS, width, 3, separable=spec.separable),
            conv_bn_relu(width, width, 3, separable=spec.separable),
        )
        self.dropout = nn.Dropout(spec.decoder_dropout)
        self.classifier = nn.Conv2d(width, num_classes, 1)
        self.align_corners = spec.align_corners

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return logits at stride 4."""
        skip = self.skip(features[0])
        deep = upsample(self.aspp(features[-1]), skip, align_corners=self.align_corners)
        return self.classifier(self.dropout(self.decoder(torch.cat([deep, skip], 1))))


HEADS = {"deeplabv3": DeepLabV3Head, "deeplabv3plus": DeepLabV3PlusHead}


def upsample(maps: Tensor, like: Tensor, *, align_corners: bool) -> Tensor:
    """Return ``maps`` [b, c, h, w] resized bilinearly to the height and width of ``like``."""
    if maps.shape[-2:] == like.shape[-2:]:
        return maps
    return F.interpolate(maps, size=like.shape[-2:], mode="bilinear", align_corners=align_corners)


def conv_bn_relu(
    inputs: int, outputs: int, kernel: int, *, dilation: int = 1, separable: bool = False
) -> nn.Sequential:
    """Return convolution (same size), batch norm, ReLU; ``separable``: depthwise, then 1x1."""
    padding = dilation * (kernel // 2)
    if not separable:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )
    depthwise = nn.Conv2d(
        inputs, inputs, kernel, padding=padding, dilation=dilation, groups=inputs, bias=False
    )
    return nn.Sequential(
        depthwise, nn.BatchNorm2d(inputs), nn.ReLU(inplace=True), *conv_bn_relu(inputs, outputs, 1)
    )


def check_model(spec: ModelSpec) -> None:
    """Check the names of a network.

    Raises:
        SpecError: a name is unknown, or the backbone has no features at the output stride.
        InstallError: the package of the network is not installed.
    """
    if not spec.is_deeplab:
        from bench.models.foreign import check_foreign

        check_foreign(spec)
    elif not timm.is_model(spec.backbone):
        raise SpecError(unknown("model.backbone", spec.backbone, timm.list_models()))
    elif fault := _tried(spec.backbone, spec.output_stride, spec.dilated)[0]:
        raise SpecError(
            f"model.backbone = {spec.backbone!r} gives no feature maps of stride 4 to "
            f"{spec.output_stride}: {fault}"
        )


def takes_any_size(spec: ModelSpec) -> bool:
    """Return whether the network is known to take images of any size, as convolutions do."""
    return spec.is_deeplab and _tried(spec.backbone, spec.output_stride, spec.dilated)[1] == 1


@cache
def _tried(backbone: str, output_stride: int, dilated: bool) -> tuple[str | None, int]:
    """Return why the backbone cannot be built, if so, and of what it needs multiples as size."""
    try:
        with torch.device("meta"):
            return None, _multiple(_backbone(backbone, output_stride, dilated))
    except Exception as error:  # timm raises whatever its model does
        return str(error) or type(error).__name__, 1


def _multiple(backbone: nn.Module) -> int:
    return getattr(backbone, "multiple", 1)  # bench.models.stages sets it


def _backbone(name: str, output_stride: int, dilated: bool) -> nn.Module:
    """Return the feature extractor from stride 4 on, for the decoder and ASPP."""
    network = _features(name, output_stride)
    if not dilated:
        with torch.device("meta"):
            plain = _features(name, output_stride=32)
        convolutions, undilated = _convolutions(network), _convolutions(plain)
        if list(convolutions) != list(undilated):
            raise SpecError(
                "dilated = false is not supported: its undilated variant has different layers"
            )
        for layer, like in zip(convolutions.values(), undilated.values(), strict=True):
            layer.dilation, layer.padding = like.dilation, like.padding
    return network


def _convolutions(network: nn.Module) -> dict[str, nn.Conv2d]:
    return {k: layer for k, layer in network.named_modules() if isinstance(layer, nn.Conv2d)}


def _features(name: str, output_stride: int) -> nn.Module:
    random_state = torch.get_rng_state()
    if not name.startswith("hrnet"):  # its branches fit together at some sizes only
        # Of a backbone without five stages or without dilation.
        with suppress(AssertionError, IndexError, TypeError):
            return timm.create_model(
                name, features_only=True, out_indices=(1, 2, 3, 4), output_stride=output_stride
            )
        torch.set_rng_state(random_state)
    from bench.models.stages import four_stages

    return four_stages(name, output_stride)


def build_model(
    spec: ModelSpec, num_classes: int, *, seed: int, weights: Path | None = None
) -> nn.Module:
    """Return the model with weights drawn from ``seed`` alone.

    Args:
        spec: backbone, head and their options; or a network of another package.
        num_classes: channels of the logits.
        seed: of the random weights.
        weights: file of the backbone's ImageNet weights; None keeps the random ones.

    Raises:
        SpecError: the file does not hold the weights of this backbone, or the function of another
            package returns no network.
        InstallError: the package of the network is not installed.
    """
    if not spec.is_deeplab:
        from bench.models.foreign import build_foreign

        return build_foreign(spec, num_classes, seed=seed, weights=weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = _backbone(spec.backbone, spec.output_stride, spec.dilated)
        channels = backbone.feature_info.channels()  # pyright: ignore (timm is not typed)
        head = HEADS[spec.head](channels, num_classes, spec)
        if spec.head_init == "kaiming_normal":
            _initialise(head)
    if weights is not None:
        load_backbone(backbone, spec.backbone, weights)
    model = SegmentationModel(
        backbone, head, align_corners=spec.align_corners, multiple=_multiple(backbone)
    )
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = spec.batch_norm_momentum
            module.eps = spec.batch_norm_eps or module.eps
    return model


def _initialise(head: nn.Module) -> None:
    for module in head.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)

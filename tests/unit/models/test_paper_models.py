"""ResNet-101 as in the paper: parameters counted by hand, strides, dilations, upsampling."""

from itertools import pairwise

import pytest
import torch
from one_step import step_and_image
from torch import nn
from torch.nn import functional as F

from bench.errors import SpecError
from bench.models.deeplab import build_model, check_model, upsample
from bench.spec import ModelSpec

BLOCKS = (3, 4, 23, 3)
PAPER = ModelSpec(
    backbone="resnet101s",
    head="deeplabv3",
    pretrained=False,
    dilated=False,
    align_corners=True,
    batch_norm_momentum=0.05,
    decoder_dropout=0.1,
    head_init="kaiming_normal",
)


def conv_bn(inputs, outputs, kernel):
    """Weights of a convolution without bias, and scale and shift of its batch norm."""
    return inputs * outputs * kernel**2 + 2 * outputs


def resnet101(stem):
    """Parameters of ResNet-101's body by He et al. 2016, table 1, after a stem of 3x3 layers."""
    count = sum(conv_bn(inputs, outputs, 3) for inputs, outputs in pairwise((3, *stem)))
    channels = stem[-1]
    for stage, blocks in enumerate(BLOCKS):
        width = 64 * 2**stage
        count += conv_bn(channels, 4 * width, 1)  # the projection of the first block
        for _ in range(blocks):
            count += conv_bn(channels, width, 1) + conv_bn(width, width, 3)
            count += conv_bn(width, 4 * width, 1)
            channels = 4 * width
    return count


ASPP = 2 * conv_bn(2048, 256, 1) + 3 * conv_bn(2048, 256, 3) + conv_bn(5 * 256, 256, 1)
DECODER = conv_bn(256, 48, 1) + conv_bn(256 + 48, 256, 3) + conv_bn(256, 256, 3)


def on_meta(**changes):
    with torch.device("meta"):
        return build_model(PAPER.model_copy(update=changes), 21, seed=0)


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("backbone", "stem"), [("resnet101s", (64, 64, 128)), ("resnet101c", (32, 32, 64))]
)
@pytest.mark.parametrize(("head", "decoder"), [("deeplabv3", 0), ("deeplabv3plus", DECODER)])
def test_parameters_are_those_counted_by_hand(backbone, stem, head, decoder):
    """The authors' stem is 64, 64, 128 wide (their PyTorch-Encoding ResNet): timm's resnet101s."""
    model = on_meta(backbone=backbone, head=head)
    assert parameters(model.backbone) == resnet101(stem)
    assert parameters(model.head) == ASPP + decoder + 256 * 21 + 21


def test_the_count_by_hand_is_that_of_the_literature():
    """ResNet-101 has 44,549,160 parameters with a 7x7 stem and 1000 classes (torchvision)."""
    plain = resnet101((32, 32, 64)) - sum(conv_bn(*io, 3) for io in ((3, 32), (32, 32), (32, 64)))
    assert plain + conv_bn(3, 64, 7) + 2048 * 1000 + 1000 == 44_549_160


@pytest.mark.parametrize("dilated", [True, False])
@pytest.mark.parametrize(("crop", "deepest"), [(513, 33), (479, 30), (481, 31)])
def test_feature_sizes_of_the_papers_crops(dilated, crop, deepest):
    """Output stride 16 with and without dilation: 513 becomes 33; the skip has stride 4."""
    model = on_meta(dilated=dilated)
    features = model.backbone(torch.zeros(1, 3, crop, crop, device="meta"))
    assert features[-1].shape[1:] == (2048, deepest, deepest)
    assert features[0].shape[1:] == (256, -(-crop // 4), -(-crop // 4))


def open_branches(network):
    """Residual branches begin with scale 0, which would hide what their kernels see."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)


def dilations(model, kernel=(3, 3)):
    found = {}
    for name, module in model.backbone.named_modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == kernel:
            assert module.padding == module.dilation, name
            found.setdefault(name.partition(".")[0], set()).add(module.dilation[0])
    return found


@pytest.mark.parametrize(
    ("stride", "dilated", "layer3", "layer4"),
    [
        (16, False, {1}, {1}),
        (16, True, {1}, {1, 2}),
        (8, False, {1}, {1}),
        (8, True, {1, 2}, {2, 4}),
    ],
)
def test_dilations_per_stage(stride, dilated, layer3, layer4):
    """As torchvision, timm dilates the first block of a stage like the stage before it."""
    found = dilations(on_meta(output_stride=stride, dilated=dilated))
    assert found == {"conv1": {1}, "layer1": {1}, "layer2": {1}, "layer3": layer3, "layer4": layer4}


@pytest.mark.parametrize(("dilated", "side"), [(False, 7), (True, 11)])
def test_receptive_field_of_the_last_stage(dilated, side):
    """Three 3x3 see 7 positions across; with dilations 1, 2, 2 they see 1 + 2 (1 + 2 + 2) = 11."""
    model = build_model(PAPER.model_copy(update={"dilated": dilated}), 2, seed=0).backbone.eval()
    layer4 = model.get_submodule("layer4")
    features = torch.rand(1, 1024, 15, 15, requires_grad=True)
    open_branches(layer4)
    layer4(features)[0, :, 7, 7].sum().backward()
    assert features.grad is not None
    seen = features.grad.abs().sum((0, 1)).nonzero()
    assert (seen.max(0).values - seen.min(0).values + 1).tolist() == [side, side]


def test_without_dilation_the_weights_are_the_same():
    """One seed, two networks, one set of parameters; only what the last stage looks at differs."""
    tiny = PAPER.model_copy(update={"backbone": "test_resnet", "head_channels": 8})
    models = [
        build_model(tiny.model_copy(update={"dilated": dilated}), 3, seed=5).eval()
        for dilated in (True, False)
    ]
    first, second = (model.state_dict() for model in models)
    assert list(first) == list(second)
    assert all(torch.equal(first[key], second[key]) for key in first)
    image = torch.rand(1, 3, 65, 65)
    for model in models:
        open_branches(model)
    stages = zip(*(model.backbone(image) for model in models), strict=True)
    assert [torch.equal(*maps) for maps in stages] == [True, True, True, False]


@pytest.mark.parametrize("backbone", ["gernet_m", "dla34"])
def test_a_backbone_that_cannot_be_had_so_is_refused(backbone):
    """Its layers depend on the dilation, or timm cannot dilate it."""
    faults = "undilated variant has different layers|cannot be dilated; write model.output_stride"
    with pytest.raises(SpecError, match=f"{backbone}.*({faults})"):
        check_model(PAPER.model_copy(update={"backbone": backbone}))


def test_align_corners_maps_pixel_centres_of_33_on_every_16th_of_513():
    """As the published code upsamples: what the network says of a position stays where it was."""
    coarse = torch.rand(1, 2, 33, 33)
    fine = upsample(coarse, torch.zeros(1, 3, 513, 513), align_corners=True)
    torch.testing.assert_close(fine[..., ::16, ::16], coarse)
    model = build_model(
        PAPER.model_copy(update={"backbone": "test_resnet", "head_channels": 8}), 2, seed=0
    ).eval()
    image = torch.rand(1, 3, 65, 65)
    logits = model.head(model.backbone(image))
    wanted = F.interpolate(logits, size=(65, 65), mode="bilinear", align_corners=True)
    assert torch.equal(model(image), wanted)


def test_batch_norms_of_backbone_and_head_share_momentum_and_eps():
    """None leaves each network its own eps: EfficientNet-Lite0 in TensorFlow's form has 1e-3."""
    given = build_model(
        PAPER.model_copy(update={"backbone": "test_resnet", "batch_norm_eps": 1e-4}), 2, seed=0
    )
    norms = [m for m in given.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(norm.momentum, norm.eps) for norm in norms} == {(0.05, 1e-4)}
    own = on_meta(backbone="tf_efficientnet_lite0", dilated=True)
    norms = [m for m in own.backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(norm.momentum, norm.eps) for norm in norms} == {(0.05, 1e-3)}


def test_kaiming_normal_heads_have_its_spread_and_no_biases():
    """He et al. 2015: standard deviation √(2 / fan-in); the backbone's draw is untouched."""
    wide = PAPER.model_copy(update={"backbone": "test_resnet", "head": "deeplabv3plus"})
    models = [
        build_model(wide.model_copy(update={"head_init": init}), 21, seed=0)
        for init in ("kaiming_normal", "kaiming_uniform")
    ]
    for conv in (m for m in models[0].head.modules() if isinstance(m, nn.Conv2d)):
        fan_in = conv.weight[0].numel()
        assert conv.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.05)
        assert conv.bias is None or not conv.bias.any()
    first, second = (model.backbone.state_dict() for model in models)
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_dropout_before_the_last_classifier():
    """The published decoder drops a tenth there as well."""
    model = on_meta(head="deeplabv3plus")
    assert model.head.dropout.p == 0.1
    assert model.head.aspp.project[1].p == 0.1


@pytest.mark.parametrize(
    ("backbone", "head", "crop"),
    [
        pytest.param("resnet101s", "deeplabv3", 479, marks=pytest.mark.long),
        ("resnet101c", "deeplabv3plus", 65),
    ],
)
def test_one_step_and_one_image(backbone, head, crop):
    """CamVid's crop at full size; tests/perf/paper_models.py runs all of them so."""
    model = build_model(PAPER.model_copy(update={"backbone": backbone, "head": head}), 12, seed=0)
    step_and_image(model, crop, (360, 480) if crop > 65 else (49, 65), 12)

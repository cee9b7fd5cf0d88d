"""Titles follow from the settings: they name the network that was trained, by its true name."""

import pytest
import timm

from bench import model_spec
from bench.profile import Profile, load_profile
from bench.spec import DataSpec, EvaluationSpec, ModelSpec
from bench.titles import BACKBONES, HEADS, backbone_name, contradiction, network_name

CPU = load_profile("camvid-cpu")


@pytest.mark.parametrize(
    ("profile", "scale"),
    [
        (
            "camvid-cpu",
            "CamVid test, EfficientNet-Lite0 DeepLabv3+ at 240 x 320, 800 steps of batch 4",
        ),
        (
            "camvid-smoke",
            "CamVid (trained on 60 images of train + val, scored on 24 images of test), "
            "EfficientNet-Lite0 DeepLabv3+ at 180 x 240, 90 steps of batch 4",
        ),
        (
            "voc-paper@3000",
            "PASCAL VOC 2012 val, ResNet-101-S DeepLabv3, shortened to 3,000 of 30,000 steps of "
            "batch 16 on crops of 513 x 513",
        ),
        (
            "scenes-demo",
            "Synthetic street scenes (trained on 240 images of train, scored on 60 images of "
            "test), EfficientNet-Lite0 DeepLabv3+, 200 steps of batch 4 on crops of 96 x 96",
        ),
    ],
)
def test_a_shipped_profile_is_described_by_its_settings(profile, scale):
    assert load_profile(profile).scale == scale


def test_a_copied_profile_with_other_settings_has_a_true_title():
    """Backbone, head, size, split, steps, batch and scoring, under words of one's own."""
    changed = CPU.model_dump() | {
        "title": "Film",
        "data": DataSpec(name="camvid", train=("train",), evaluate="val", image_size=(90, 120)),
        "model": ModelSpec(backbone="mobilenetv3_large_100.ra_in1k", head="deeplabv3"),
        "recipe": CPU.recipe.model_copy(update={"steps": 1200, "batch_size": 6}),
        "evaluation": EvaluationSpec(flip=True),
    }
    assert Profile(**changed).scale == (
        "Film val, MobileNetV3-Large DeepLabv3 at 90 x 120, 1,200 steps of batch 6, "
        "scored with flip"
    )


def test_a_recipe_that_is_not_sgd_and_poly_is_in_the_title():
    other = {"optimizer": "adamw", "schedule": "cosine", "clip_norm": 1.0, "ema_decay": 0.999}
    recipe = CPU.recipe.model_copy(update=other)
    assert CPU.model_copy(update={"recipe": recipe}).scale.endswith(
        "800 steps of batch 4 with AdamW, cosine schedule, gradients clipped to norm 1, EMA 0.999 "
        "of the weights"
    )


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("Film", "Film test"),
        ("Film, two cameras", "Film, two cameras test"),
        ("CamVid test", "CamVid test"),
        ("CamVid test, EfficientNet-Lite0 DeepLabv3+ at 240 x 320", "CamVid test"),
        ("CamVid test, ResNet-101 DeepLabv3 at 360 x 480", "CamVid test"),
        ("Mobilenet", "CamVid test"),
        (None, "CamVid test"),
    ],
)
def test_a_title_gives_the_words_for_the_data_alone(title, words):
    """Titles of older profiles name the network too; that part is left out."""
    scale = CPU.model_copy(update={"title": title}).scale
    assert scale.startswith(f"{words}, EfficientNet-Lite0 DeepLabv3+ at 240 x 320, 800 steps")


def test_drawn_images_are_called_synthetic_whatever_the_title_says():
    demo = load_profile("scenes-demo")
    for title in ("Streets", "Drawn", None):
        assert "synthetic" in demo.model_copy(update={"title": title}).scale.lower()
    kept = demo.model_copy(update={"title": "Streets (synthetic)"}).scale
    assert kept.startswith("Streets (synthetic) (trained on")


def test_a_schedule_that_is_shortened_twice_names_the_whole_one():
    assert "shortened to 8 of 800 steps" in CPU.shortened(80).shortened(8).for_tuning().scale


def test_no_backbone_has_a_name_that_belongs_to_another():
    """Different architectures have different names; timm's tf_ weights are the one exception."""
    names: dict[str, str] = {}
    for model in timm.list_models():
        other = names.setdefault(backbone_name(model), model)
        assert other.removeprefix("tf_") == model.removeprefix("tf_")
    assert len(names) > 1000


def test_every_pattern_names_a_backbone_of_timm():
    """A pattern that nothing matches is a mistake."""
    models = timm.list_models()
    prefixes = {name.partition("{")[0] for name in BACKBONES.values()}
    assert prefixes == {
        prefix for prefix in prefixes if any(backbone_name(m).startswith(prefix) for m in models)
    }


@pytest.mark.parametrize(
    ("backbone", "name"),
    [
        ("resnet50.a1_in1k", "ResNet-50"),
        ("wide_resnet50_2", "Wide ResNet-50-2"),
        ("resnext50_32x4d", "ResNeXt-50 32x4d"),
        ("tf_efficientnetv2_b0", "EfficientNetV2-B0"),
        ("convnextv2_atto", "ConvNeXtV2-Atto"),
        ("vgg16_bn", "VGG-16-BN"),
        ("swin_tiny_patch4_window7_224.ms_in1k", "Swin-Tiny"),
        ("vit_small_patch16_224", "ViT-Small/16"),
        ("resnet50_gn", "resnet50_gn"),
        ("efficientnet_b3_pruned", "efficientnet_b3_pruned"),
        ("mobilenetv3_large_075", "mobilenetv3_large_075"),
    ],
)
def test_a_variant_without_a_name_keeps_the_one_of_timm(backbone, name):
    assert backbone_name(backbone) == name


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"backbone": "convnextv2_atto", "head": "smp:UPerNet"}, "ConvNeXtV2-Atto UPerNet"),
        ({"backbone": "resnet18", "head": "smp:DeepLabV3Plus"}, "ResNet-18 DeepLabv3+ (smp)"),
        ({"head": "package.networks:my_net", "pretrained": False}, "my_net"),
    ],
)
def test_a_network_of_another_package_has_a_true_name(model, words):
    assert network_name(ModelSpec(**model)) == words


def test_every_head_has_a_name():
    assert HEADS.keys() == set(model_spec.HEADS)


@pytest.mark.parametrize(
    ("title", "network", "named"),
    [
        ("CamVid, UPerNet", {"backbone": "resnet18", "head": "smp:UPerNet"}, None),
        ("CamVid, U-Net", {"backbone": "resnet18", "head": "smp:UPerNet"}, "U-Net"),
        ("CamVid, UPerNet", {"backbone": "resnet18"}, "UPerNet"),
        ("CamVid, FCN ResNet-50", {"head": "torchvision:fcn_resnet50"}, None),
        ("CamVid, ResNet-101", {"head": "torchvision:fcn_resnet50"}, "ResNet-101"),
    ],
)
def test_a_title_is_compared_with_networks_of_other_packages(title, network, named):
    line = contradiction(title, ModelSpec(**network))
    assert (line and line.partition(", but")[0]) == (named and f"title names {named}")


@pytest.mark.parametrize(
    ("title", "named"),
    [
        ("CamVid, ResNet-101", "ResNet-101"),
        ("CamVid with ResNet50", "ResNet50"),
        ("CamVid (DeepLabv3)", "DeepLabv3"),
        ("MobileNet v3", "MobileNet v3"),
        ("EfficientNet-Lite", None),
        ("EfficientNet-Lite1", "EfficientNet-Lite1"),
        ("CamVid, EfficientNet-Lite0 DeepLab v3 plus", None),
        ("tf_efficientnet_lite0 DeepLabV3+", None),
        ("Exceptions of an EfficientNet backbone, DeepLab", None),
        (None, None),
    ],
)
def test_a_title_that_names_another_network_is_contradicted(title, named):
    line = contradiction(title, CPU.model)
    assert (line and line.partition(", but")[0]) == (named and f"title names {named}")


def test_a_longer_number_is_another_network():
    """ResNet-10 is not the beginning of ResNet-101."""
    deep = ModelSpec(backbone="resnet101s")
    assert contradiction("ResNet-10", deep)
    assert contradiction("ResNet-101", deep) is None

"""Words for the title over every table: which data, which network, which schedule.

They follow from the settings, so a copied profile with another backbone has a true title. Only the
data may have words of its own: the ``title`` of a profile.
"""

from __future__ import annotations

import re

from bench.data_spec import HELD_OUT, DataSpec
from bench.spec import ModelSpec, RecipeSpec, Size

DATA = {
    "camvid": "CamVid",
    "folder": "Own data",
    "huggingface": "Own data",
    "scenes": "Synthetic street scenes",
    "voc": "PASCAL VOC 2012",
}
DRAWN = ("scenes",)
"""Data sets of drawn images: the title says "synthetic" even if the profile's own words do not."""
HEADS = {
    "deeplabv3": "DeepLabv3",
    "deeplabv3plus": "DeepLabv3+",
    "smp:DPT": "DPT",
    "smp:DeepLabV3": "DeepLabv3 (smp)",
    "smp:DeepLabV3Plus": "DeepLabv3+ (smp)",
    "smp:FPN": "FPN",
    "smp:Linknet": "LinkNet",
    "smp:MAnet": "MA-Net",
    "smp:PAN": "PAN",
    "smp:PSPNet": "PSPNet",
    "smp:Segformer": "SegFormer",
    "smp:UPerNet": "UPerNet",
    "smp:Unet": "U-Net",
    "smp:UnetPlusPlus": "U-Net++",
}
"""Names in the literature; "(smp)" tells segmentation_models_pytorch's DeepLab from this one."""
BACKBONES = {
    r"resnet(\d+)": "ResNet-{}",
    r"resnet(\d+)([cdst])": "ResNet-{}-{}",
    r"wide_resnet(\d+)_2": "Wide ResNet-{}-2",
    r"resnext(\d+)_(\d+x\d+d)": "ResNeXt-{} {}",
    r"(?:tf_)?efficientnet_lite(\d)": "EfficientNet-Lite{}",
    r"(?:tf_)?efficientnet_(b\d)": "EfficientNet-{}",
    r"(?:tf_)?efficientnetv2_([sml]|xl|b\d)": "EfficientNetV2-{}",
    r"mobilenetv2_100": "MobileNetV2",
    r"(?:tf_)?mobilenetv3_(small|large)_100": "MobileNetV3-{}",
    r"convnext_(atto|femto|pico|nano|tiny|small|base|large)": "ConvNeXt-{}",
    r"convnextv2_(atto|femto|pico|nano|tiny|small|base|large|huge)": "ConvNeXtV2-{}",
    r"densenet(\d+)": "DenseNet-{}",
    r"hrnet_w(\d+)": "HRNet-W{}",
    r"swin_(tiny|small|base|large)_patch4_window7_224": "Swin-{}",
    r"swinv2_(tiny|small|base|large)_window8_256": "SwinV2-{}",
    r"vit_(tiny|small|base|large)_patch(\d+)_224": "ViT-{}/{}",
    r"vgg(\d+)": "VGG-{}",
    r"vgg(\d+)_(bn)": "VGG-{}-{}",
    r"xception(\d+)": "Xception-{}",
}
"""Names in the literature by timm's name; a variant that no pattern matches keeps timm's name."""
A_BACKBONE = re.compile(
    r"(?<![a-z])(?:wide[ _-]?)?"
    r"(?:resne[xs]?t|efficientnet|mobilenet|convnext|densenet|hrnet|swin|vgg|xception)"
    r"(?:[ _-]?v\d)?(?:[ _-]?(?:lite|b|w)?[ _-]?\d+)?",
    re.IGNORECASE,
)
A_HEAD = re.compile(
    r"(?<![a-z])(?:deeplab(?:[ _-]?v\d)?(?:[ _-]?plus|\+)?"
    r"|upernet|segformer|pspnet|linknet|u-?net(?![a-z])(?:\+\+)?)",
    re.IGNORECASE,
)


def backbone_name(backbone: str) -> str:
    """Return the name of a timm backbone in the literature, else timm's without its weights.

    >>> backbone_name("tf_efficientnet_lite0"), backbone_name("resnet101s.gluon_in1k")
    ('EfficientNet-Lite0', 'ResNet-101-S')
    """
    architecture = backbone.partition(".")[0]
    for pattern, name in BACKBONES.items():
        if found := re.fullmatch(pattern, architecture):
            parts = (p.upper() if len(p) < 3 else p.capitalize() for p in found.groups())
            return name.format(*parts)
    return architecture


def network_name(model: ModelSpec) -> str:
    """Return backbone and head in words; of an import path the function's name.

    >>> network_name(ModelSpec(backbone="convnextv2_atto", head="smp:UPerNet"))
    'ConvNeXtV2-Atto UPerNet'
    """
    if model.is_imported:
        return model.head.partition(":")[2]
    return f"{backbone_name(model.backbone)} {HEADS[model.head]}"


def data_words(title: str | None, data: DataSpec, *, tuning: bool = False) -> str:
    """Return the data in words, such as "CamVid test".

    Args:
        title: The profile's own words; a part between commas that names a network is left out.
        data: Splits, and how many images of them.
        tuning: Say that the training serves a tuning, and name the images that it is trained on.
    """
    parts = [part for part in (title or "").split(",") if not _networks(part)]
    words = ",".join(parts).strip() or DATA.get(data.name, data.name)
    if data.name in DRAWN and "synthetic" not in words.lower():
        words = f"Synthetic: {words}"
    if data.folds is not None:
        words = f"{words} in {data.folds} folds"
    if not tuning and data.train_images is None and data.evaluate_images is None:
        named = data.folds is not None or words.endswith(f" {data.evaluate}")
        return words if named else f"{words} {data.evaluate}"
    held = ", ".join(data.held_out)
    trained = " + ".join(data.train)
    if data.evaluate == HELD_OUT:
        trained += f" but {held or HELD_OUT}"
    trained = _images(data.train_images, trained)
    scored = _images(data.evaluate_images, held or data.evaluate)
    return f"{'Tuning for ' * tuning}{words} (trained on {trained}, scored on {scored})"


def training_words(
    model: ModelSpec, recipe: RecipeSpec, image_size: Size | None, whole_steps: int | None
) -> str:
    """Return network and schedule in words, with the size of the images or, without one, of crops.

    Args:
        model: Backbone and head.
        recipe: Steps, batch and crops.
        image_size: Size of an image in the network; None: its stored size.
        whole_steps: Steps of the schedule before it was shortened; None if it was not.
    """
    network = network_name(model)
    steps = f"{recipe.steps:,} steps of batch {recipe.batch_size}"
    if whole_steps is not None:
        steps = (
            f"shortened to {recipe.steps:,} of {whole_steps:,} steps of batch {recipe.batch_size}"
        )
    if recipe.description:
        steps = f"{steps} with {recipe.description}"
    if image_size is None:
        return "{}, {} on crops of {} x {}".format(network, steps, *recipe.crop_size)
    return "{} at {} x {}, {}".format(network, *image_size, steps)


def metric_name(key: str) -> str:
    """Return a metric's name as printed, such as "mIoU_11"."""
    return key.replace("miou", "mIoU")


def contradiction(title: str | None, model: ModelSpec) -> str | None:
    """Return the line that a profile's title names another network than its settings, or None.

    >>> contradiction("CamVid, ResNet50", ModelSpec(backbone="resnet18"))
    "title names ResNet50, but model.backbone = 'resnet18'; let the title name the data alone"
    """
    for kind, named in _networks(title or ""):
        if not _is_named(network_name(model), named):
            kind = "head" if model.is_imported else kind
            return (
                f"title names {named}, but model.{kind} = {getattr(model, kind)!r}; let the title "
                "name the data alone"
            )
    return None


def _networks(text: str) -> list[tuple[str, str]]:
    """Return the backbones and heads that a text names, each with its kind."""
    patterns = {"backbone": A_BACKBONE, "head": A_HEAD}
    return [(kind, name) for kind, found in patterns.items() for name in found.findall(text)]


def _is_named(own: str, named: str) -> bool:
    """Return whether ``named`` is ``own`` or its family: no further digit and no "+" follows."""
    own, named = (re.sub("[ _-]", "", name.lower()).replace("plus", "+") for name in (own, named))
    _, found, rest = own.partition(named)
    longer = rest[:1] == "+" or (named[-1].isdigit() and rest[:1].isdigit())
    return bool(found) and not longer


def _images(count: int | None, of: str) -> str:
    return of if count is None else f"{count} images of {of}"

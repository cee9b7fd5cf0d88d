"""Networks of other packages: each trains a step; what does not work is refused in one line."""

import pytest
import torch
from one_step import step_and_image

from bench.errors import InstallError, SpecError
from bench.files import parse
from bench.model_spec import SMP_HEADS, ModelSpec, in_backbone
from bench.models import foreign
from bench.models.deeplab import build_model, check_model
from bench.models.foreign import with_package
from bench.models.pretrained import find_weights
from bench.models.trial import check_multiplier, try_network
from bench.profile import load_profile
from bench.training.trainer import weights_digest

LRASPP = "torchvision.models.segmentation:lraspp_mobilenet_v3_large"


def network(head, backbone="", **changes):
    """The specification of a network with random weights."""
    return ModelSpec(head=head, backbone=backbone, pretrained=False, **changes)


def imported(function, **changes):
    return network(f"foreign_networks:{function}", **changes)


def tried(model, crop=(64, 64), image=None):
    check_model(model)
    return try_network(model, 5, crop, image)


@pytest.mark.parametrize(
    "model",
    [
        network("smp:UPerNet", "convnextv2_atto"),
        network("smp:Unet", "resnet18"),
        network("smp:Segformer", "mit_b0"),
        network("smp:DPT", "test_vit"),
        network(LRASPP),
        network("deeplabv3plus", "test_convnext", head_channels=16),
    ],
    ids=lambda model: f"{model.head} {model.backbone}",
)
def test_a_network_trains_a_step_and_scores_an_image_of_any_size(model):
    """Every weight gets a gradient; 45 x 77 is no multiple of any stride."""
    step_and_image(build_model(model, 5, seed=0), 64, (45, 77), 5)


@pytest.mark.parametrize(
    "model",
    [network("smp:FPN", "test_resnet"), imported("sound"), network("deeplabv3", "test_convnext")],
    ids=str,
)
def test_one_seed_gives_one_network_whatever_happened_before(model):
    first = weights_digest(build_model(model, 5, seed=7))
    torch.manual_seed(123)
    before = torch.get_rng_state()
    assert weights_digest(build_model(model, 5, seed=7)) == first
    assert torch.equal(before, torch.get_rng_state())
    assert weights_digest(build_model(model, 5, seed=8)) != first


def test_every_head_of_segmentation_models_pytorch_is_known():
    import segmentation_models_pytorch as smp

    known = {name.lower() for name in SMP_HEADS}
    assert known == set(smp.MODEL_ARCHITECTURES_MAPPING)
    assert all(hasattr(smp, name) for name in SMP_HEADS)


@pytest.mark.long
@pytest.mark.parametrize("head", SMP_HEADS)
def test_every_head_takes_a_crop(head):
    backbone = "test_vit" if head == "DPT" else "test_resnet"
    backbone_count, head_count = tried(network(f"smp:{head}", backbone), crop=(128, 160))
    assert backbone_count > 0
    assert head_count > 0


@pytest.mark.long
@pytest.mark.parametrize(
    ("head", "backbone", "stride"),
    [
        ("smp:UPerNet", "swin_tiny_patch4_window7_224", None),
        ("smp:UPerNet", "hrnet_w18_small", None),
        ("deeplabv3plus", "swin_tiny_patch4_window7_224", 32),
        ("deeplabv3plus", "hrnet_w18_small", 32),
        ("deeplabv3plus", "convnextv2_atto", 8),
    ],
)
def test_transformers_and_hrnet_take_crops_and_whole_images(head, backbone, stride):
    options = {} if stride is None else {"output_stride": stride}
    assert all(tried(network(head, backbone, **options), crop=(96, 128), image=(90, 125)))


def test_images_are_padded_and_logits_cropped():
    """The logits of an image are those of the image with a margin of the mean colour."""
    model = build_model(network("smp:UPerNet", "test_convnext"), 3, seed=0).eval()
    images = torch.randn(1, 3, 45, 60)
    wide = torch.zeros(1, 3, 64, 64)
    wide[..., :45, :60] = images
    with torch.no_grad():
        assert torch.equal(model(images), model(wide)[..., :45, :60])


@pytest.mark.parametrize("head", ["smp:UPerNet", "deeplabv3plus"])
def test_the_backbone_gets_every_weight_of_a_file(head, tmp_path):
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(5)
    whole = timm.create_model("test_convnext")
    save_file(whole.state_dict(), tmp_path / "weights.safetensors")
    spec = network(head, "test_convnext")
    model = build_model(spec, 3, seed=0, weights=tmp_path / "weights.safetensors")
    stored = {key.replace(".", "_", 1): value for key, value in whole.state_dict().items()}
    loaded = getattr(model.backbone, "model", model.backbone).state_dict()
    assert len(loaded) > 20
    assert all(torch.equal(value, stored[key]) for key, value in loaded.items())


def test_the_demos_weights_go_under_another_head(tmp_path):
    spec = ModelSpec(backbone="tf_efficientnet_lite0", head="smp:Unet")
    model = build_model(spec, 3, seed=0, weights=find_weights(tmp_path, spec))
    means = [b for n, b in model.backbone.named_buffers() if n.endswith("running_mean")]
    assert all(mean.abs().sum() > 0 for mean in means)


def test_weights_of_another_backbone_are_refused(tmp_path):
    import timm
    from safetensors.torch import save_file

    save_file(timm.create_model("test_resnet").state_dict(), tmp_path / "weights.safetensors")
    spec = network("smp:UPerNet", "test_convnext")
    with pytest.raises(SpecError, match="weights of another architecture than 'test_convnext'"):
        build_model(spec, 3, seed=0, weights=tmp_path / "weights.safetensors")


def test_a_dict_with_out_is_taken_and_a_small_map_upsampled():
    for function in ("in_a_dict", "sound", "first_argument"):
        model = build_model(imported(function), 5, seed=0)
        assert model(torch.zeros(2, 3, 40, 52)).shape == (2, 5, 40, 52)
    assert model.network.classifier.out_channels == 5


def test_the_function_is_told_whether_to_load_weights():
    assert build_model(imported("sound"), 5, seed=0).network.was_pretrained is False
    told = imported("sound").model_copy(update={"pretrained": True})
    assert build_model(told, 5, seed=0).network.was_pretrained is True
    with pytest.raises(SpecError, match=r"no argument pretrained, .*; write pretrained = false"):
        build_model(imported("a_list").model_copy(update={"pretrained": True}), 5, seed=0)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (imported("a_list"), r"returns a list; it must return logits \[batch, 5, height, width\]"),
        (imported("ListInScoring"), r"takes no images of 101 x 115: .* returns a list; it must"),
        (imported("other_dict"), r"returns a dict of logits; it must return logits"),
        (imported("other_channels"), r"returns a tensor \[2, 6, 32, 32\]; it must return"),
        (imported("pooled"), r"returns a tensor \[2, 5\]; it must return"),
        (imported("no_network"), r"returns a list, no torch.nn.Module"),
        (imported("raises"), r"cannot be built for 5 classes: KeyError: 'no such layer'"),
        (imported("NOT_CALLABLE"), r"NOT_CALLABLE' is a int; name a function"),
        (imported("missing"), r"foreign_networks has no 'missing'"),
        (imported("LargeImagesOnly"), r"crop_size = \[64, 64\]: .* takes no images .*too small"),
        (network("no_such_package.nets:build"), r"'no_such_package' is not installed"),
        (network("os:getpid"), r"os is part of Python"),
        (network("smp:UPerNet", "resnet17"), r"unknown model.backbone 'resnet17'; did you mean"),
        (network("smp:UPerNet", "test_vit"), r"does not take model.backbone = 'test_vit': .*DPT"),
        pytest.param(
            network("smp:FPN", "maxvit_tiny_tf_224"),
            r"takes no images of 64 x 64: .*divisible by",
            marks=pytest.mark.long,
        ),
        (network("deeplabv3", "test_vit", output_stride=32), r"strides 16, 16.*smp:DPT"),
        (network("deeplabv3", "hrnet_w18_small"), r"write model.output_stride = 32"),
    ],
    ids=lambda value: getattr(value, "head", None),
)
def test_a_network_that_does_not_work_is_refused_in_one_line(model, message):
    with pytest.raises(SpecError, match=message) as refused:
        tried(model)
    assert "\n" not in str(refused.value)


def test_a_network_that_looks_at_values_is_tried_on_values():
    assert tried(imported("LooksAtValues")) == (224, 45)


def test_crops_may_fit_where_whole_images_do_not():
    with pytest.raises(SpecError, match=r"takes no images of 100 x 100: .*set data.image_size to"):
        tried(imported("LargeImagesOnly"), crop=(128, 128), image=(100, 100))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"head": "smp:unet", "backbone": "resnet18"}, "model.head: .*did you mean 'smp:Unet'"),
        ({"head": "smp:FPN"}, "backbone is missing; head = 'smp:FPN' needs one"),
        ({"backbone": "resnet18", "head": "smp:FPN", "dropout": 0.2}, "does not read dropout"),
        ({"backbone": "resnet18", "head": LRASPP}, "does not read backbone; remove it"),
        ({"backbone": "resnet18", "package": "torch 1"}, "does not read package; remove it"),
    ],
)
def test_a_profile_that_contradicts_itself_is_refused(model, message):
    profile = load_profile("scenes-demo").model_dump(exclude_defaults=True)
    with pytest.raises(SpecError, match=message):
        parse(type(load_profile("scenes-demo")), {**profile, "model": model}, where="profile")


def test_timms_names_may_have_the_prefix_of_segmentation_models_pytorch():
    assert network("smp:Unet", "tu-resnet18") == network("smp:Unet", "resnet18")


def profile_with(model):
    return load_profile("scenes-demo").model_copy(update={"model": model})


def test_the_package_and_its_version_are_part_of_the_specification():
    profile = with_package(profile_with(network("smp:Unet", "resnet18")))
    assert profile.model.package == "segmentation-models-pytorch 0.6.0"
    assert with_package(profile) == profile
    assert with_package(profile_with(network(LRASPP))).model.package.startswith("torchvision ")
    settings = profile.settings()
    assert settings["model.package"] == profile.model.package
    assert "model.dropout" not in settings
    assert "model.package" not in load_profile("scenes-demo").settings()


def test_another_version_than_that_of_the_specification_is_refused():
    model = network("smp:Unet", "resnet18", package="segmentation-models-pytorch 0.5.0")
    with pytest.raises(
        SpecError, match=r"needs segmentation-models-pytorch 0.5.0, and .* 0.6.0 is"
    ):
        check_model(model)


def test_without_the_package_the_command_that_installs_it_is_named(monkeypatch):
    def missing(name):
        raise foreign.PackageNotFoundError(name)

    monkeypatch.setattr(foreign, "version", missing)
    with pytest.raises(InstallError, match=r'pip install "segloss-bench\[zoo\]"'):
        check_model(network("smp:Unet", "resnet18"))


def test_a_learning_rate_of_the_head_needs_a_backbone():
    model = imported("one_layer")
    parameters = tried(model)
    assert parameters == (0, 20)
    check_multiplier(model, parameters, 1.0)
    check_multiplier(imported("sound"), tried(imported("sound")), 2.0)
    with pytest.raises(SpecError, match=r"head_lr_multiplier = 2: .*set recipe.head_lr_mult.* = 1"):
        check_multiplier(model, parameters, 2.0)


def test_the_names_of_parameters_say_what_is_the_backbone():
    for model in (network("smp:FPN", "test_resnet"), imported("sound"), network(LRASPP)):
        names = [name for name, _ in build_model(model, 5, seed=0).named_parameters()]
        of_head = [name for name in names if not in_backbone(name)]
        assert 0 < len(of_head) < len(names)
        assert not any("encoder" in name or "backbone" in name for name in of_head)

"""Models: shapes, seeds, ImageNet weights, messages."""

import pytest
import torch

from bench.errors import SpecError
from bench.models.deeplab import build_model, check_model
from bench.models.pretrained import find_weights
from bench.spec import ModelSpec

TINY = ModelSpec(
    backbone="test_efficientnet", pretrained=False, head_channels=16, atrous_rates=(1, 2, 3)
)


@pytest.mark.parametrize("head", ["deeplabv3", "deeplabv3plus"])
@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("size", [(64, 64), (37, 53)])
def test_logits_have_the_size_of_the_image(head, separable, size):
    """Any size goes in; as large a map of class scores comes out."""
    model = build_model(TINY.model_copy(update={"head": head, "separable": separable}), 5, seed=0)
    logits = model.eval()(torch.zeros(2, 3, *size))
    assert logits.shape == (2, 5, *size)


def test_one_seed_gives_one_set_of_weights_whatever_happened_before():
    """The global generator has no say, and is left as it was."""
    first = build_model(TINY, 5, seed=7).state_dict()
    torch.manual_seed(123)
    before = torch.get_rng_state()
    second = build_model(TINY, 5, seed=7).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[key], second[key]) for key in first)
    other = build_model(TINY, 5, seed=8).state_dict()
    assert not torch.equal(first["head.classifier.weight"], other["head.classifier.weight"])


def test_the_output_stride_is_that_of_the_spec():
    """The deepest features are 16 times smaller than the image, by dilation."""
    features = build_model(TINY, 5, seed=0).backbone(torch.zeros(1, 3, 64, 64))
    assert features[-1].shape[-1] == 4
    assert features[0].shape[-1] == 16


def test_lite0_gets_every_imagenet_weight_by_name(tmp_path):
    """The loaded stem is that of the package; two seeds share the backbone, not the head."""
    spec = TINY.model_copy(update={"backbone": "tf_efficientnet_lite0", "pretrained": True})
    weights = find_weights(tmp_path, spec)
    models = [build_model(spec, 5, seed=seed, weights=weights) for seed in (0, 1)]
    for name, weight in models[0].backbone.state_dict().items():
        assert torch.equal(weight, models[1].backbone.state_dict()[name]), name
    # Trained batch norms have left their initial 0 and 1 everywhere.
    means = [b for n, b in models[0].backbone.named_buffers() if n.endswith("running_mean")]
    assert all(mean.abs().sum() > 0 for mean in means)
    assert not torch.equal(models[0].head.classifier.weight, models[1].head.classifier.weight)


def test_an_unknown_backbone_is_refused():
    """With the nearest name."""
    with pytest.raises(
        SpecError, match=r"unknown model.backbone 'resnet101x'; did you mean 'resnet101'"
    ):
        check_model(TINY.model_copy(update={"backbone": "resnet101x"}))

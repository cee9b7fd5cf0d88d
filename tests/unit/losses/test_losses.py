import re
from importlib import metadata
from typing import Literal

import pytest
import torch
import torch.nn.functional as F

import losses
from losses import (
    LOSSES,
    AffinityFieldLoss,
    RMILoss,
    SegmentationLoss,
    UnknownNameError,
    build_loss,
    check_options,
    find_loss,
    loss_options,
)
from losses.region.windows import nearest


def logits_and_target(classes: int = 3, height: int = 48, width: int = 40):
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(2, classes, height, width, generator=g)
    return logits, torch.randint(0, classes, (2, height, width), generator=g)


# Options, as read by the command line and the planner


def test_options_are_read_off_the_constructor():
    pixel = {"label_smoothing": 0.0, "class_weights": None, "top_k": 1.0}
    assert loss_options("ce") == loss_options("bce") == pixel
    assert loss_options("lovasz") == {}
    assert loss_options("rmi") == {
        "region_size": 3,
        "downsample_factor": 4,
        "pooling": "avg",
        "lambda_": 0.5,
        "formulation": "authors",
        "pixel_term": "bce",
        "ignored": "zero",
        "region": "square",
        "radial_decay": 0.0,
    }


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_built_from_its_own_defaults(name):
    assert check_options(name, loss_options(name)) == {}
    assert type(build_loss(name, **loss_options(name))) is LOSSES[name]


def test_only_what_differs_from_the_defaults_comes_back_in_the_declared_type():
    given = {"lambda_": 1, "region_size": 3, "pooling": "max"}
    checked = check_options("rmi", given)
    assert checked == {"pooling": "max", "lambda_": 1.0}
    assert type(checked["lambda_"]) is float


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"region_sise": 3},
            "unknown option 'region_sise' of loss 'rmi'; known: region_size, downsample_factor",
        ),
        ({"xyz": 3}, "unknown option 'xyz' of loss 'rmi'; known: region_size, downsample_factor"),
        ({"ignore_index": 0}, "unknown option 'ignore_index'"),
        ({"region_size": True}, "region_size of loss 'rmi' must be of type int, got True"),
        ({"region_size": 3.0}, "region_size of loss 'rmi' must be of type int, got 3.0"),
        ({"lambda_": "0.5"}, "lambda_ of loss 'rmi' must be of type float, got '0.5'"),
        ({"lambda_": False}, "lambda_ of loss 'rmi' must be of type float, got False"),
        (
            {"pooling": "mean"},
            "pooling of loss 'rmi' must be one of 'avg', 'max', 'interp', got 'mean'",
        ),
        ({"lambda_": 1.5}, "lambda_ must be in [0, 1], got 1.5"),
        ({"lambda_": float("nan")}, "lambda_ must be in [0, 1], got nan"),
        ({"region_size": 11}, "region_size must be in [1, 10], got 11"),
        ({"downsample_factor": 0}, "downsample_factor must be at least 1, got 0"),
    ],
)
def test_wrong_options_are_refused_with_name_value_and_way_out(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check_options("rmi", options)


@pytest.mark.parametrize(
    "options",
    [{"size": 0}, {"stride": 0}, {"kl_margin": -1.0}, {"lambda_edge": -0.1}, {"decay_base": 0.5}],
)
def test_affinity_ranges_are_refused(options):
    ((name, value),) = options.items()
    with pytest.raises(ValueError, match=rf"{name} must be .* got {value}"):
        check_options("affinity", options)


def test_region_term_alone_warns():
    with pytest.warns(UserWarning, match="lambda_ = 0"):
        RMILoss(lambda_=0.0)


def test_an_unknown_loss_is_answered_with_all_names():
    with pytest.raises(UnknownNameError, match="unknown loss 'rmii'; known: ce, bce, affinity"):
        find_loss("rmii")


class BandLoss(SegmentationLoss):
    def __init__(self, *, band: Literal[1, 2] = 1, tags: list | None = None) -> None:
        super().__init__()
        self.band, self.tags = band, tags

    def terms(self, logits, target, *, progress=0.0):
        return {"band": logits.mean()}


def plug_in(monkeypatch, name: str, target: str) -> None:
    point = metadata.EntryPoint(name, target, "segloss.losses")
    found = metadata.EntryPoints([point])
    ours = found.select(group=losses.ENTRY_POINT_GROUP)
    monkeypatch.setattr(losses, "_plugins", lambda: ours)


def test_a_plug_in_is_found_by_its_entry_point(monkeypatch):
    monkeypatch.setattr(losses, "BandLoss", BandLoss, raising=False)
    plug_in(monkeypatch, "band", "losses:BandLoss")
    assert find_loss("band") is BandLoss
    assert check_options("band", {"band": 2}) == {"band": 2}
    with pytest.raises(ValueError, match=r"unknown loss 'bend'; known: .*, band"):
        find_loss("bend")
    with pytest.raises(ValueError, match=r"tags of loss 'band' has a type that a study cannot set"):
        check_options("band", {"tags": "x"})


def test_a_plug_in_must_be_a_loss(monkeypatch):
    plug_in(monkeypatch, "od", "collections:OrderedDict")
    with pytest.raises(ValueError, match=r"'od' .*OrderedDict.* is not a SegmentationLoss"):
        find_loss("od")


# Inputs


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_non_finite_logits_are_named(name, value):
    logits, target = logits_and_target()
    logits[1, 2, 3, 4] = value
    with pytest.raises(FloatingPointError, match="1 of 11520 logits are NaN or infinite"):
        build_loss(name)(logits, target)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("label", [3, 200, -1])
def test_a_label_that_is_no_class_is_named(name, label):
    logits, target = logits_and_target()
    target[0, 0, 0] = label
    with pytest.raises(ValueError, match=f"label {label} is neither one of the 3 classes"):
        build_loss(name)(logits, target)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_computed_in_float32(name, dtype):
    logits, target = logits_and_target()
    loss = build_loss(name)
    half = logits.to(dtype)
    assert torch.equal(loss(half, target), loss(half.float(), target))


@pytest.mark.parametrize("name", LOSSES)
def test_logits_in_channels_last_order_give_the_same(name):
    logits, target = logits_and_target()
    loss = build_loss(name)
    torch.testing.assert_close(
        loss(logits.to(memory_format=torch.channels_last), target), loss(logits, target)
    )


@pytest.mark.parametrize(
    ("options", "fits", "too_small"),
    [
        ({}, (8, 12), (7, 12)),  # padded by 2: 8 → 3, 12 → 4, 7 → 2
        ({"formulation": "paper"}, (12, 16), (11, 16)),
        ({"pooling": "interp"}, (12, 16), (12, 15)),  # one region has no covariance
        ({"downsample_factor": 1, "region_size": 5}, (5, 6), (5, 5)),
    ],
)
def test_region_size_must_leave_two_regions(options, fits, too_small):
    loss = RMILoss(**options)
    loss.check_input_size(*fits)
    logits, target = logits_and_target(3, *fits)
    assert loss(logits, target).isfinite()
    message = rf"a crop of {too_small[0]} x {too_small[1]} is \d+ x \d+ after downsampling by"
    with pytest.raises(ValueError, match=message):
        loss.check_input_size(*too_small)
    with pytest.raises(ValueError, match=message):
        loss(*logits_and_target(3, *too_small))


def test_affinity_needs_a_pair_of_neighbours():
    AffinityFieldLoss().check_input_size(16, 16)
    with pytest.raises(ValueError, match="a crop of 15 x 16 is 1 x 2 at stride 8"):
        AffinityFieldLoss().check_input_size(15, 16)
    with pytest.raises(ValueError, match="a crop of 15 x 16 is 1 x 2 at stride 8"):
        AffinityFieldLoss()(*logits_and_target(3, 15, 16))


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_checks_sizes_of_a_usual_crop_silently(name):
    build_loss(name).check_input_size(240, 320)


@pytest.mark.parametrize("name", LOSSES)
def test_probabilities_sum_to_one_and_keep_the_order_of_the_logits(name):
    """Also where every sigmoid underflows; the prediction stays the argmax of the logits."""
    logits = 30 * torch.randn(2, 5, 4, 3, generator=torch.Generator().manual_seed(0)) - 100
    probabilities = build_loss(name).probabilities(logits)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(2, 4, 3))
    assert torch.equal(probabilities.argmax(1), logits.argmax(1))


@pytest.mark.parametrize(("height", "width"), [(106, 41), (480, 360), (53, 97)])
@pytest.mark.parametrize("factor", [2, 3, 4, 6])
def test_nearest_labels_are_those_of_torch(height, width, factor):
    """Also where rounding in float32 moves one: 106 rows by 4."""
    maps = torch.arange(height * width).view(1, height, width)
    size = height // factor, width // factor
    expected = F.interpolate(maps[None].double(), size)[0].long()
    assert torch.equal(nearest(maps, *size), expected)

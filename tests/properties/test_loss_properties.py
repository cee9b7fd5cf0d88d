"""What must hold for every loss, or for RMI's mathematics, whatever the input."""

from copy import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from started import started_loss
from torch.testing import assert_close

from losses import (
    LOSSES,
    AffinityFieldLoss,
    BinaryCrossEntropyLoss,
    BoundaryLoss,
    CrossEntropyLoss,
    CWMILoss,
    DiceLoss,
    FocalLoss,
    JaccardLoss,
    LovaszLoss,
    RMILoss,
    TverskyLoss,
)
from losses.region.term import RegionTerm, build_region
from losses.rmi import FORMULATIONS

IGNORED = 255
STARTED = started_loss()
EVERY_LOSS = [
    pytest.param(CrossEntropyLoss(), id="ce"),
    pytest.param(BinaryCrossEntropyLoss(), id="bce"),
    pytest.param(CrossEntropyLoss(label_smoothing=0.1), id="ce-smoothed"),
    pytest.param(BinaryCrossEntropyLoss(label_smoothing=0.1), id="bce-smoothed"),
    pytest.param(AffinityFieldLoss(stride=3), id="affinity"),
    pytest.param(AffinityFieldLoss(variant="original", stride=3), id="affinity-original"),
    pytest.param(DiceLoss(), id="dice"),
    pytest.param(DiceLoss(squared=False), id="dice-sums"),
    pytest.param(FocalLoss(), id="focal"),
    pytest.param(FocalLoss(gamma=0.5), id="focal-0.5"),
    pytest.param(TverskyLoss(), id="tversky"),
    pytest.param(TverskyLoss(alpha=0.0, beta=2.0), id="tversky-misses"),
    pytest.param(JaccardLoss(), id="jaccard"),
    pytest.param(JaccardLoss(label_smoothing=0.2), id="jaccard-smoothed"),
    pytest.param(LovaszLoss(), id="lovasz"),
    pytest.param(BoundaryLoss(), id="boundary"),
    pytest.param(CWMILoss(levels=2), id="cwmi"),
    pytest.param(CWMILoss(levels=1, orientations=3, lambda_=0.1), id="cwmi-3"),
    pytest.param(STARTED, id="started"),
    pytest.param(RMILoss(region="1x3", downsample_factor=2), id="rmi-1x3"),
    pytest.param(RMILoss(radial_decay=0.5, downsample_factor=2), id="rmi-radial"),
    *(
        pytest.param(
            RMILoss(
                region_size=2,
                downsample_factor=2,
                pooling=pooling,
                formulation=formulation,
                ignored=ignored,
            ),
            id=f"rmi-{formulation}-{pooling}-{ignored}",
        )
        for formulation in ("authors", "paper")
        for pooling in ("avg", "max", "interp")
        for ignored in ("zero", "drop")
    ),
]
every_loss = pytest.mark.parametrize("loss", EVERY_LOSS)
few = settings(max_examples=8, deadline=None)


@st.composite
def batches(draw, images=None, classes=None, ignored=None):
    """Draw float64 logits that require a gradient, and labels."""
    g = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    images = images or draw(st.integers(1, 3))
    classes = classes or draw(st.integers(2, 5))
    shape = (images, classes, draw(st.integers(8, 15)), draw(st.integers(8, 15)))
    scale = draw(st.sampled_from([0.01, 1.0, 6.0]))
    logits = scale * torch.randn(shape, generator=g, dtype=torch.float64)
    target = torch.randint(0, shape[1], (shape[0], *shape[2:]), generator=g)
    target = target[:, :: draw(st.sampled_from([1, 4]))].repeat_interleave(4, 1)[:, : shape[2]]
    if draw(st.booleans()) if ignored is None else ignored:
        target[torch.rand(target.shape, generator=g) < 0.1] = IGNORED
        target[:, :3] = IGNORED
    return logits.requires_grad_(), target


def value_and_gradient(loss, logits, target):
    value = loss(logits, target)
    return value.detach(), torch.autograd.grad(value, logits)[0]


@every_loss
@few
@given(batches(classes=4), st.permutations(range(4)))
def test_classes_may_be_renumbered(loss, data, order):
    logits, target = data
    renumbered = target.clone()
    for new, old in enumerate(order):
        renumbered[target == old] = new
    value, gradient = value_and_gradient(loss, logits, target)
    permuted = logits[:, order].detach().requires_grad_()
    same, permuted_gradient = value_and_gradient(loss, permuted, renumbered)
    assert_close(same, value, rtol=1e-9, atol=1e-12)
    assert_close(permuted_gradient, gradient[:, order], rtol=1e-6, atol=1e-9)


@every_loss
@few
@given(batches(ignored=True))
def test_a_batch_seen_twice_has_the_same_loss(loss, data):
    logits, target = data
    once = loss.terms(logits, target)
    twice = loss.terms(logits.repeat(2, 1, 1, 1), target.repeat(2, 1, 1))
    labelled = int((target != IGNORED).sum())
    for name in once:
        # The sigmoid cross entropy divides by labelled pixels + 1.
        scale = (2 * labelled + 2) / (2 * labelled + 1) if name == "bce" else 1.0
        assert_close(twice[name], once[name] * scale, rtol=1e-9, atol=1e-12)


@few
@given(batches(images=3))
def test_images_add_up(data):
    logits, target = data
    images = [(logits[b : b + 1], target[b : b + 1]) for b in range(3)]
    pixels = [(t != IGNORED).sum() for _, t in images]

    ce, bce, rmi = CrossEntropyLoss(), BinaryCrossEntropyLoss(), RMILoss(region_size=2)
    weighted = sum(ce(*image) * n for image, n in zip(images, pixels, strict=True))
    assert_close(ce(logits, target) * sum(pixels), weighted)
    weighted = sum(bce(*image) * (n + 1) for image, n in zip(images, pixels, strict=True))
    assert_close(bce(logits, target) * (sum(pixels) + 1), weighted)
    mean = sum(rmi.terms(*image)["rmi"] for image in images) / 3
    assert_close(rmi.terms(logits, target)["rmi"], mean)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@few
@given(batches())
def test_rmi_at_lambda_one_is_its_pixel_term_to_the_bit(dtype, data):
    logits, target = data[0].detach().to(dtype).requires_grad_(), data[1]
    for pixel_term, pixel_loss in (("bce", BinaryCrossEntropyLoss()), ("ce", CrossEntropyLoss())):
        expected = value_and_gradient(pixel_loss, logits, target)
        loss = RMILoss(lambda_=1.0, pixel_term=pixel_term)
        for actual, reference in zip(
            value_and_gradient(loss, logits, target), expected, strict=True
        ):
            assert torch.equal(actual, reference)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@few
@given(batches())
def test_focal_at_gamma_zero_is_cross_entropy_to_the_bit(dtype, data):
    logits, target = data[0].detach().to(dtype).requires_grad_(), data[1]
    focal, entropy = (
        value_and_gradient(loss, logits, target)
        for loss in (FocalLoss(gamma=0.0), CrossEntropyLoss())
    )
    assert all(map(torch.equal, focal, entropy))
    assert FocalLoss.simpler({"gamma": 0.0}) == ("ce", {})
    assert FocalLoss.simpler({"gamma": 0.1}) is None


@pytest.mark.parametrize(
    "loss", [case for case in EVERY_LOSS if not isinstance(case.values[0], AffinityFieldLoss)]
)
@few
@given(batches(ignored=True))
def test_logits_of_ignored_pixels_change_nothing(loss, data):
    logits, target = data
    ignored = (target == IGNORED).unsqueeze(1)
    value, gradient = value_and_gradient(loss, logits, target)
    assert (gradient.masked_select(ignored) == 0).all()
    other = logits.detach().masked_fill(ignored, 7.5)
    assert torch.equal(loss(other, target), value)


@every_loss
@few
@given(batches())
def test_without_a_labelled_pixel_all_is_zero_and_differentiable(loss, data):
    logits, target = data
    value, gradient = value_and_gradient(loss, logits, torch.full_like(target, IGNORED))
    assert value == 0
    assert (gradient == 0).all()


@every_loss
@pytest.mark.parametrize("size", [100.0, 1e4, 1e30])
def test_saturated_logits_stay_finite(loss, size):
    g = torch.Generator().manual_seed(0)
    logits = (torch.randn(2, 3, 12, 13, generator=g).sign() * size).requires_grad_()
    target = torch.randint(0, 3, (2, 12, 13), generator=g)
    value, gradient = value_and_gradient(loss, logits, target)
    assert value.isfinite()
    assert gradient.isfinite().all()


@every_loss
def test_gradients_are_those_of_finite_differences(loss):
    g = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 3, 9, 8, generator=g, dtype=torch.float64, requires_grad=True)
    target = torch.randint(0, 3, (2, 9, 8), generator=g)
    target[0, :2] = IGNORED
    assert torch.autograd.gradcheck(
        lambda x: loss(x, target), logits, fast_mode=True, rtol=1e-4, atol=1e-7
    )


# The region term alone


region_losses = pytest.mark.parametrize(
    "loss", [case for case in EVERY_LOSS if isinstance(case.values[0], RMILoss)]
)


@pytest.mark.parametrize("skip_absent", [True, False])
@region_losses
@few
@given(batches(classes=4))
def test_a_class_that_is_absent_has_no_region_gradient(loss, skip_absent, data):
    """Exactly none, also where it is computed, as on a GPU."""
    logits, target = data
    target = torch.where(target == 2, 1, target)
    loss = copy(loss)
    loss.skip_absent = skip_absent
    (gradient,) = torch.autograd.grad(loss.terms(logits, target)["rmi"], logits)
    assert (gradient[:, 2] == 0).all()


@region_losses
@few
@given(batches())
def test_region_term_is_bounded_by_its_ridge(loss, data):
    logits, target = data
    value = loss.terms(logits, target)["rmi"] / (1 - loss.lambda_)
    lowest = 0.5 * logits.shape[1] * torch.tensor(loss.formulation.ridge).double().log()
    assert value >= lowest - 1e-9


@few
@given(batches(ignored=False))
def test_region_term_cannot_tell_a_prediction_from_its_inverse(data):
    """Without padding it is invariant to P → a·P + b: why lambda_ = 0 warns."""
    logits, target = data
    loss = RMILoss(region_size=2, downsample_factor=2, formulation="paper")
    assert_close(
        loss.terms(-logits, target)["rmi"], loss.terms(logits, target)["rmi"], rtol=1e-7, atol=0
    )


@few
@given(batches(ignored=False), st.integers(1, 3))
def test_sums_and_means_differ_by_a_constant(data, region_size):
    """Sums over n regions with ridge α are means with ridge α/n, up to log(n)/2 per class."""
    logits, target = data
    probs = logits.sigmoid().flatten(0, 1)
    classes = range(logits.shape[1])
    truth = torch.stack([(target == k).double() for k in classes], dim=1).flatten(0, 1)
    sums = replace(FORMULATIONS["authors"], log_offset=0.0)
    n = (logits.shape[2] - region_size + 1) * (logits.shape[3] - region_size + 1)
    means = replace(sums, normalised=True, ridge=sums.ridge / n)
    region = build_region("square", region_size, radial_decay=0.0)
    value, other = (
        RegionTerm.apply(probs, truth, None, region, constants) for constants in (sums, means)
    )
    assert_close(value, other + 0.5 * torch.tensor(n).double().log(), rtol=1e-9, atol=1e-9)


@few
@given(batches(ignored=True))
def test_dropping_an_ignored_edge_is_cropping_it(data):
    """Regions left out are regions that are not there."""
    logits, target = data
    target = target.masked_fill(target == IGNORED, 0)
    cropped = {"downsample_factor": 2, "region_size": 2, "formulation": "paper"}
    expected = RMILoss(**cropped).terms(logits[:, :, 2:], target[:, 2:])["rmi"]
    target[:, :2] = IGNORED
    loss = RMILoss(ignored="drop", **cropped)
    assert_close(loss.terms(logits, target)["rmi"], expected, rtol=1e-9, atol=0)


def test_every_name_has_a_loss_here():
    """And one that `segloss new loss` writes."""
    kinds = {type(case.values[0]) for case in EVERY_LOSS}
    assert kinds == {*LOSSES.values(), type(STARTED)}

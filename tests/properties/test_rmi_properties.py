"""What the mathematics of RMI says must hold."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from losses import RMILoss
from losses.region.term import RegionTerm, absent_value, build_region
from losses.rmi import FORMULATIONS

IGNORED = 255
few = settings(max_examples=8, deadline=None)


@st.composite
def batches(draw, multiple=1, classes=3):
    """Draw float64 logits and labels of two images; sides are multiples."""
    g = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    height, width = (multiple * draw(st.integers(8 // multiple + 4, 15)) for _ in range(2))
    logits = 3 * torch.randn(2, classes, height, width, generator=g, dtype=torch.float64)
    coarse = torch.randint(0, classes, (2, height // 3 + 1, width // 3 + 1), generator=g)
    target = coarse.repeat_interleave(3, 1).repeat_interleave(3, 2)[:, :height, :width]
    return logits, target.contiguous()


def region_value_and_gradient(loss, logits, target):
    logits = logits.detach().clone().requires_grad_()
    value = loss.terms(logits, target)["rmi"]
    return value.detach(), torch.autograd.grad(value, logits)[0]


turns = {
    "left-right": lambda maps: maps.flip(-1),
    "top-bottom": lambda maps: maps.flip(-2),
    "quarter": lambda maps: maps.rot90(1, (-2, -1)),
}


@pytest.mark.parametrize("turn", turns.values(), ids=turns)
@pytest.mark.parametrize("pooling", ["avg", "max"])
@pytest.mark.parametrize("decay", [0.0, 0.7])
@few
@given(batches(multiple=2))
def test_turning_the_picture_turns_the_gradient(turn, pooling, decay, data):
    """Where the cells of the pooling turn with it: no padding, sides that the factor divides."""
    logits, target = data
    loss = RMILoss(downsample_factor=2, pooling=pooling, formulation="paper", radial_decay=decay)
    value, gradient = region_value_and_gradient(loss, logits, target)
    turned = region_value_and_gradient(loss, turn(logits), turn(target))
    assert_close(turned[0], value, rtol=1e-9, atol=0)
    assert_close(turned[1], turn(gradient), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("formulation", ["authors", "paper"])
@pytest.mark.parametrize("kept", ["all", "some"])
def test_a_map_without_truth_has_one_value_and_exactly_no_gradient(formulation, kept):
    """Whatever the prediction: what may be left out is known."""
    g = torch.Generator().manual_seed(0)
    probs = torch.rand(4, 12, 13, generator=g, dtype=torch.float64, requires_grad=True)
    mask = None if kept == "all" else (torch.rand(4, 110, generator=g) < 0.9).float()
    region, constants = build_region("square", 3, radial_decay=0.0), FORMULATIONS[formulation]
    value = RegionTerm.apply(probs, torch.zeros_like(probs), mask, region, constants)
    expected = absent_value(region, constants, probs)
    # A logarithm may err by a unit in its last place on either side, a sum of d terms by d - 1.
    digits = (region.d + 1) * torch.finfo(torch.float64).eps
    assert ((value - expected).abs() <= digits * expected.abs()).all()
    (gradient,) = torch.autograd.grad(value.sum(), probs)
    assert (gradient == 0).all()


@pytest.mark.parametrize("formulation", ["authors", "paper"])
@pytest.mark.parametrize("pooling", ["avg", "max", "interp"])
@pytest.mark.parametrize("ignored", ["zero", "drop"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_skipping_absent_classes_changes_no_more_than_rounding(
    formulation, pooling, ignored, dtype
):
    """The maps that stay are multiplied in a smaller batch, where a CPU may add in another order.

    With a ridge of ½ the condition of J is known: entries in [0, 1] have a variance of at most ¼,
    so that 2d of them make it at most (½ + 2d/4) / ½ = 1 + d.
    """
    g = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(3, 9, 61, 50, generator=g).to(dtype)
    target = torch.randint(0, 3, (3, 61, 50), generator=g)
    target[1] += 5
    target[2, :20] = IGNORED
    loss = RMILoss(formulation=formulation, pooling=pooling, ignored=ignored)
    loss.formulation = replace(loss.formulation, normalised=True, ridge=0.5)
    value, gradient = region_value_and_gradient(loss, logits, target)
    loss.skip_absent = False
    expected, reference = region_value_and_gradient(loss, logits, target)

    assert (gradient[reference == 0] == 0).all()
    rows, columns = (loss.grid.cells(length) - 2 for length in (61, 50))
    # Sums of N products and factors of order 2d round so often, and J's condition magnifies it;
    # the gradient's residual may be smaller than its terms by the root of the condition.
    roundings = (rows * columns + 2 * loss.region.d) * (1 + loss.region.d)
    double, single = (torch.finfo(kind).eps for kind in (torch.float64, dtype))
    assert (value - expected).abs() <= 9 * roundings * double + single * expected.abs()
    allowed = roundings * (1 + loss.region.d) ** 0.5 * single
    assert (gradient - reference).abs().max() <= allowed * reference.abs().max()


@few
@given(st.integers(0, 2**31), st.floats(0.2, 5), st.floats(-2, 2), st.booleans())
def test_region_term_does_not_see_scale_and_shift_of_a_prediction(seed, a, b, inverted):
    """I(P; Y) = I(a·P + b; Y): but for the ridge, which is therefore small here."""
    g = torch.Generator().manual_seed(seed)
    probs = torch.rand(2, 20, 21, generator=g, dtype=torch.float64)
    truth = (torch.rand(2, 20, 21, generator=g) < 0.4).double()
    region = build_region("square", 2, radial_decay=0.0)
    constants = replace(FORMULATIONS["paper"], ridge=1e-13)
    a = -a if inverted else a
    value, other = (
        RegionTerm.apply(maps, truth, None, region, constants) for maps in (probs, a * probs + b)
    )
    assert_close(other, value, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("shape", ["square", "3x3", "2,2 2,3 2,4 3,2 3,3 3,4 4,2 4,3 4,4"])
@few
@given(batches())
def test_neutral_shapes_are_the_square_to_the_bit(shape, data):
    expected = region_value_and_gradient(RMILoss(), *data)
    loss = RMILoss(region=shape, radial_decay=0.0)
    for actual, reference in zip(region_value_and_gradient(loss, *data), expected, strict=True):
        assert torch.equal(actual, reference)


@few
@given(batches())
def test_a_region_of_another_order_is_the_same_region(data):
    loss, other = RMILoss(region="0,0 0,1 1,1"), RMILoss(region="1,1 0,1 0,0")
    for actual, expected in zip(
        region_value_and_gradient(loss, *data), region_value_and_gradient(other, *data), strict=True
    ):
        assert torch.equal(actual, expected)


@pytest.mark.parametrize("shape", ["1x4", "4x1", "0,0 0,1 1,0", "1,0 0,1 1,1 2,1 1,2"])
@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_shapes_and_weights_equal_their_definition(shape, decay):
    """-I_l is the weighted mean of the conditional entropies, taken with the inverse."""
    g = torch.Generator().manual_seed(1)
    probs = torch.rand(1, 14, 15, generator=g, dtype=torch.float64, requires_grad=True)
    truth = (torch.rand(1, 14, 15, generator=g) < 0.4).double()
    constants = FORMULATIONS["authors"]
    region = build_region(shape, 3, decay)
    value = RegionTerm.apply(probs, truth, None, region, constants)

    pixels = [divmod(pixel, region.width) for pixel in region.pixels]
    rows, columns = 14 - region.height + 1, 15 - region.width + 1
    p, y = (
        torch.stack([maps[0, i : i + rows, j : j + columns].flatten() for i, j in pixels])
        for maps in (probs, truth)
    )
    p, y = (points - points.mean(1, keepdim=True) for points in (p, y))
    ridge = constants.ridge * torch.eye(region.d, dtype=torch.float64)
    m = y @ y.T - y @ p.T @ torch.inverse(p @ p.T + ridge) @ p @ y.T + ridge
    minors = torch.stack([torch.logdet(m[:k, :k]) for k in range(1, region.d + 1)])
    entropies = (minors - torch.cat([torch.zeros(1, dtype=torch.float64), minors[:-1]])) / 2
    weights = torch.tensor(region.weights, dtype=torch.float64)
    expected = (weights * entropies).sum() / weights.sum()

    assert_close(value[0], expected, rtol=1e-6, atol=0)  # the log_offset of the published code
    (gradient,) = torch.autograd.grad(value.sum(), probs)
    (reference,) = torch.autograd.grad(expected, probs)
    assert_close(gradient, reference, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"region": "3by3"}, "region must be 'square', a height and a width"),
        ({"region": "0x3"}, "must fit into 1 to 10 rows and columns"),
        ({"region": "11x3"}, "must fit into 1 to 10 rows and columns"),
        ({"region": "0,0 12,0"}, "must fit into 1 to 10 rows and columns"),
        ({"region": "0,0 0,0"}, "names a pixel twice"),
        ({"region": "1x3", "region_size": 5}, "region_size 5 is the side of a square"),
        ({"radial_decay": -1.0}, "radial_decay must be a number of at least 0"),
        ({"radial_decay": float("nan")}, "radial_decay must be a number of at least 0"),
    ],
)
def test_a_region_that_is_none_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        RMILoss(**options)

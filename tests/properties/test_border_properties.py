"""What Boundary IoU and trimap counts must satisfy whatever the maps are."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.evaluation.metrics import count_pixels
from bench.iou import TRIMAP_WIDTHS, class_iou, iou_of


def drawn(seed, size=(60, 80), classes=4, ignored=0.02):
    rng = np.random.default_rng(seed)
    rough = rng.integers(0, classes, (size[0] // 10, size[1] // 10), dtype=np.uint8)
    target = rough.repeat(10, 0).repeat(10, 1)
    prediction = np.roll(target, tuple(rng.integers(-3, 4, 2)), (0, 1))
    target[rng.random(target.shape) < ignored] = 255
    return torch.from_numpy(prediction.copy()), torch.from_numpy(target)


SEEDS = st.integers(0, 10_000)


def test_a_shifted_mask_loses_more_boundary_iou_than_iou():
    """And the more, the larger the mask is against the shift."""
    target = torch.zeros(200, 200, dtype=torch.uint8)
    target[50:150, 50:150] = 1
    lost = []
    for shift in (1, 2, 4):
        found = count_pixels(target.roll(shift, 1), target, 2, 2)
        iou = class_iou(found.confusion.numpy())[1]
        boundary = iou_of(found.intersection.numpy(), found.union.numpy())[1]
        # By hand: a square of side 100, and its frame 6 pixels wide.
        assert iou == pytest.approx((100 - shift) / (100 + shift))
        assert boundary < iou
        lost.append((1 - boundary) / (1 - iou))
    assert min(lost) > 3


@given(SEEDS)
def test_a_perfect_prediction_scores_one(seed):
    """In every class that is there."""
    _, target = drawn(seed)
    found = count_pixels(target.where(target < 4, 0), target, 4, 4)
    assert torch.equal(found.intersection, found.union)
    for matrix in (*found.trimap, found.confusion):
        assert torch.equal(matrix, matrix.diagonal().diag())


@given(SEEDS, st.sampled_from([(0,), (1,), (0, 1)]))
def test_flips_change_nothing(seed, axes):
    """The squares are centred."""
    prediction, target = drawn(seed)
    found = count_pixels(prediction, target, 4, 4)
    flipped = count_pixels(prediction.flip(axes), target.flip(axes), 4, 4)
    assert vars(found).keys() == vars(flipped).keys()
    assert all(torch.equal(value, vars(flipped)[name]) for name, value in vars(found).items())


@given(SEEDS)
def test_a_wider_trimap_holds_the_narrower_one(seed):
    """Up to the whole image: 20 pixels reach everything where blocks are 10 wide."""
    found = count_pixels(*drawn(seed), 4, 4)
    assert (found.trimap.diff(dim=0) >= 0).all()
    assert torch.equal(found.trimap[-1], found.confusion)


@given(SEEDS)
def test_void_as_a_class_scores_the_same_borders(seed):
    """Whether void is ignored or a class that the network may predict."""
    prediction, target = drawn(seed, ignored=0.1)
    prediction = prediction.where(prediction < 3, 0)
    as_class = target.where(target < 3, 3)
    ignored = count_pixels(prediction, target.where(target < 3, 255), 3, 3)
    found = count_pixels(prediction, as_class, 4, 3)
    assert torch.equal(found.trimap[:, :3, :3], ignored.trimap)
    assert torch.equal(found.intersection, ignored.intersection)
    assert torch.equal(found.union, ignored.union)
    assert not found.trimap[:, 3].any()


def test_an_image_without_a_border_has_no_trimap_but_a_frame():
    """The frame counts for Boundary IoU alone."""
    target = torch.zeros(40, 50, dtype=torch.uint8)
    found = count_pixels(target, target, 2, 2)
    assert not found.trimap.any()
    assert found.trimap.shape == (len(TRIMAP_WIDTHS), 2, 2)
    assert found.union.tolist() == [40 * 50 - 38 * 48, 0]


def test_what_is_predicted_on_ignored_pixels_does_not_count():
    """There it is cut out, and the cut is a border of both maps."""
    prediction, target = drawn(5, ignored=0.2)
    other = prediction.where(target < 4, (prediction + 1) % 4)
    found, changed = (count_pixels(p, target, 4, 4) for p in (prediction, other))
    assert all(torch.equal(value, vars(changed)[name]) for name, value in vars(found).items())

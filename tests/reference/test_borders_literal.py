"""The border counts against loops over pixels."""

import numpy as np
import pytest
import torch
from plain_borders import boundary_counts, trimap_matrix
from scipy import ndimage

from bench.evaluation.metrics import boundary_width, count_pixels
from bench.iou import TRIMAP_WIDTHS


def maps(seed, size, classes, ignored=0.1):
    """Blocks of labels with ignored pixels, and a prediction that is mostly shifted truth."""
    rng = np.random.default_rng(seed)
    rough = rng.integers(0, classes, (size[0] // 6 + 1, size[1] // 6 + 1), dtype=np.uint8)
    target = rough.repeat(6, 0).repeat(6, 1)[: size[0], : size[1]].copy()
    prediction = np.roll(target, (1, 2), (0, 1))
    noise = rng.random(size) < 0.05
    prediction[noise] = rng.integers(0, classes, noise.sum())
    target[rng.random(size) < ignored] = 255
    return prediction, target


@pytest.mark.parametrize("void", [0, 1])
@pytest.mark.parametrize(("size", "ignored"), [((37, 29), 0.0), ((24, 41), 0.02), ((9, 7), 0.1)])
def test_counts_equal_loops_over_pixels(size, ignored, void):
    """Also where the last class is void, and where a window is larger than the image."""
    prediction, target = maps(sum(size), size, 4, ignored)
    found = count_pixels(torch.from_numpy(prediction), torch.from_numpy(target), 4, 4 - void)
    intersection, union = boundary_counts(prediction, target, 4 - void)
    assert found.intersection.tolist() == intersection
    assert found.union.tolist() == union
    for width, matrix in zip(TRIMAP_WIDTHS, found.trimap, strict=True):
        assert (matrix.numpy() == trimap_matrix(prediction, target, 4, 4 - void, width)).all()
    whole = np.zeros((4, 4), dtype=int)
    for t, p in zip(target.ravel(), prediction.ravel(), strict=True):
        if t < 4:
            whole[t, p] += 1
    assert found.confusion.tolist() == whole.tolist()


def test_bands_are_those_of_repeated_erosion():
    """As the measure was published: a mask less its erosion by 3 x 3, zeros outside the image."""
    prediction, target = maps(3, (240, 320), 5, ignored=0.0)
    found = count_pixels(torch.from_numpy(prediction), torch.from_numpy(target), 5, 5)
    width = boundary_width(240, 320)
    assert width == 8
    for label in range(5):
        truth, shown = (
            mask & ~ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=width)
            for mask in (target == label, prediction == label)
        )
        assert found.intersection[label] == (truth & shown).sum()
        assert found.union[label] == (truth | shown).sum()

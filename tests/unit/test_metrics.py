"""Confusion matrices against a loop over pixels."""

import numpy as np
import pytest
import torch

from bench.metrics import ConfusionMatrix, confusion_matrix


def test_counts_equal_a_loop_over_pixels():
    """Ignored pixels are in no row and no column."""
    rng = torch.Generator().manual_seed(0)
    prediction = torch.randint(0, 4, (9, 7), generator=rng)
    target = torch.randint(0, 5, (9, 7), generator=rng)
    target[target == 4] = 255
    counts = np.zeros((4, 4), dtype=int)
    for p, t in zip(prediction.flatten().tolist(), target.flatten().tolist(), strict=True):
        if t != 255:
            counts[t, p] += 1
    assert confusion_matrix(prediction, target, 4).tolist() == counts.tolist()


def test_mean_iou_is_that_of_the_data_set_not_the_mean_over_images():
    """As VOC scores: 1 of 1 and 1 of 3 pixels right is 2/4, not the mean of 1 and 1/3."""
    matrix = ConfusionMatrix(2)
    matrix.update(torch.tensor([[0]]), torch.tensor([[0]]))
    matrix.update(torch.tensor([[0, 1, 1]]), torch.tensor([[0, 0, 0]]))
    assert matrix.iou().tolist() == [0.5, 0.0]
    assert matrix.mean_iou() == 0.25
    assert len(matrix.per_image) == 2


def test_a_class_that_is_nowhere_has_no_iou_and_no_part_in_the_mean():
    """NaN, left out of the mean."""
    matrix = ConfusionMatrix(3)
    matrix.update(torch.tensor([[0, 1]]), torch.tensor([[0, 1]]))
    assert np.isnan(matrix.iou()[2])
    assert matrix.mean_iou() == pytest.approx(1.0)

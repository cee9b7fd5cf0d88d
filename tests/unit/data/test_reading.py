"""Counts of labels, against the plain way to count."""

import numpy as np
import pytest

from bench.data.reading import label_counts


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (5, 1), (40, 48)])
@pytest.mark.parametrize("labels", [1, 3, 256])
def test_labels_are_counted(shape, labels):
    label = np.random.default_rng(0).integers(0, labels, shape, np.uint8)
    counts = label_counts(label)
    assert counts.tolist() == [int((label == k).sum()) for k in range(256)]
    assert label_counts(label.T).tolist() == counts.tolist()

"""Which images are shown, and what a difference looks like."""

import numpy as np

from reports.figures.gallery import choose, difference_map
from reports.runs import gain_by_image, image_counts

GREEN, MAGENTA, GREY, WHITE = (27, 120, 55), (197, 27, 125), (187, 187, 187), (255, 255, 255)


def test_images_are_chosen_at_even_quantiles():
    ids = [f"i{k}" for k in range(100)]
    assert choose(ids, 4) == ["i0", "i33", "i66", "i99"]
    assert choose(ids[:3], 4) == ids[:3]


def test_difference_shows_who_is_right():
    a, b, ignored = (10, 20, 30), (40, 50, 60), WHITE
    truth = np.array([[a, a, a, a, ignored]], dtype=np.uint8)
    base = np.array([[a, b, a, b, b]], dtype=np.uint8)
    ours = np.array([[a, a, b, b, a]], dtype=np.uint8)
    found = [tuple(map(int, pixel)) for pixel in difference_map(truth, base, ours)[0]]
    assert found == [WHITE, GREEN, MAGENTA, GREY, WHITE]


def test_gain_by_image_is_sorted_and_per_image():
    right = np.array([[2, 0], [0, 2]])
    half = np.array([[1, 1], [1, 1]])
    base = image_counts(("a", "b"), np.stack([half, right]), "miou")
    ours = image_counts(("a", "b"), np.stack([right, half]), "miou")
    found = gain_by_image(ours, base)
    assert list(found) == ["b", "a"]
    assert np.allclose(list(found.values()), [-200 / 3, 200 / 3])
    assert gain_by_image(ours, None) == {}

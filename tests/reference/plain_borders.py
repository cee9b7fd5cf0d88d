"""Boundary IoU and trimaps by loops over pixels and windows, one binary mask at a time."""

import math

import numpy as np

VOID = 255


def band(mask: np.ndarray, width: int) -> np.ndarray:
    """Pixels of a mask in whose square window one is outside the mask, or outside the image."""
    height, length = mask.shape
    found = np.zeros_like(mask)
    for y in range(height):
        for x in range(length):
            window = [
                0 <= v < height and 0 <= u < length and bool(mask[v, u])
                for v in range(y - width, y + width + 1)
                for u in range(x - width, x + width + 1)
            ]
            found[y, x] = mask[y, x] and not all(window)
    return found


def boundary_counts(prediction, target, num_objects):
    """Intersection and union of the bands of each class, prediction cut to the scored pixels."""
    height, length = target.shape
    width = max(1, round(0.02 * math.sqrt(height**2 + length**2)))
    scored = target < num_objects
    intersection, union = [], []
    for label in range(num_objects):
        truth = band(target == label, width)
        shown = band((prediction == label) & scored, width)
        intersection.append(int((truth & shown).sum()))
        union.append(int((truth | shown).sum()))
    return intersection, union


def trimap_matrix(prediction, target, num_classes, num_objects, width):
    """Pixel counts [truth, prediction] where another label is within a square window."""
    height, length = target.shape
    labels = np.where(target < num_objects, target, VOID)
    counts = np.zeros((num_classes, num_classes), dtype=np.int64)
    for y in range(height):
        for x in range(length):
            top, left = max(0, y - width), max(0, x - width)
            window = labels[top : y + width + 1, left : x + width + 1]
            if labels[y, x] != VOID and (window != labels[y, x]).any():
                counts[labels[y, x], prediction[y, x]] += 1
    return counts

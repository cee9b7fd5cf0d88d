"""Stored labels become classes: one label after the other, by the rules of a profile."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data.folder.labels import LabelReader
from bench.errors import DataError
from bench.spec import DataSpec

RULES = {
    "as they are": {},
    "zero ignored": {"reduce_zero_label": True},
    "another label ignored": {"ignore_index": 254},
    "zero is the ignored label": {"ignore_index": 0},
    "255 is a class": {"label_map": ((255, 1),)},
    "a class is ignored": {"label_map": ((2, 255),)},
    "a label above the classes": {"label_map": ((9, 2),)},
}


def expected(spec, stored):
    """The class of a stored label; None if it is not allowed."""
    for label, target in spec.label_map:
        if stored == label:
            return target
    if stored == spec.ignore_index:
        return 255
    if spec.reduce_zero_label:
        return 255 if stored == 0 else stored - 1 if stored <= 3 else None
    return stored if stored < 3 else None


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("rule", RULES)
def test_each_stored_label_becomes_its_class_or_is_refused(rule, depth):
    spec = DataSpec(name="folder", classes=("a", "b", "c"), **RULES[rule])
    reader = LabelReader(spec)
    for stored in range(256):
        mask = Image.fromarray(np.array([[0, stored]], depth)[:, 1:])
        if (wanted := expected(spec, stored)) is None:
            with pytest.raises(DataError, match=f"label {stored} at row 0, column 0"):
                reader.translate(mask, Path("m.png"))
        else:
            assert reader.translate(mask, Path("m.png")).tolist() == [[wanted]], stored


def test_255_classes_fill_a_mask():
    reader = LabelReader(DataSpec(name="folder", classes=tuple(map(str, range(255)))))
    stored = np.arange(256, dtype=np.uint8)[None]
    np.testing.assert_array_equal(reader.translate(Image.fromarray(stored), Path("m")), stored)

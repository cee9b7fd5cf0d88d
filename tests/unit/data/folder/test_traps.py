"""What is legal about labels and often a mistake, in one line each."""

import pytest

from bench.data.folder.traps import refuse_unlearnable, traps, unlearnable
from bench.data_spec import DataSpec
from bench.errors import DataError


def spec(*classes, **changes):
    return DataSpec(name="folder", classes=classes, **changes)


def pixels(**counts):
    """Return 256 counts: ``_0=9`` is nine pixels of label 0."""
    found = [0] * 256
    for label, count in counts.items():
        found[int(label[1:])] = count
    return found


@pytest.mark.parametrize(
    ("data", "found", "line"),
    [
        (spec("background", "cell"), pixels(_0=90, _1=10), None),
        (spec("background", "cell"), pixels(_0=90, _255=10), "write label_map = [[255, 1]]"),
        (spec("wall", "floor"), pixels(_0=90, _1=10), "label 0 is 'wall' and covers 90%"),
        (spec("wall", "floor", "door"), pixels(_0=9, _1=9), "classes without a pixel: door"),
        (spec("wall", "floor", "door"), pixels(_1=9, _2=9), "label 0 never occurs: if labels"),
    ],
)
def test_a_trap_is_a_line(data, found, line):
    lines = traps(data, found)
    assert any(line in each for each in lines) if line else lines == []


def test_labels_that_teach_nothing_are_refused():
    """Before any training, with the way out where there is a usual one."""
    two = spec("background", "cell")
    assert unlearnable(two, pixels(_0=1, _1=1)) == ""
    assert unlearnable(spec("cell"), pixels(_0=1)) == ""
    for found, words in (
        (pixels(_255=5), "every pixel is ignored"),
        (pixels(_1=5), "every labelled pixel is 'cell': there is nothing to tell apart"),
        (pixels(_0=5, _255=5), r"label_map = \[\[255, 1\]\]"),
    ):
        with pytest.raises(DataError, match=f"train: .*{words}"):
            refuse_unlearnable(two, found)

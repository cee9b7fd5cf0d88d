"""Drawn scenes: the same everywhere and for ever, and worth learning from."""

import subprocess
import sys

import numpy as np
import pytest
from whole_split import load

from bench.data.registry import open_dataset
from bench.data.scenes.dataset import open_scenes
from bench.errors import DataError, SpecError
from bench.spec import DataSpec

SCENES = open_scenes(DataSpec(name="scenes"), None)


@pytest.fixture(scope="module")
def val():
    return load(SCENES, "val")


def test_splits(val):
    counts = {split: len(SCENES.entries(split)) for split in SCENES.splits()}
    assert counts == {"train": 400, "val": 100, "test": 150}
    assert val.ids[:2] == ("val-000", "val-001")
    assert val.images[0].shape == (96, 128, 3)
    assert val.labels[0].shape == (96, 128)
    assert val.images[0].dtype == val.labels[0].dtype == np.uint8


def test_golden_digest(val):
    """Fixed for all time: published demo numbers stand on these pixels."""
    assert val.digest == "7aae63069ddd"


def test_another_process_draws_the_same(val):
    code = (
        "from bench.data.reading import load_entries; from bench.data.scenes.dataset import *;"
        "from bench.spec import *; scenes = open_scenes(DataSpec(name='scenes'), None);"
        "print(load_entries(scenes.entries('val')).digest)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip() == val.digest, answer.stderr


def test_a_scene_does_not_depend_on_the_others(val):
    alone = SCENES.entries("val")[57].read()
    assert np.array_equal(alone.image, val.images[57])
    assert np.array_equal(alone.label, val.labels[57])


def test_no_scene_stands_in_two_splits(val):
    seen = {image.tobytes() for image in val.images}
    assert len(seen) == len(val)
    train = {entry.read().image.tobytes() for entry in SCENES.entries("train")[:100]}
    assert not seen & train


def test_every_class_occurs_and_little_is_ignored(val):
    labels = np.stack(val.labels)
    shares = np.bincount(labels.ravel(), minlength=256) / labels.size
    assert shares[:9].sum() + shares[255] == pytest.approx(1)
    assert (shares[:9] > 0.003).all()
    assert 0.005 < shares[255] < 0.06
    held = [(labels == kind).any((1, 2)).mean() for kind in range(9)]
    assert min(held) > 0.5  # each class in more than half of the scenes


def test_colour_alone_does_not_tell_the_classes_apart(val):
    """The best guess from a pixel's colour, fitted and scored on the same scenes, stays poor."""
    colours = np.stack(val.images).reshape(-1, 3) // 16
    code = (colours[:, 0].astype(int) * 16 + colours[:, 1]) * 16 + colours[:, 2]
    truth = np.stack(val.labels).ravel()
    known = truth != 255
    table = np.zeros((4096, 9), np.int64)
    np.add.at(table, (code[known], truth[known]), 1)
    matrix = np.zeros((9, 9), np.int64)
    np.add.at(matrix, (truth[known], table.argmax(1)[code[known]]), 1)
    assert 0.1 < SCENES.scores(matrix)["miou"] < 0.45


def test_refusals():
    with pytest.raises(SpecError, match=r"data\.void = 'class' is for camvid, not scenes"):
        open_dataset(DataSpec(name="scenes", void="class"), None)
    with pytest.raises(DataError, match=r"unknown split 'tets'; did you mean 'test'"):
        load(SCENES, "tets")

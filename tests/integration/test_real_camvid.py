"""The published CamVid, if it is in SEGLOSS_DATA_ROOT or in ../shared/data."""

import os
from pathlib import Path

import numpy as np
import pytest
from whole_split import check

from bench.data.registry import evaluation_split, open_dataset, training_split
from bench.spec import DataSpec

ROOT = Path(
    os.environ.get("SEGLOSS_DATA_ROOT")
    or Path(__file__).resolve().parents[2].parent / "shared" / "data"
)
pytestmark = pytest.mark.skipif(
    not (ROOT / "camvid").is_dir(), reason=f"no camvid in {ROOT}; set SEGLOSS_DATA_ROOT"
)
# Share of each class in the test pixels in percent, counted with other code.
SHARES = [17.1, 24.6, 1.2, 25.8, 9.3, 11.3, 1.0, 1.2, 4.0, 0.6, 0.2, 3.8]


def test_every_file_is_sound_and_counted():
    dataset = open_dataset(DataSpec(name="camvid"), ROOT)
    found = check(dataset, dataset.splits())
    assert {split: summary.count for split, summary in found.items()} == {
        "train": 367,
        "val": 101,
        "test": 233,
    }
    assert {summary.size for summary in found.values()} == {(360, 480)}


def test_class_shares_of_test():
    spec = DataSpec(name="camvid", void="class", image_size=(180, 240))
    split = evaluation_split(open_dataset(spec, ROOT), spec)
    counts = sum(np.bincount(label.ravel(), minlength=256) for label in split.labels)
    assert counts[12:].sum() == 0
    assert np.abs(100 * counts[:12] / counts.sum() - SHARES).max() < 0.06


def test_training_pixels_have_the_stated_mean():
    spec = DataSpec(name="camvid", train=("train", "val"), image_size=(45, 60), train_images=117)
    dataset = open_dataset(spec, ROOT)
    split = training_split(dataset, spec)
    assert len(split) == 117
    pixels = np.stack(split.images).reshape(-1, 3).astype(np.float64)
    assert np.abs(pixels.mean(0) - dataset.mean).max() < 2
    assert {int(value) for label in split.labels for value in np.unique(label)} <= {*range(11), 255}

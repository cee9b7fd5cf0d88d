"""What a DataSpec asks for is what a split holds."""

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints

import numpy as np
import pytest
from PIL import Image
from whole_split import load

from bench.data import registry
from bench.data.dataset import evenly_spaced
from bench.data.registry import (
    DATASETS,
    check_splits,
    evaluation_split,
    open_by_name,
    open_dataset,
    training_entries,
    training_split,
)
from bench.data_spec import OWN
from bench.errors import DataError, SpecError
from bench.iou import class_iou, mean_known, pixel_accuracy
from bench.spec import DataSpec


def write_camvid(root, counts, size=(12, 16)):
    rng = np.random.default_rng(0)
    for split, count in counts.items():
        (root / split).mkdir()
        (root / f"{split}annot").mkdir()
        for index in range(count):
            image = rng.integers(0, 256, (*size, 3), np.uint8)
            label = rng.integers(0, 12, size, np.uint8)
            Image.fromarray(image).save(root / split / f"{split}{index}.png")
            Image.fromarray(label).save(root / f"{split}annot" / f"{split}{index}.png")
    return root


@pytest.fixture
def camvid(tmp_path):
    return write_camvid(tmp_path, {"train": 7, "val": 3, "test": 5})


def test_training_joins_splits_in_order(camvid):
    spec = DataSpec(name="camvid", train=("val", "train"))
    split = training_split(open_dataset(spec, camvid), spec)
    assert split.ids == ("val0", "val1", "val2", *(f"train{index}" for index in range(7)))
    assert len(split) == len(split.images) == len(split.labels) == 10


@pytest.mark.parametrize(
    ("limit", "ids"),
    [(1, ["train3"]), (2, ["train1", "train5"]), (7, None), (100, None)],
)
def test_a_limit_picks_evenly(camvid, limit, ids):
    spec = DataSpec(name="camvid", train_images=limit, evaluate_images=limit)
    dataset = open_dataset(spec, camvid)
    ids = ids or [f"train{index}" for index in range(7)]
    assert list(training_split(dataset, spec).ids) == ids
    assert len(evaluation_split(dataset, spec)) == min(limit, 5)


def test_image_size_leaves_evaluation_labels_alone(camvid):
    spec = DataSpec(name="camvid", image_size=(6, 8))
    dataset = open_dataset(spec, camvid)
    training, evaluation = training_split(dataset, spec), evaluation_split(dataset, spec)
    assert training.images[0].shape == evaluation.images[0].shape == (6, 8, 3)
    assert training.labels[0].shape == (6, 8)
    assert evaluation.labels[0].shape == (12, 16)
    stored = load(dataset, "test")
    assert all(map(np.array_equal, evaluation.labels, stored.labels))
    # Halving by an antialiased filter keeps the mean; dropping pixels of noise would not.
    assert evaluation.images[0].mean() == pytest.approx(stored.images[0].mean(), abs=3)


def test_digest_is_of_the_stored_pixels(camvid):
    small, full = DataSpec(name="camvid", image_size=(6, 8)), DataSpec(name="camvid")
    dataset = open_dataset(full, camvid)
    digest = evaluation_split(dataset, full).digest
    assert evaluation_split(dataset, small).digest == digest
    assert load(dataset, "test").digest == digest
    fewer = DataSpec(name="camvid", evaluate_images=4)
    assert evaluation_split(dataset, fewer).digest != digest


def test_digest_sees_one_pixel_and_one_name(camvid):
    spec = DataSpec(name="camvid")
    dataset = open_dataset(spec, camvid)
    before = load(dataset, "test").digest
    path = camvid / "testannot" / "test2.png"
    label = np.array(Image.open(path))
    label[3, 4] = (label[3, 4] + 1) % 11
    Image.fromarray(label).save(path)
    after = load(dataset, "test").digest
    for folder in ("test", "testannot"):
        (camvid / folder / "test4.png").rename(camvid / folder / "test5.png")
    assert len({before, after, load(dataset, "test").digest}) == 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "camvidd"}, r"data\.name: unknown data set 'camvidd'; did you mean 'camvid'"),
        ({"train": ("trian",)}, r"data\.train: unknown split 'trian'; did you mean 'train'"),
        ({"evaluate": "holdout"}, r"data\.evaluate: unknown split 'holdout'; known: test, train"),
        ({"train": ("train", "train")}, r"data\.train holds images twice: train, train"),
    ],
)
def test_open_refuses(fields, message):
    with pytest.raises(SpecError, match=message):
        open_dataset(DataSpec(**{"name": "camvid", **fields}), None)


@pytest.mark.parametrize("name", [name for name in DATASETS if name not in OWN])
def test_names_and_colours_fit_and_cost_no_file(name):
    dataset = open_by_name(name, None)
    count = len(dataset.class_names)
    assert dataset.name == name
    assert len(set(dataset.class_names)) == count
    assert dataset.palette.shape == (count, 3)
    assert dataset.palette.dtype == np.uint8
    assert len({tuple(colour) for colour in dataset.palette.tolist()}) == count
    assert dataset.thin_classes
    assert set(dataset.thin_classes) < set(dataset.class_names)
    matrix = np.random.default_rng(0).integers(0, 50, (count, count))
    scores = dataset.scores(matrix)
    assert tuple(scores) == dataset.metric_names
    assert all(0 <= value <= 1 for value in scores.values())


def test_iou_by_sets():
    rng = np.random.default_rng(1)
    truth, prediction = rng.integers(0, 3, 200), rng.integers(0, 3, 200)
    matrix = np.zeros((4, 4), np.int64)  # the last class never occurs
    np.add.at(matrix, (truth, prediction), 1)
    expected = [
        np.sum((truth == kind) & (prediction == kind))
        / np.sum((truth == kind) | (prediction == kind))
        for kind in range(3)
    ]
    assert np.allclose(class_iou(matrix)[:3], expected)
    assert np.isnan(class_iou(matrix)[3])
    assert mean_known(class_iou(matrix)) == pytest.approx(np.mean(expected))
    assert pixel_accuracy(matrix) == pytest.approx(np.mean(truth == prediction))


def test_nothing_counted_is_not_a_number():
    empty = np.zeros((3, 3), np.int64)
    assert np.isnan(mean_known(class_iou(empty)))
    assert np.isnan(pixel_accuracy(empty))


def test_evenly_spaced_picks_are_the_middles_of_equal_shares():
    """All of a list that is shorter than the number asked for."""
    assert evenly_spaced(10, 3) == [1, 5, 8]
    assert evenly_spaced(7, 4) == [0, 2, 4, 6]
    assert evenly_spaced(3, 10) == [0, 1, 2]
    assert evenly_spaced(0, 4) == []


def test_import_is_light():
    code = (
        "import sys, bench.data.registry; print({'torch', 'mlflow', 'pandas'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip() == "set()", answer.stderr


MINE = """
from dataclasses import replace
from bench.data.scenes.dataset import open_scenes

def open_mine(spec, data_root):
    return replace(open_scenes(spec, data_root), name="mine")
"""


def test_an_installed_package_may_bring_a_data_set(monkeypatch, tmp_path):
    """Its name is listed after the project's own, which it cannot replace."""
    (tmp_path / "my_data_set.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    targets = {"mine": "my_data_set:open_mine", "scenes": "no:one", "gone": "no.such.module:open"}
    group = registry.ENTRY_POINT_GROUP
    points = [EntryPoint(name, target, group) for name, target in targets.items()]
    monkeypatch.setattr(registry, "_plugins", lambda: EntryPoints(points))
    assert registry.dataset_names()[-2:] == ["gone", "mine"]
    spec = DataSpec(name="mine", train_images=3)
    assert open_dataset(spec, None).name == "mine"
    assert len(training_split(open_dataset(spec, None), spec)) == 3
    assert open_by_name("scenes", None).name == "scenes"
    with pytest.raises(SpecError, match=r"the plug-in 'gone' cannot be loaded: ModuleNotFound"):
        open_by_name("gone", None)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"images": "a"}, r"data\.images = 'a' is for folder and huggingface, not scenes; leave"),
        ({"label_map": ((1, 0),), "classes": ("a",)}, "is for folder and huggingface, not scenes"),
        ({"class_map": "strict"}, r"data\.class_map = 'strict' is for camvid, not scenes"),
    ],
)
def test_options_of_another_data_set_are_refused(fields, message):
    """A key without effect would be believed to have one."""
    with pytest.raises(SpecError, match=message):
        open_dataset(DataSpec(name="scenes", **fields), None)


def test_an_image_in_two_lists_is_refused(tmp_path):
    """It would be trained on and scored."""
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for name in "ab":
            pixels = rng.integers(0, 2, (8, 8), np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{name}.png")
    (tmp_path / "train.txt").write_text("a\nb\n")
    (tmp_path / "val.txt").write_text("b\n")
    own = {"images": "images", "masks": "masks", "lists": "{split}.txt", "classes": ("x", "y")}
    spec = DataSpec(name="folder", evaluate="val", **own)
    with pytest.raises(DataError, match="1 images of 'val' are trained on too: b; name each"):
        check_splits(open_dataset(spec, tmp_path), spec)


def test_splits_may_number_their_images_alike(camvid):
    """In folders of their own; in one training each name may stand for one image only."""
    for split in ("train", "val"):
        for folder in (split, f"{split}annot"):
            for path in (camvid / folder).iterdir():
                path.rename(path.with_stem(path.stem.removeprefix(split)))
    spec = DataSpec(name="camvid", evaluate="val")
    assert check_splits(open_dataset(spec, camvid), spec)["val"].count == 3
    both = DataSpec(name="camvid", train=("train", "val"))
    with pytest.raises(DataError, match="train and val both have an image called 0; rename one"):
        training_entries(open_dataset(both, camvid), both)

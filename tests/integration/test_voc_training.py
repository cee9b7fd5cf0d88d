"""VOC from the files to a score: on tiny images, and on five real pairs if they are available."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from voc_tree import AUG, TRAIN, VAL, listed, own
from whole_split import check, load

from bench.data.registry import open_by_name
from bench.data.voc.dataset import CLASS_NAMES
from bench.runs.rundir import run_dir
from bench.spec import DataSpec, LossSpec, ModelSpec, RecipeSpec, RunSpec

ROOT = (
    Path(
        os.environ.get("SEGLOSS_DATA_ROOT")
        or Path(__file__).resolve().parents[2].parent / "shared" / "data"
    )
    / "minivoc"
)
real = pytest.mark.skipif(not ROOT.is_dir(), reason=f"no {ROOT}; set SEGLOSS_DATA_ROOT")


def trained(worker, root, data_root):
    """Train two steps on trainaug, evaluate on val, and return the result and the log."""
    spec = RunSpec(
        data=DataSpec(name="voc", train=("trainaug",), evaluate="val"),
        model=ModelSpec(
            backbone="test_efficientnet", pretrained=False, head_channels=16, atrous_rates=(1, 2, 3)
        ),
        recipe=RecipeSpec(steps=2, batch_size=4, crop_size=(65, 65), lr=0.01, scale=(0.5, 2.0)),
        loss=LossSpec(name="rmi"),
    )
    directory = run_dir(root, spec.run_id)
    directory.create(spec)
    done = worker(directory.path, "--data-root", data_root)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory.result(), done.stdout


def test_tiny_images_train_and_score(worker, tmp_path):
    own(tmp_path / "VOC2012")
    listed(tmp_path / "VOC2012")
    result, log = trained(worker, tmp_path, tmp_path)
    assert tuple(result["class_iou"]) == CLASS_NAMES
    assert result["metrics"].keys() >= {"miou_21", "pixel_accuracy", "thin_miou"}
    assert f"trainaug: {len(TRAIN) + len(AUG)} ids, NOT the published 10,582" in log
    assert len(np.load(tmp_path / "runs" / result["run_id"] / "confusion.npz")["ids"]) == len(VAL)


@real
def test_real_pairs_load():
    dataset = open_by_name("voc", ROOT)
    found = check(dataset, ["train", "val", "trainval", "trainaug"])
    assert {split: summary.count for split, summary in found.items()} == {
        "train": 4,
        "val": 1,
        "trainval": 5,
        "trainaug": 4,
    }
    assert load(dataset, "trainaug").digest == load(dataset, "train").digest
    loaded = load(dataset, "trainval")
    assert loaded.ids[:2] == ("2007_000032", "2007_000033")
    shapes = [image.shape for image in loaded.images]
    assert shapes[:2] == [(281, 500, 3), (366, 500, 3)]
    assert shapes == [(*label.shape, 3) for label in loaded.labels]
    values = {int(value) for label in loaded.labels for value in np.unique(label)}
    assert values == {0, 1, 5, 6, 7, 9, 15, 18, 255}


@real
def test_the_list_of_trainaug_is_the_usual_one():
    from bench.data.voc.devkit import PUBLISHED, compare_with_published_list, read_ids

    ids = read_ids(ROOT / "trainaug_ids.txt")
    assert (
        compare_with_published_list("trainaug", ids) == "trainaug: 10,582 ids, the published list"
    )
    text = "".join(f"{line}\n" for line in sorted((ROOT / "trainaug_ids.txt").read_text().split()))
    assert hashlib.sha256(text.encode()).hexdigest().startswith(PUBLISHED["trainaug"][1])
    assert "NOT the published" in compare_with_published_list("trainaug", ids[1:])


@real
def test_real_pairs_train_and_score(worker, tmp_path):
    result, log = trained(worker, tmp_path, ROOT)
    assert 0 <= result["metrics"]["miou_21"] < 1
    assert result["class_iou"]["background"] is not None
    assert result["class_iou"]["sheep"] in (None, 0.0)  # in no true pixel
    assert "trainaug: 4 ids, NOT the published 10,582" in log

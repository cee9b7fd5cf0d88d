"""Scores of a data set from the counts of its images."""

import numpy as np
import pytest
import torch

from bench.data.registry import open_dataset
from bench.evaluation.metrics import PixelCounts, confusion_matrix
from bench.iou import BORDER_METRICS, class_iou
from bench.runs.rundir import RunDir
from bench.spec import DataSpec

SCENES = open_dataset(DataSpec(name="scenes"), None)


def maps(seed: int, classes: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    target = torch.randint(0, classes, (6, 8), generator=rng, dtype=torch.uint8)
    target = target.repeat_interleave(8, 0).repeat_interleave(8, 1)
    prediction = target.roll(2, 1).clone()
    target[:3] = 255
    return prediction, target


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


def test_miou_is_that_of_the_data_set_not_the_mean_over_images():
    """As VOC scores: 1 of 1 and 1 of 3 pixels right is 2/4, not the mean of 1 and 1/3."""
    counts = PixelCounts(SCENES)
    counts.add(*(torch.tensor([[0]], dtype=torch.uint8) for _ in range(2)))
    counts.add(*(torch.tensor([row], dtype=torch.uint8) for row in ([0, 1, 1], [0, 0, 0])))
    iou = counts.class_iou()
    assert iou[:2].tolist() == [0.5, 0.0]
    assert np.isnan(iou[2:]).all()
    assert counts.scores()["miou"] == 0.25


def test_border_scores_are_read_from_what_is_kept_of_each_image(tmp_path):
    """Any other mean of them can be had without inference."""
    counts = PixelCounts(SCENES)
    for seed in range(3):
        counts.add(*maps(seed))
    counts.write(RunDir(tmp_path), {"a": "a", "b": "b", "c": "c"})
    assert "groups" not in np.load(RunDir(tmp_path).confusion)
    counts.write(RunDir(tmp_path), {"a": "film", "b": "film", "c": "c"})
    assert np.load(RunDir(tmp_path).confusion)["groups"].tolist() == ["film", "film", "c"]
    scores, kept = counts.scores(), np.load(RunDir(tmp_path).boundaries)
    assert kept["ids"].tolist() == ["a", "b", "c"]
    boundary = kept["intersection"].sum(0) / kept["union"].sum(0)
    assert scores["boundary_miou"] == pytest.approx(boundary.mean())
    for i, width in enumerate(kept["widths"]):
        iou = class_iou(kept["trimap"][:, i].sum(0))
        assert scores[f"trimap_miou_{width}"] == pytest.approx(np.nanmean(iou))
    confusion = np.load(RunDir(tmp_path).confusion)["matrices"].sum(0)
    thin = [SCENES.class_names.index(name) for name in ("pole", "sign", "pedestrian")]
    assert scores["thin_miou"] == pytest.approx(class_iou(confusion)[thin].mean())
    # A shift of two pixels is all that is wrong: the nearer to a border, the worse.
    values = [scores[name] for name in BORDER_METRICS[1:]]
    assert values == sorted(values)


def test_objects_are_scored_alike_whether_void_is_a_class_or_not():
    """On the pixels of miou_11, over its classes; a predicted void is a miss."""
    prediction, target = maps(1, classes=12)
    prediction = prediction.where(prediction < 11, 0)
    found = {}
    for void, truth in (("class", target), ("ignore", target.where(target < 11, 255))):
        counts = PixelCounts(open_dataset(DataSpec(name="camvid", void=void), None))
        counts.add(prediction, truth)
        found[void] = counts.scores()
    names = (*BORDER_METRICS, "thin_miou", "miou_11")
    assert [found["class"][name] for name in names] == [found["ignore"][name] for name in names]
    counts = PixelCounts(open_dataset(DataSpec(name="camvid", void="class"), None))
    counts.add(prediction.where(prediction != 3, 11), target)
    assert all(
        counts.scores()[name] < found["class"][name] for name in (*BORDER_METRICS, "miou_11")
    )


def test_a_class_that_is_nowhere_has_no_part_in_a_mean():
    """NaN where no class is left."""
    counts = PixelCounts(SCENES)
    blank = torch.full((5, 5), 255, dtype=torch.uint8)
    counts.add(torch.zeros_like(blank), blank)
    assert all(np.isnan(value) for value in counts.scores().values())

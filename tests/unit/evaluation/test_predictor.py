"""One view or several: what is averaged, and that nothing moves where there is one."""

import numpy as np
import pytest
import torch
from torch import nn

from bench.data.dataset import Split
from bench.data.registry import open_dataset
from bench.evaluation.predictor import Predictor, best
from bench.spec import DataSpec, EvaluationSpec
from losses import build_loss

SCENES = open_dataset(DataSpec(name="scenes"), None)
CPU = torch.device("cpu")


class Blur(nn.Module):
    """Logits of three classes from a 3x3 neighbourhood, zeros outside; says what it was shown."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(3, 3, 3, padding=1)
        self.sizes = []

    def forward(self, images):
        self.sizes.append(tuple(images.shape[-2:]))
        return self.layer(images)


class Point(Blur):
    """Logits from a pixel alone, so that windows and flips can change nothing."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)


def split(size=(20, 30), label_size=None):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    return Split(("a",), [image], [np.zeros(label_size or size, np.uint8)], "digest")


def predicted(model, images, loss="bce", **options):
    predictor = Predictor(model, build_loss(loss), SCENES, CPU, EvaluationSpec(**options))
    (found,) = predictor.split(images)
    return predictor, found


def test_one_view_gives_the_networks_own_logits():
    """Of the whole image, resized to the label."""
    model, images = Blur(), split(label_size=(40, 60))
    predictor, found = predicted(model, images)
    pixels = torch.from_numpy(images.images[0]).permute(2, 0, 1)[None].float()
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (SCENES.mean, SCENES.std))
    with torch.no_grad():
        logits = model((pixels - mean) / std)
    logits = nn.functional.interpolate(logits, (40, 60), mode="bilinear")[0]
    torch.testing.assert_close(found.scores, logits)
    torch.testing.assert_close(predictor.probabilities(found.scores).sum(0), torch.ones(40, 60))
    assert found.seconds > 0


@pytest.mark.parametrize("loss", ["ce", "bce"])
def test_scales_and_flip_average_the_losses_own_probabilities(loss):
    """Each scale as seen and mirrored; a sigmoid loss averages sigmoids."""
    model, images = Blur(), split()
    predictor, found = predicted(model, images, loss, scales=(0.5, 1.0, 1.5), flip=True)
    assert model.sizes == [(10, 15)] * 2 + [(20, 30)] * 2 + [(30, 45)] * 2
    parts = []
    for scale in (0.5, 1.0, 1.5):
        one, seen = predicted(Blur(), images, loss, scales=(scale,))
        flipped = Split(("a",), [images.images[0][:, ::-1].copy()], images.labels, "")
        mirrored = predicted(Blur(), flipped, loss, scales=(scale,))[1]
        parts += [one.probabilities(seen.scores), one.probabilities(mirrored.scores).flip(-1)]
    torch.testing.assert_close(found.scores, torch.stack(parts).mean(0), atol=1e-5, rtol=1e-4)
    assert predictor.probabilities(found.scores) is found.scores


def test_windows_cover_the_image_and_hold_no_more_than_their_size():
    """Overlaps are averaged; the last window ends with the image; one larger than it is cut."""
    model, images = Point(), split()
    _, whole = predicted(model, images)
    model.sizes.clear()
    _, found = predicted(model, images, window=(8, 12), stride=(5, 9))
    assert model.sizes == [(8, 12)] * 12  # rows 0, 5, 10, 12 and columns 0, 9, 18
    torch.testing.assert_close(found.scores, whole.scores)
    model.sizes.clear()
    _, found = predicted(model, images, window=(64, 12), stride=(64, 12))
    assert model.sizes == [(20, 12)] * 3
    torch.testing.assert_close(found.scores, whole.scores)


def test_windows_average_logits_where_they_overlap():
    """By hand, on two windows of a row."""
    model, images = Blur(), split((4, 6))
    _, found = predicted(model, images, window=(4, 4), stride=(4, 2))
    left, right = (
        predicted(Blur(), Split(("a",), [images.images[0][:, s].copy()], [np.zeros((4, 4))], ""))[1]
        for s in (slice(0, 4), slice(2, 6))
    )
    torch.testing.assert_close(found.scores[..., :2], left.scores[..., :2])
    torch.testing.assert_close(found.scores[..., 4:], right.scores[..., 2:])
    middle = (left.scores[..., 2:] + right.scores[..., :2]) / 2
    torch.testing.assert_close(found.scores[..., 2:4], middle)


def test_an_image_without_a_label_is_predicted_at_any_size():
    """As it would be with a label of that size."""
    model, images = Blur(), split(label_size=(40, 60))
    predictor, found = predicted(model, images)
    assert torch.equal(predictor.scores(images.images[0], (40, 60)), found.scores)
    assert best(found.scores).dtype == torch.uint8

"""Augmentation: geometry drawn from (seed, epoch, index) alone, no label invented by it."""

import hashlib
import subprocess
import sys
from dataclasses import astuple

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close
from torchvision.transforms.v2 import functional as F

from bench.data.augmentation import (
    Augmentation,
    apply_augmentation,
    draw_augmentation,
    normalise,
    sample_augmentation,
    training_batch,
)
from bench.data.dataset import Split
from bench.data.scenes.dataset import open_scenes
from bench.seeding import generator
from bench.spec import DataSpec, RecipeSpec

SCENES = open_scenes(DataSpec(name="scenes"), None)
RECIPE = RecipeSpec(steps=1, batch_size=2, crop_size=(40, 56), lr=0.1, scale=(0.3, 1.5))
MEAN = (100.0, 110.4, 120.6)


def picture(height=30, width=44, seed=0):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    label = rng.choice(np.array([0, 3, 7, 255], np.uint8), (height, width))
    return image, label


@pytest.fixture(scope="module")
def split():
    samples = [entry.read() for entry in SCENES.entries("train")[:6]]
    return Split(
        tuple(sample.id for sample in samples),
        [sample.image for sample in samples],
        [sample.label for sample in samples],
        "",
    )


def draws(count=300, **changes):
    options = {"crop_size": (40, 56), "scale": (0.5, 1.5), "flip": True, **changes}
    return [draw_augmentation(generator(0, "t", i), (60, 80), **options) for i in range(count)]


def test_draws_stay_inside_and_reach_the_ends():
    found = draws()
    for each in found:
        assert 30 <= each.height <= 90
        assert abs(each.width / each.height - 80 / 60) < 0.04
        assert 0 <= each.top <= max(0, each.height - 40)
        assert 0 <= each.left <= max(0, each.width - 56)
    assert min(each.height for each in found) < 33
    assert max(each.height for each in found) > 87
    assert 0.4 < np.mean([each.flip for each in found]) < 0.6
    assert all(each.top == 0 for each in found if each.height <= 40)


def test_corners_reach_both_ends():
    tops = {each.top for each in draws(scale=(1.0, 1.0), crop_size=(57, 80))}
    assert tops == {0, 1, 2, 3}


def test_options_do_not_disturb_one_another():
    with_flip, without = draws(), draws(flip=False)
    assert not any(each.flip for each in without)
    assert [astuple(each)[:4] for each in with_flip] == [astuple(each)[:4] for each in without]


def test_discrete_factors_are_drawn_evenly_from_end_to_end():
    """{0.5, 0.75, …, 2.0}: each about as often (chi-squared, 6 degrees of freedom, p > 0.001)."""
    found = [each.height for each in draws(1400, scale=(0.5, 2.0), scale_step=0.25)]
    counts = {height: found.count(height) for height in sorted(set(found))}
    assert list(counts) == [30, 45, 60, 75, 90, 105, 120]
    assert sum((count - 200) ** 2 / 200 for count in counts.values()) < 22.5


def test_bicubic_is_another_image_and_the_same_label():
    image, label = picture()
    drawn = Augmentation(40, 59, 3, 5, False)
    plain = apply_augmentation(image, label, drawn, (24, 32), MEAN)
    cubic = apply_augmentation(image, label, drawn, (24, 32), MEAN, interpolation="bicubic")
    assert torch.equal(plain[1], cubic[1])
    assert not torch.equal(plain[0], cubic[0])
    near = torch.from_numpy(
        np.array(Image.fromarray(image).resize((59, 40), Image.Resampling.BICUBIC))
    ).permute(2, 0, 1)[:, 3:27, 5:37]
    assert (cubic[0].int() - near.int()).abs().max() <= 1


def test_nothing_to_do_changes_nothing():
    image, label = picture()
    pixels, classes = apply_augmentation(
        image, label, Augmentation(30, 44, 0, 0, False), (30, 44), MEAN
    )
    assert np.array_equal(pixels.permute(1, 2, 0).numpy(), image)
    assert np.array_equal(classes.numpy(), label)
    assert pixels.dtype == torch.uint8
    assert classes.dtype == torch.uint8


def test_flip_mirrors_image_and_label():
    image, label = picture()
    plain = apply_augmentation(image, label, Augmentation(40, 59, 3, 5, False), (24, 32), MEAN)
    mirrored = apply_augmentation(image, label, Augmentation(40, 59, 3, 5, True), (24, 32), MEAN)
    for one, other in zip(plain, mirrored, strict=True):
        assert torch.equal(one.flip(-1), other)


def test_crop_is_a_window_of_the_scaled_whole():
    image, label = picture()
    whole = apply_augmentation(image, label, Augmentation(40, 59, 0, 0, False), (40, 59), MEAN)
    part = apply_augmentation(image, label, Augmentation(40, 59, 3, 5, False), (24, 32), MEAN)
    for one, other in zip(whole, part, strict=True):
        assert torch.equal(one[..., 3:27, 5:37], other)


@pytest.mark.parametrize(("height", "width"), [(18, 26), (15, 22), (71, 103)])
def test_labels_are_taken_from_the_nearest_pixel_never_invented(height, width):
    image, label = picture()
    _, classes = apply_augmentation(
        image, label, Augmentation(height, width, 0, 0, False), (height, width), MEAN
    )
    assert set(classes.unique().tolist()) <= {0, 3, 7, 255}
    rows = ((np.arange(height) + 0.5) * 30 / height).astype(int)
    columns = ((np.arange(width) + 0.5) * 44 / width).astype(int)
    assert np.array_equal(classes.numpy(), label[rows[:, None], columns])


def test_image_and_label_stay_aligned():
    """A bright square and its label keep the same centre at every scale."""
    image, label = np.zeros((60, 80, 3), np.uint8), np.zeros((60, 80), np.uint8)
    image[21:41, 30:50], label[21:41, 30:50] = 200, 1
    for height in (33, 60, 97):
        width = round(80 * height / 60)
        pixels, classes = apply_augmentation(
            image, label, Augmentation(height, width, 0, 0, False), (height, width), MEAN
        )
        for weight in (pixels[0].double(), (classes == 1).double()):
            centre = (weight.sum(1) * (torch.arange(height) + 0.5)).sum() / weight.sum()
            assert centre.item() / height == pytest.approx(31 / 60, abs=0.5 / height)


def test_padding_is_mean_colour_and_ignored():
    image, label = picture()
    pixels, classes = apply_augmentation(
        image, label, Augmentation(15, 22, 0, 0, False), (20, 30), MEAN, ignore_index=254
    )
    assert pixels.shape == (3, 20, 30)
    for part in (pixels[:, 15:, :], pixels[:, :, 22:]):
        assert all(set(part[c].unique().tolist()) == {v} for c, v in enumerate((100, 110, 121)))
    assert (classes[15:] == 254).all()
    assert (classes[:, 22:] == 254).all()
    assert not (classes[:15, :22] == 254).any()


def test_normalise():
    images = torch.randint(0, 256, (2, 3, 4, 5), dtype=torch.uint8)
    before = images.clone()
    normal = normalise(images, MEAN, (50.0, 60.0, 70.0))
    assert normal.dtype == torch.float32
    assert torch.equal(images, before)
    back = normal * torch.tensor([50.0, 60.0, 70.0]).view(3, 1, 1)
    assert_close(back + torch.tensor(MEAN).view(3, 1, 1), images.float())


def test_normalise_is_torchvisions_to_the_bit():
    images = torch.randint(0, 256, (2, 3, 40, 50), dtype=torch.uint8)
    std = (58.395, 57.12, 57.375)
    expected = F.normalize(images.float(), list(MEAN), list(std))
    assert torch.equal(normalise(images, MEAN, std), expected)


def batch(split, indices, *, epoch, seed):
    draws = [sample_augmentation(split, index, epoch, seed, RECIPE) for index in indices]
    return training_batch(split, indices, draws, RECIPE, SCENES.mean)


def test_batch_shapes_and_values(split):
    images, labels = batch(split, [4, 1, 2], epoch=0, seed=7)
    assert images.shape == (3, 3, 40, 56)
    assert images.dtype == torch.uint8
    assert labels.shape == (3, 40, 56)
    assert labels.dtype == torch.uint8
    assert set(labels.unique().tolist()) <= {*range(9), 255}


def test_a_sample_does_not_depend_on_its_batch(split):
    images, labels = batch(split, [4, 1, 2], epoch=3, seed=7)
    for place, index in enumerate([4, 1, 2]):
        image, label = batch(split, [index], epoch=3, seed=7)
        assert torch.equal(image[0], images[place])
        assert torch.equal(label[0], labels[place])


def test_every_epoch_and_seed_draws_anew():
    large = Split(("a",) * 4, [], [np.zeros((960, 1280), np.uint8)] * 4, "")
    found = {
        sample_augmentation(large, index, epoch, seed, RECIPE)
        for index in range(4)
        for epoch in range(4)
        for seed in range(4)
    }
    assert len(found) == 64


def test_another_process_makes_the_same_batch(split):
    code = """
import hashlib, sys
from bench.data.reading import load_entries
from bench.data.scenes.dataset import open_scenes
from bench.spec import DataSpec, RecipeSpec
from bench.data.augmentation import sample_augmentation, training_batch
scenes = open_scenes(DataSpec(name="scenes"), None)
recipe = RecipeSpec(steps=1, batch_size=2, crop_size=(40, 56), lr=0.1, scale=(0.3, 1.5))
split = load_entries(scenes.entries("train")[:6])
draws = [sample_augmentation(split, index, 2, 1, recipe) for index in (5, 0)]
images, labels = training_batch(split, [5, 0], draws, recipe, scenes.mean)
print(hashlib.sha256(images.numpy().tobytes() + labels.numpy().tobytes()).hexdigest())
"""
    images, labels = batch(split, [5, 0], epoch=2, seed=1)
    digest = hashlib.sha256(images.numpy().tobytes() + labels.numpy().tobytes()).hexdigest()
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip() == digest, answer.stderr

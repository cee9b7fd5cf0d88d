"""Odd files as they are read: rotated, of several frames, of extreme sizes; and locked places."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from zoo_tree import COUNT, LABELS, PIXELS, Tree, checked, first_batch, surveyed, trained

from bench.data.registry import evaluation_split, open_dataset, training_split
from bench.evaluation.predictor import Predictor
from bench.models.deeplab import build_model
from bench.profile import load_profile
from bench.spec import EvaluationSpec
from losses import build_loss

TURNS = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
"""How a camera's picture is stored for each EXIF orientation."""


def red_where_tree():
    """An image that shows its own labels."""
    pixels = np.zeros((*LABELS.shape, 3), np.uint8)
    pixels[LABELS == 1] = (255, 0, 0)
    return Image.fromarray(pixels)


def read(tree):
    profile = load_profile(tree.write())
    dataset = open_dataset(profile.data, Path(profile.data_root))
    splits = training_split(dataset, profile.data), evaluation_split(dataset, profile.data)
    return [pair for split in splits for pair in zip(split.images, split.labels, strict=True)]


# An image turned by 180 degrees keeps its size, so it is always read as shown.
@pytest.mark.parametrize(
    ("orientation", "drawn_as_stored"), [(3, False), (6, False), (8, False), (6, True), (8, True)]
)
def test_a_rotated_image_fits_its_mask(tmp_path, orientation, drawn_as_stored):
    """Masks are drawn on the image as shown, or, where only that fits, on the image as stored."""
    tree = Tree(tmp_path / "zoo")
    exif = Image.Exif()
    exif[0x0112] = orientation
    shown = red_where_tree()
    stored = shown.transpose(TURNS[orientation])
    mask = Image.fromarray(LABELS)
    mask = mask.transpose(TURNS[orientation]) if drawn_as_stored else mask
    tree.images(stored, "jpg", exif=exif, quality=95, subsampling=0)
    tree.masks(mask)
    for image, label in read(tree):
        assert label.shape == mask.size[::-1]
        assert ((image[..., 0] > 127) == (label == 1)).mean() > 0.99
    assert surveyed(tree.root, tmp_path / "own.toml") == ""
    assert "rotated by EXIF" in (tmp_path / "own.toml").read_text()
    assert trained(str(tmp_path / "own.toml")) == ""


@pytest.mark.parametrize("end", ["gif", "tif"])
def test_the_first_frame_of_several_is_the_image(tmp_path, end):
    tree = Tree(tmp_path / "zoo")
    grey = Image.fromarray(PIXELS[..., 0])
    tree.images(grey, end, save_all=True, append_images=[Image.new("L", grey.size, 0)])
    for image, _ in read(tree):
        np.testing.assert_array_equal(image, PIXELS[..., :1].repeat(3, 2))


@pytest.mark.parametrize("size", [(1, 1), (20_000, 20), (3, 700)])
def test_a_network_trains_on_images_of_any_size_and_predicts_them(tmp_path, size):
    """A small image is padded to the crop; prediction pads nothing."""
    tree = Tree(tmp_path / "zoo")
    height, width = size
    rng = np.random.default_rng(0)
    for number in range(COUNT):
        tree.image(number, rng.integers(0, 256, (*size, 3), np.uint8))
        tree.mask(number, np.full(size, number % 3, np.uint8))
    profile = tree.write()
    batch = first_batch(profile)
    model = build_model(load_profile(profile).model, 3, seed=0)
    loss = build_loss("ce")
    (value,) = loss.terms(model(batch.images.float() / 255), batch.labels.long()).values()
    value.backward()
    assert torch.isfinite(value)
    data = load_profile(profile).data
    dataset = open_dataset(data, tree.root)
    predictor = Predictor(model, loss, dataset, torch.device("cpu"), EvaluationSpec())
    scores = next(predictor.split(evaluation_split(dataset, data))).scores
    assert scores.shape == (3, height, width)
    assert scores.isfinite().all()


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    tree = Tree(tmp_path / "zoo")
    opened = Image.open

    def refuse(source):
        if Path(source).name == "s0.png":
            raise PermissionError(errno.EACCES, "Permission denied", str(source))
        return opened(source)

    monkeypatch.setattr(Image, "open", refuse)
    profile = tree.write()
    words = "s0.png: cannot be read (Permission denied); check the file and its permissions"
    assert words in trained(profile)
    assert words in checked(profile)[0]
    assert surveyed(tree.root, tmp_path / "own.toml") == ""
    assert words in (tmp_path / "own.toml").read_text()


def test_a_pipe_is_named_instead_of_waited_for(tmp_path):
    tree = Tree(tmp_path / "zoo")
    pipe = tree.path("images", 0)
    pipe.unlink()
    os.mkfifo(pipe)
    profile = tree.write()
    words = f"{pipe}: is a pipe, a device or a folder; replace it by an image"
    assert words in trained(profile)
    assert words in checked(profile)[0]


def test_a_folder_that_may_not_be_listed_is_named(tmp_path, monkeypatch):
    tree = Tree(tmp_path / "zoo")

    def refuse(folder, onerror, followlinks):
        onerror(PermissionError(errno.EACCES, "Permission denied", str(folder)))

    monkeypatch.setattr("bench.data.folder.files.os.walk", refuse)
    profile = tree.write()
    words = "cannot be listed (Permission denied); check its permissions"
    for message in (
        trained(profile),
        checked(profile)[0],
        surveyed(tree.root, tmp_path / "o.toml"),
    ):
        assert words in message


def test_init_names_a_place_where_it_cannot_write(tmp_path, monkeypatch):
    tree = Tree(tmp_path / "zoo")

    def refuse(path, write):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr("bench.data.survey.profile.write_whole", refuse)
    message = surveyed(tree.root, tmp_path / "o.toml")
    assert message.endswith("o.toml: cannot be written: Read-only file system; name another --out")


def test_init_names_what_is_no_folder_and_what_exists(tmp_path):
    tree = Tree(tmp_path / "zoo")
    assert surveyed(tree.root / "none", tmp_path / "o.toml").endswith("none is no folder")
    assert surveyed(tree.path("images", 0), tmp_path / "o.toml").endswith("s0.png is no folder")
    (tmp_path / "o.toml").touch()
    assert "already exists; delete it" in surveyed(tree.root, tmp_path / "o.toml")


@pytest.mark.parametrize(
    "name", ["a\nb", 'quo"te', "back\\slash", "tab\t'", "Größe 数据", "50% {x}"]
)
def test_init_writes_a_profile_for_a_folder_of_any_name(tmp_path, name):
    tree = Tree(tmp_path / name / "zoo")
    (tree.root / "images").rename(tree.root / f"images {name}")
    own = tmp_path / "own.toml"
    assert surveyed(tree.root, own) == ""
    assert trained(str(own)) == ""


def test_numbered_folders_beside_files_of_their_own_are_taken_together(tmp_path):
    """One folder for each patient, and a few images above them."""
    tree = Tree(tmp_path / "zoo")
    for folder in ("images", "masks"):
        for number in range(3):
            place = tree.root / folder / f"patient{number}"
            place.mkdir()
            tree.path(folder, number).rename(place / f"s{number}.png")
    own = tmp_path / "own.toml"
    assert surveyed(tree.root, own) == ""
    assert "6 pairs of image and mask" in own.read_text()
    assert trained(str(own)) == ""

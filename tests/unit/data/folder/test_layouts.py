"""Folders as other tools lay them out, each read by a profile of at most 15 lines."""

import gc

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import Cityscapes

from bench.data.registry import evaluation_split, open_dataset, training_split
from bench.data.survey.profile import write_profile
from bench.profile import load_profile

SPLITS = {"train": 3, "val": 2}
REST = """
[model]
backbone = "test_efficientnet"
[recipe]
steps = 9
batch_size = 2
crop_size = [32, 32]
lr = 0.1
"""
THREE = 'classes = ["wall", "floor", "door"]'
LAYOUTS = {
    "ultralytics": (
        ("images/{split}/{id}.jpg", "masks/{split}/{id}.png"),
        ('images = "images/{split}"', 'masks = "masks/{split}"'),
    ),
    "mmsegmentation": (
        ("img_dir/{split}/{id}_rgb.png", "ann_dir/{split}/{id}_seg.png"),
        ('images = "img_dir/{split}"', 'masks = "ann_dir/{split}"',
         'image_suffix = "_rgb.png"', 'mask_suffix = "_seg.png"'),
    ),
    "paddleseg": (
        ("images/{id}.jpg", "labels/{id}.png"),
        ('images = "images"', 'masks = "labels"', 'lists = "{split}.txt"'),
    ),
    "segnet": (
        ("{split}/{id}.png", "{split}annot/{id}.png"),
        ('images = "{split}"', 'masks = "{split}annot"'),
    ),
    "voc": (
        ("JPEGImages/{id}.jpg", "SegmentationClass/{id}.png"),
        ('images = "JPEGImages"', 'masks = "SegmentationClass"',
         'lists = "ImageSets/Segmentation/{split}.txt"'),
    ),
}  # fmt: skip
LISTS = {
    "paddleseg": ("{split}.txt", "images/{id}.jpg labels/{id}.png"),
    "voc": ("ImageSets/Segmentation/{split}.txt", "{id}"),
}


def draw(root, templates, split, id, values):
    """Write one image and its mask; return the mask."""
    rng = np.random.default_rng(len(id))
    image, mask = (root / template.format(split=split, id=id) for template in templates)
    for path in (image, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
    label = rng.choice(np.array(values, np.uint8), (40, 48))
    Image.fromarray(rng.integers(0, 256, (40, 48, 3), np.uint8)).save(image)
    Image.fromarray(label).save(mask)
    return label


def tree(root, layout, values=(0, 1, 2, 255)):
    """Draw every split of a layout; return the labels by id."""
    templates, labels = LAYOUTS[layout][0], {}
    for split, count in SPLITS.items():
        ids = [f"{split}{'x' * number}" for number in range(count)]
        labels |= {id: draw(root, templates, split, id, values) for id in ids}
        if layout in LISTS:
            path, line = LISTS[layout]
            file = root / path.format(split=split)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(line.format(id=id) + "\n" for id in ids))
    return labels


def read(profile, root):
    data = load_profile(str(profile)).data
    dataset = open_dataset(data, root)
    return dataset, training_split(dataset, data), evaluation_split(dataset, data)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_fifteen_lines_read_a_layout(layout, tmp_path):
    labels = tree(tmp_path / "data", layout)
    lines = ["[data]", 'name = "folder"', *LAYOUTS[layout][1], THREE, 'evaluate = "val"']
    text = "\n".join(lines) + REST
    assert len(text.splitlines()) <= 15
    (tmp_path / "own.toml").write_text(text)
    dataset, train, val = read(tmp_path / "own.toml", tmp_path / "data")
    assert dataset.class_names == ("wall", "floor", "door")
    assert (len(train), len(val)) == (3, 2)
    for split in (train, val):
        for id, label in zip(split.ids, split.labels, strict=True):
            assert np.array_equal(label, labels[id])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_init_finds_a_layout(layout, tmp_path):
    """The profile that it writes reads every pair, and takes data_root from its own place."""
    labels = tree(tmp_path / "data", layout)
    write_profile(tmp_path / "data", tmp_path / "own.toml")
    profile = load_profile(str(tmp_path / "own.toml"))
    assert profile.data_root == str(tmp_path / "data")
    _, train, val = read(tmp_path / "own.toml", tmp_path / "data")
    assert sorted([*train.ids, *val.ids]) == sorted(labels)
    for id, label in zip(train.ids, train.labels, strict=True):
        assert np.array_equal(label, labels[id])


def test_cityscapes(tmp_path):
    """The shipped profile's table is torchvision's; labels that are not scored become 255."""
    classes = [c for c in Cityscapes.classes if c.id >= 0]
    scored = sorted((c for c in classes if c.train_id != 255), key=lambda c: c.train_id)
    profile = load_profile("cityscapes")
    assert profile.data.classes == tuple(c.name for c in scored)
    assert profile.data.colours == tuple(c.color for c in scored)
    assert dict(profile.data.label_map) == {c.id: c.train_id for c in classes}
    templates = (
        "leftImg8bit/{split}/{id}_leftImg8bit.png",
        "gtFine/{split}/{id}_gtFine_labelIds.png",
    )
    label = draw(tmp_path, templates, "train", "ulm/ulm_000000_000019", (4, 7, 33))
    draw(tmp_path, templates, "val", "lindau/lindau_000001_000019", (7, 8))
    _, train, val = read("cityscapes", tmp_path)
    assert train.ids == ("ulm__ulm_000000_000019",)
    assert len(val) == 1
    expected = np.select([label == 7, label == 33], [0, 18], 255)
    assert np.array_equal(train.labels[0], expected)


def test_ade20k(tmp_path):
    """Label 0 is ignored, and label 150 is the last class."""
    templates = ("images/{split}/{id}.jpg", "annotations/{split}/{id}.png")
    label = draw(tmp_path, templates, "training", "ADE_train_00000001", (0, 1, 150))
    draw(tmp_path, templates, "validation", "ADE_val_00000001", (0, 1, 2))
    dataset, train, _ = read("ade20k", tmp_path)
    assert (dataset.class_names[0], dataset.class_names[-1]) == ("wall", "flag")
    assert len(dataset.class_names) == 150
    assert len({tuple(colour) for colour in dataset.palette.tolist()}) == 150
    assert np.array_equal(train.labels[0], np.where(label == 0, 255, label - 1))


@pytest.fixture
def collected():
    """Collect garbage once the test's own variables are gone: the library leaves files open."""
    yield
    gc.collect()


@pytest.mark.usefixtures("collected")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_table_of_hugging_face(tmp_path, monkeypatch):
    """An image folder with metadata, and the same in parquet, have the same pixels."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    templates = ("folder/{split}/{id}.png", "folder/{split}/{id}_m.png")
    labels = {}
    for split, count in (("train", 3), ("validation", 2)):
        ids = [f"{split}{'x' * number}" for number in range(count)]
        labels |= {id: draw(tmp_path, templates, split, id, (0, 1, 255)) for id in ids}
        rows = "".join(f"{id}.png,{id}_m.png\n" for id in ids)
        (tmp_path / "folder" / split / "metadata.csv").write_text(
            f"file_name,mask_file_name\n{rows}"
        )
        table = datasets.Dataset.from_dict(
            {
                "image": [str(tmp_path / templates[0].format(split=split, id=id)) for id in ids],
                "mask": [str(tmp_path / templates[1].format(split=split, id=id)) for id in ids],
            }
        )
        for column in ("image", "mask"):
            table = table.cast_column(column, datasets.Image())
        (tmp_path / "parquet").mkdir(exist_ok=True)
        table.to_parquet(str(tmp_path / "parquet" / f"{split}-00000-of-00001.parquet"))
    pixels = []
    for path in ("folder", "parquet"):
        text = f'[data]\nname = "huggingface"\npath = "{path}"\nmasks = "mask"\n'
        text += 'classes = ["a", "b"]\nevaluate = "validation"\n' + REST
        (tmp_path / "own.toml").write_text(text)
        _, train, val = read(tmp_path / "own.toml", tmp_path)
        assert (len(train), len(val)) == (3, 2)
        pixels += [[*train.images, *train.labels]]
        for number, label in enumerate(train.labels):
            assert np.array_equal(label, labels[f"train{'x' * number}"])
    assert all(np.array_equal(a, b) for a, b in zip(*pixels, strict=True))


def test_init_keeps_groups_together_and_asks_about_a_few(tmp_path):
    """Two sides of a patient are a group; three films are a question, and need three folds."""
    templates = ("images/{id}.jpg", "masks/{id}.png")
    for names, words in (
        ([f"p{n}{side}" for n in range(6) for side in "LR"], ["# 6 groups", "groups = '^(.*"]),
        (
            [f"film{film}_{n:02d}" for film in "abc" for n in range(4)],
            [
                "# Are these 3 films or patients: filma, filmb, filmc? If so, keep each together:",
                "# groups = '^(.+?)[_-]?\\d+$'",
                "# 3 groups need folds = 3 and seeds = 3",
            ],
        ),
    ):
        folder = tmp_path / names[0]
        for id in names:
            draw(folder, templates, "", id, (0, 1))
        write_profile(folder, tmp_path / f"{names[0]}.toml")
        lines = (tmp_path / f"{names[0]}.toml").read_text().splitlines()
        assert all(any(line.startswith(word) for line in lines) for word in words), lines

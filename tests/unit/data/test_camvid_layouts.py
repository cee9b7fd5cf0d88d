"""CamVid in the forms other than SegNet's: 32 classes, SegNet's lists, and what can be wrong."""

import hashlib
import os
import shutil

import numpy as np
import pytest
from PIL import Image
from whole_split import check, files_read, load

from bench.data.cache import Cache
from bench.data.camvid.dataset import open_camvid
from bench.data.camvid.labels import CLASS_OF
from bench.data.camvid.split import SPLITS, segnet_stems
from bench.data.registry import evaluation_split, open_dataset, training_split
from bench.errors import DataError
from bench.spec import DataSpec

SIZE = (20, 30)
# Some of the 32 classes: name, colour, class by the usual map (11 is void), by the strict one.
CLASSES = [
    ("Animal", (64, 128, 64), 9, 11),
    ("Building", (128, 0, 0), 1, 1),
    ("Column_Pole", (192, 192, 128), 2, 2),
    ("MotorcycleScooter", (192, 0, 192), 10, 11),
    ("Sidewalk", (0, 0, 192), 4, 4),
    ("Void", (0, 0, 0), 11, 11),
]
INDEX = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) % len(CLASSES)
COLOURS = np.array([colour for _, colour, _, _ in CLASSES], np.uint8)[INDEX]
IMAGE = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)


def put(array, paths):
    """The same picture under many names."""
    first, *others = paths
    first.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(first)
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(first, path)


def kaggle(root, image=IMAGE, mask=COLOURS):
    """SegNet's val, scattered over the folders as other splits do; stray blanks as found."""
    places = [(stem, SPLITS[i % 3]) for i, stem in enumerate(segnet_stems("val"))]
    put(image, [root / folder / f"{stem}.png" for stem, folder in places])
    put(mask, [root / f"{folder}_labels" / f"{stem}_L.png" for stem, folder in places])
    rows = [f"{name},{r},{g}, {b}" for name, (r, g, b), _, _ in CLASSES]
    (root / "class_dict.csv").write_text("name,r,g,b\r\n" + "\r\n".join(rows) + "\r\n\r\n")


def original(root, image=IMAGE, mask=COLOURS):
    stems = segnet_stems("val")
    put(image, [root / "701_StillsRaw_full" / f"{stem}.png" for stem in stems])
    put(mask, [root / "LabeledApproved_full" / f"{stem}_L.png" for stem in stems])
    rows = [f"{r} {g} {b}\t\t{name}" for name, (r, g, b), _, _ in CLASSES]
    (root / "label_colors.txt").write_text("\n".join(rows))


def fast_ai(root, image=IMAGE, mask=INDEX):
    stems = segnet_stems("val")
    put(image, [root / "images" / f"{stem}.png" for stem in stems])
    put(mask.astype(np.uint8), [root / "labels" / f"{stem}_P.png" for stem in stems])
    (root / "codes.txt").write_text("\n".join(name for name, *_ in CLASSES))


LAYOUTS = {"Kaggle": kaggle, "original": original, "fast.ai": fast_ai}


KEYS = {"Kaggle": "class_dict.csv", "original": "label_colors.txt", "fast.ai": "codes.txt"}


def camvid(root, **options):
    return open_camvid(DataSpec(name="camvid", **options), root)


@pytest.fixture
def tree(tmp_path):
    kaggle(tmp_path)
    return tmp_path


def test_the_lists_are_segnets():
    """Digests of the published lists, taken apart from this code."""
    digests = {"train": "0f2b2149e1c9f0df", "val": "f80b1b93a53eb17c", "test": "6bb0c1951e12b4b5"}
    counts = {"train": 367, "val": 101, "test": 233}
    for split in SPLITS:
        stems = segnet_stems(split)
        assert stems == sorted(stems)
        assert len(stems) == counts[split]
        text = "".join(f"{stem}\n" for stem in stems)
        assert hashlib.sha256(text.encode()).hexdigest()[:16] == digests[split]


def test_the_maps_name_32_classes():
    for names in CLASS_OF.values():
        assert len(names) == 32
        assert set(names.values()) == set(range(12))
    assert sum(kind == 11 for kind in CLASS_OF["strict"].values()) == 21


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("class_map", ["usual", "strict"])
def test_layouts(tmp_path, layout, class_map):
    LAYOUTS[layout](tmp_path / "camvid")
    classes = np.array([row[2 if class_map == "usual" else 3] for row in CLASSES])[INDEX]
    ignoring = load(camvid(tmp_path, class_map=class_map), "val")
    assert list(ignoring.ids) == segnet_stems("val")
    assert np.array_equal(ignoring.images[0], IMAGE)
    assert np.array_equal(ignoring.labels[100], np.where(classes == 11, 255, classes))
    assert ignoring.labels[0].dtype == np.uint8
    classing = load(camvid(tmp_path, class_map=class_map, void="class"), "val")
    assert np.array_equal(classing.labels[0], classes)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_about(tmp_path, layout):
    LAYOUTS[layout](tmp_path)
    lines = camvid(tmp_path, class_map="strict").notes()
    assert lines[0] == f"layout: {layout} in {tmp_path}"
    assert lines[1] == "splits: SegNet's lists"
    assert "32 to 11 by the strict map" in lines[2]
    assert lines[3] == "size: 30 x 20, not SegNet's 480 x 360; labels are scored at this size"


def test_about_segnets_form(tmp_path):
    put(IMAGE, [tmp_path / "train" / f"{stem}.png" for stem in "ab"])
    put(np.zeros(SIZE, np.uint8), [tmp_path / "trainannot" / f"{stem}.png" for stem in "ab"])
    lines = camvid(tmp_path).notes()
    assert lines[:2] == [f"layout: SegNet in {tmp_path}", "splits: train not SegNet's"]
    with pytest.raises(DataError, match=r"data\.class_map = 'strict' maps 32 classes, .* leave"):
        check(camvid(tmp_path, class_map="strict"), ["train"])


def test_film_size_is_read_at_segnets(tmp_path):
    rng = np.random.default_rng(1)
    cells = rng.integers(0, len(CLASSES), (360, 480))
    image = rng.integers(0, 256, (360, 480, 3), np.uint8)
    full = np.arange(720)[:, None] // 2, np.arange(960) // 2
    fast_ai(tmp_path, image[full], cells[full])
    spec = DataSpec(name="camvid", train=("val",), evaluate_images=1, train_images=2)
    dataset = open_dataset(spec, tmp_path)
    assert dataset.notes()[-1] == "size: 960 x 720, read at SegNet's 480 x 360"
    split = training_split(dataset, spec)
    assert split.images[1].shape == (360, 480, 3)
    classes = np.array([row[2] for row in CLASSES])[cells]
    assert np.array_equal(split.labels[0], np.where(classes == 11, 255, classes))
    # Each pixel is a mean around four equal ones and a few neighbours.
    assert np.abs(split.images[0].astype(int).mean() - image.mean()) < 1
    small = spec.model_copy(update={"image_size": (90, 120), "evaluate": "val", "train": ("test",)})
    assert evaluation_split(open_dataset(small, tmp_path), small).labels[0].shape == (360, 480)


def spoilt_colour(root):
    mask = COLOURS.copy()
    mask[3, 4:7] = (1, 2, 3)
    mask[9, 9] = (255, 255, 255)
    path = next((root / "val_labels").iterdir())
    path.unlink()
    Image.fromarray(mask).save(path)


def without(*paths):
    return lambda root: [(root / path).unlink() for path in paths]


def class_dict(text):
    return lambda root: (root / "class_dict.csv").write_text(text)


def grey(root):
    path = next((root / "val_labels").iterdir())
    path.unlink()
    Image.fromarray(INDEX.astype(np.uint8)).save(path)


FAULTS = {
    "unknown colour": (
        spoilt_colour,
        r"_L\.png: colour \(1, 2, 3\) at row 3, column 4 \(3 pixels of it, 4 of colours not listed"
        r"\) is none of class_dict\.csv's; use the original mask",
    ),
    "image missing": (
        without("train/0016E5_07959.png", "val/0016E5_07961.png"),
        r"no image for 2 of the 101 in SegNet's list of val: 0016E5_07959, 0016E5_07961; fetch",
    ),
    "mask missing": (
        without("train_labels/0016E5_07959_L.png"),
        r"no mask for 1 of the 101 in SegNet's list of val: 0016E5_07959_L; fetch",
    ),
    "in two folders": (
        lambda root: shutil.copy(root / "train/0016E5_07959.png", root / "val"),
        r"val/0016E5_07959\.png: also in train; delete one of them",
    ),
    "no class_dict": (
        without("class_dict.csv"),
        r"class_dict\.csv: the file is missing; it lists the classes .* of CamVid's Kaggle form",
    ),
    "empty class_dict": (class_dict("name,r,g,b\n"), r"class_dict\.csv: lists no colour; fetch"),
    "no colour in a line": (
        class_dict("name,r,g,b\n\nSky,128,128\n"),
        r"class_dict\.csv, line 3: 'Sky 128 128' is not a class name with its red, green and blue",
    ),
    "colour too large": (class_dict("Sky,128,128,300\n"), r"line 1: 'Sky 128 128 300' is not a"),
    "unknown class": (
        class_dict("Pavment,128,128,128\n"),
        r"class_dict\.csv, line 1: unknown CamVid class 'Pavment'; ",
    ),
    "colour twice": (
        class_dict("Sky,128,128,128\nRoad,128,128,128\n"),
        r"line 2: colour \(128, 128, 128\) is listed twice",
    ),
    "indices": (grey, r"_L\.png: colour mode L; a mask of colours is needed here"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(tree, fault):
    spoil, message = FAULTS[fault]
    spoil(tree)
    with pytest.raises(DataError, match=message) as caught:
        check(camvid(tree), ["val"])
    assert "\n" not in str(caught.value)


def test_an_index_that_is_no_code(tmp_path):
    fast_ai(tmp_path, mask=INDEX + 1)
    with pytest.raises(DataError, match=r"_P\.png: label 6 .*; allowed are 0 to 5 and 255"):
        check(camvid(tmp_path), ["val"])


def test_a_split_that_is_not_used_may_be_missing(tree):
    check(camvid(tree), ["val"])
    with pytest.raises(DataError, match=r"no image for 367 of the 367 in SegNet's list of train"):
        check(camvid(tree), ["train"])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_entry_names_every_file_that_decides_its_pixels(tmp_path, layout):
    """Image, mask and the list of classes: by these the decoded cache notices a change."""
    LAYOUTS[layout](tmp_path)
    for entry in camvid(tmp_path).entries("val")[:3]:
        assert list(entry.files[:2]) == files_read([entry])
        assert entry.files[0].stem == entry.id
        assert entry.files[2:] == (tmp_path / KEYS[layout],)


def test_another_list_of_classes_is_noticed_by_the_cache(tmp_path):
    """The images and masks are the same files."""
    kaggle(tmp_path / "data")
    spec = DataSpec(name="camvid", train=("train",), evaluate="val")
    cache = Cache(tmp_path / "cache", print)
    before = evaluation_split(open_dataset(spec, tmp_path / "data"), spec, cache)
    key = tmp_path / "data" / "class_dict.csv"
    key.write_text(key.read_text().replace("Animal", "Tree"))
    dataset = open_dataset(spec, tmp_path / "data")
    after = evaluation_split(dataset, spec, cache)
    assert after.digest == evaluation_split(dataset, spec).digest != before.digest

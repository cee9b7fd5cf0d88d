"""CamVid as SegNet laid it out: what is read, how it is scored, and every way it can be broken."""

import shutil

import numpy as np
import pytest
from PIL import Image
from whole_split import check, load

from bench.data.camvid.dataset import open_camvid
from bench.errors import DataError
from bench.spec import DataSpec

SIZE = (6, 8)
LABEL = np.arange(48, dtype=np.uint8).reshape(SIZE) % 12


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture
def tree(tmp_path):
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for stem in ("b", "a"):
            save(tmp_path / split / f"{stem}.png", rng.integers(0, 256, (*SIZE, 3), np.uint8))
            save(tmp_path / f"{split}annot" / f"{stem}.png", LABEL)
    return tmp_path


def camvid(root, void="ignore"):
    return open_camvid(DataSpec(name="camvid", void=void), root)


def test_void_is_ignored_or_a_class(tree):
    ignoring, classing = camvid(tree), camvid(tree, "class")
    assert ignoring.class_names[-1] == "bicyclist"
    assert classing.class_names == (*ignoring.class_names, "void")
    assert np.array_equal(load(ignoring, "train").labels[0], np.where(LABEL == 11, 255, LABEL))
    assert np.array_equal(load(classing, "train").labels[0], LABEL)


@pytest.mark.parametrize("void", ["ignore", "class"])
def test_255_is_ignored_either_way(tree, void):
    label = LABEL.copy()
    label[0, 0] = 255
    save(tree / "trainannot" / "a.png", label)
    assert load(camvid(tree, void), "train").labels[0][0, 0] == 255


def test_pixels_are_read_as_stored_and_sorted_by_id(tree):
    split = load(camvid(tree), "val")
    assert split.ids == ("a", "b")
    with Image.open(tree / "val" / "b.png") as image:
        assert np.array_equal(split.images[1], np.asarray(image))
    assert split.images[0].flags.writeable  # torch warns about arrays that are not


@pytest.mark.parametrize("place", [".", "camvid", "CamVid"])
def test_places(tree, tmp_path_factory, place):
    root = tmp_path_factory.mktemp("root")
    shutil.copytree(tree, root / place, dirs_exist_ok=True)
    assert load(camvid(root), "test").digest == load(camvid(tree), "test").digest


@pytest.mark.parametrize(
    ("suffix", "options"),
    [(".webp", {"lossless": True}), (".jpg", {}), (".jpeg", {}), (".PNG", {})],
)
def test_image_formats(tree, suffix, options):
    stored = load(camvid(tree), "train")
    path = tree / "train" / "a.png"
    image = Image.open(path)
    image.load()
    path.unlink()
    image.save(path.with_suffix(suffix), **options)
    split = load(camvid(tree), "train")
    assert split.ids == stored.ids
    if suffix != ".jpg" and suffix != ".jpeg":
        assert split.digest == stored.digest


def test_palette_annotation_is_read_as_indices(tree):
    palette = Image.fromarray(LABEL).convert("P")
    palette.putdata(LABEL.ravel().tolist())
    palette.putpalette([200, 10, 10] * 256)
    palette.save(tree / "trainannot" / "a.png")
    labels = load(camvid(tree, "class"), "train").labels
    assert np.array_equal(labels[0], LABEL)


def test_hidden_and_foreign_files_are_no_images(tree):
    (tree / "train" / "._a.png").write_bytes(b"\0\5\x16\7")
    (tree / "train" / "Thumbs.db").write_bytes(b"x")
    (tree / "train.txt").write_text("/SegNet/CamVid/train/a.png\n")
    assert check(camvid(tree), ["train"])["train"].count == 2


def test_check_summary(tree):
    dataset = camvid(tree)
    found = check(dataset, ["train", "test"])
    assert list(found) == ["train", "test"]
    assert found["train"].size == SIZE
    save(tree / "test" / "b.png", np.zeros((9, 9, 3), np.uint8))
    save(tree / "testannot" / "b.png", np.zeros((9, 9), np.uint8))
    assert check(dataset, ["test"])["test"].size is None


def test_scores_ignoring_void():
    matrix = np.diag(np.arange(1, 12))
    matrix[0, 1] = 4
    scores = camvid(None).scores(matrix)
    assert scores["miou_11"] == pytest.approx((1 / 5 + 2 / 6 + 9) / 11)
    assert scores["pixel_accuracy"] == pytest.approx(66 / 70)


def test_scores_with_void_as_a_class():
    rng = np.random.default_rng(3)
    truth, prediction = rng.integers(0, 12, 3000), rng.integers(0, 12, 3000)
    matrix = np.zeros((12, 12), np.int64)
    np.add.at(matrix, (truth, prediction), 1)

    def mean_iou(truth, prediction, classes):
        return np.mean(
            [
                np.sum((truth == kind) & (prediction == kind))
                / np.sum((truth == kind) | (prediction == kind))
                for kind in range(classes)
            ]
        )

    scores = camvid(None, "class").scores(matrix)
    labelled = truth != 11
    assert scores["miou_12"] == pytest.approx(mean_iou(truth, prediction, 12))
    assert scores["miou_11"] == pytest.approx(mean_iou(truth[labelled], prediction[labelled], 11))
    assert scores["pixel_accuracy"] == pytest.approx(np.mean(truth == prediction))


def test_predicted_void_is_a_miss():
    matrix = np.zeros((12, 12), np.int64)
    matrix[:11, :11] = np.diag(np.full(11, 10))
    matrix[4, 11] = 10
    scores = camvid(None, "class").scores(matrix)
    assert scores["miou_11"] == pytest.approx((10 + 0.5) / 11)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-40])


def colour_mask(path):
    save(path, np.zeros((*SIZE, 3), np.uint8))


def wide_mask(path):
    Image.fromarray(np.zeros(SIZE, np.uint16)).save(path)


def other_size(path):
    save(path, np.zeros((6, 9), np.uint8))


def label_37(path):
    label = LABEL.copy()
    label[2, 3:5] = 37
    save(path, label)


def sixteen_bit_image(path):
    Image.fromarray(np.zeros(SIZE, np.uint16)).save(path)


FAULTS = {
    "no annotation": (
        "trainannot/a.png",
        lambda path: path.unlink(),
        r"train/a\.png: no annotation trainannot/a\.png; add it or delete the image",
    ),
    "no image": (
        "train/a.png",
        lambda path: path.unlink(),
        r"trainannot/a\.png: no image train/a with \.png, \.jpg, \.jpeg, \.webp; add it or delete",
    ),
    "two images": (
        "train/a.png",
        lambda path: shutil.copy(path, path.with_suffix(".webp")),
        r"train/a\.webp: the same name as a\.png; delete one of them",
    ),
    "split missing": (
        "train",
        shutil.rmtree,
        r"train: the folder is missing; put CamVid's files for it there",
    ),
    "annotations missing": (
        "trainannot",
        shutil.rmtree,
        r"trainannot: the folder is missing; put CamVid's files for it there",
    ),
    "split empty": (
        "train",
        lambda path: [file.unlink() for file in path.iterdir()],
        r"train: has no \.png, \.jpg, \.jpeg, \.webp file; put CamVid's files there",
    ),
    "image truncated": (
        "train/a.png",
        truncate,
        r"train/a\.png: cannot be decoded \(.*\); fetch the file again",
    ),
    "annotation is no image": (
        "trainannot/a.png",
        lambda path: path.write_text("404: Not Found"),
        r"trainannot/a\.png: cannot be decoded \(.*\); fetch the file again",
    ),
    "file empty": (
        "train/a.png",
        lambda path: path.write_bytes(b""),
        r"train/a\.png: cannot be decoded \(.*\); fetch the file again",
    ),
    "sizes differ": (
        "trainannot/a.png",
        other_size,
        r"trainannot/a\.png: 9 x 6 pixels, its image a\.png has 8 x 6; resize one",
    ),
    "colour mask": (
        "trainannot/a.png",
        colour_mask,
        r"trainannot/a\.png: colour mode RGB; colours are read in CamVid's other layouts",
    ),
    "16-bit mask": (
        "trainannot/a.png",
        wide_mask,
        r"trainannot/a\.png: colour mode I;16; save it as an 8-bit map of class indices",
    ),
    "16-bit image": (
        "train/a.png",
        sixteen_bit_image,
        r"train/a\.png: colour mode I;16 is not supported; save it as RGB",
    ),
    "label out of range": (
        "trainannot/a.png",
        label_37,
        r"trainannot/a\.png: label 37 at row 2, column 3 \(2 pixels like it\); allowed are 0 to 11 "
        r"and 255 \(ignored\)",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_check_and_load_name_the_fault(tree, fault):
    place, spoil, message = FAULTS[fault]
    spoil(tree / place)
    dataset = camvid(tree)
    for touch in (lambda: check(dataset, ["train"]), lambda: load(dataset, "train")):
        with pytest.raises(DataError, match=message) as caught:
            touch()
        assert str(caught.value).startswith(str(tree))
        assert "\n" not in str(caught.value)
    check(dataset, ["val", "test"])  # a split that is not used may be broken


def test_check_counts_further_faults(tree):
    for stem in ("a", "b"):
        label_37(tree / "valannot" / f"{stem}.png")
    with pytest.raises(DataError, match=r"a\.png: label 37 .* \(1 more of 'val' have faults\)"):
        check(camvid(tree), ["train", "val"])
    for stem in ("a", "b"):
        (tree / "testannot" / f"{stem}.png").rename(tree / "testannot" / f"{stem}_L.png")
    with pytest.raises(DataError, match=r"no annotation testannot/a\.png \(and 1 more like it\)"):
        check(camvid(tree), ["test"])


def test_root_faults(tree, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(DataError, match=r"no data folder is given; name the folder .*--data-root"):
        check(camvid(None), ["train"])
    with pytest.raises(DataError, match=r"nowhere is not a folder; name the folder"):
        check(camvid(empty / "nowhere"), ["train"])
    with pytest.raises(
        DataError, match=r"camvid: no folder of masks \(trainannot, train_labels, "
    ) as caught:
        check(camvid(empty), ["train"])
    for place in (empty / "camvid", empty / "CamVid", empty):
        assert str(place) in str(caught.value)
    with pytest.raises(DataError, match="unknown split 'tset'; did you mean 'test'"):
        load(camvid(tree), "tset")

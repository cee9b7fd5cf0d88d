"""VOC 2012 as people have it: where it lies, which lists and masks, and what can be wrong."""

import shutil

import numpy as np
import pytest
from PIL import Image
from voc_tree import (
    AUG,
    FORMS,
    LISTS,
    TRAIN,
    VAL,
    aug_masks,
    label_of,
    listed,
    own,
    save_mask,
    save_mat,
    sbd,
    write_list,
)
from whole_split import check, files_read, load

from bench.data.registry import open_by_name, open_dataset
from bench.data.voc.dataset import IMAGE_SETS, unlabelled_images
from bench.data.voc.devkit import TRAINVAL, compare_with_published_list, list_digest
from bench.data.voc.masks import palette
from bench.errors import DataError, SpecError
from bench.spec import DataSpec


@pytest.fixture
def folder(tmp_path):
    """VOC's own release in tmp_path/VOCdevkit/VOC2012."""
    path = tmp_path / "VOCdevkit" / "VOC2012"
    own(path)
    return path


def voc(root):
    return open_by_name("voc", root)


def test_the_palette_is_vocs():
    """Colours of the devkit's documentation."""
    colours = palette(256)
    shown = {1: (128, 0, 0), 4: (0, 0, 128), 8: (64, 0, 0), 15: (192, 128, 128), 20: (0, 64, 128)}
    for index, colour in {**shown, 0: (0, 0, 0), 255: (224, 224, 192)}.items():
        assert tuple(colours[index]) == colour
    assert voc(None).palette.tolist() == colours[:21].tolist()


def test_own_splits(folder):
    dataset = voc(folder.parent.parent)
    for split, ids in (("train", TRAIN), ("val", VAL), ("trainval", [*TRAIN, *VAL])):
        loaded = load(dataset, split)
        assert list(loaded.ids) == ids
        assert all(map(np.array_equal, loaded.labels, map(label_of, ids)))
    with Image.open(folder / "JPEGImages" / f"{VAL[0]}.jpg") as image:
        assert np.array_equal(load(dataset, "val").images[0], np.asarray(image))


@pytest.mark.parametrize("form", FORMS)
def test_trainaug(folder, form):
    FORMS[form](folder)
    dataset = voc(folder.parent.parent)
    loaded = load(dataset, "trainaug")
    assert list(loaded.ids) == [*TRAIN, *AUG]
    expected = [label_of(id, void=id in TRAIN) for id in loaded.ids]
    assert all(map(np.array_equal, loaded.labels, expected))
    assert {label.dtype for label in loaded.labels} == {np.dtype(np.uint8)}
    assert list(load(dataset, "aug").ids) == AUG
    assert dataset.notes()[1:] == [
        "train: 3 ids, NOT the published 1,464: scores cannot be compared with published ones",
        "val: 2 ids, NOT the published 1,449: scores cannot be compared with published ones",
        "trainaug: 7 ids, NOT the published 10,582: scores cannot be compared with published ones",
    ]


def test_all_forms_of_trainaug_are_one(folder, tmp_path_factory):
    digests = set()
    for form in FORMS.values():
        root = tmp_path_factory.mktemp("form")
        copy = root / "VOCdevkit" / "VOC2012"
        shutil.copytree(folder, copy)
        form(copy)
        digests.add(load(voc(root), "trainaug").digest)
    assert len(digests) == 1


@pytest.mark.parametrize("place", ["VOCdevkit/VOC2012", "VOC2012", ".", "voc/VOCdevkit/VOC2012"])
def test_places(folder, tmp_path_factory, place):
    root = tmp_path_factory.mktemp("root")
    shutil.copytree(folder, root / place, dirs_exist_ok=True)
    shutil.copytree(folder / "SegmentationClass", root / "SegmentationClassAug")
    dataset = voc(root)
    assert len(dataset.entries("val")) == 2
    assert len(dataset.entries("trainaug")) == 3  # found beside it, too


def test_grey_masks_of_indices(folder):
    Image.fromarray(label_of(VAL[0])).save(folder / "SegmentationClass" / f"{VAL[0]}.png")
    assert np.array_equal(load(voc(folder), "val").labels[0], label_of(VAL[0]))


def test_scores():
    rng = np.random.default_rng(0)
    matrix = rng.integers(0, 9, (21, 21))
    hits, rows, columns = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    scores = voc(None).scores(matrix)
    assert scores["miou_21"] == pytest.approx(np.mean(hits / (rows + columns - hits)))
    assert scores["pixel_accuracy"] == pytest.approx(hits.sum() / matrix.sum())


def test_the_usual_list():
    ids = [f"2007_{number:06d}" for number in range(10582)]
    said = compare_with_published_list("trainaug", ids)
    assert "NOT the published 10,582 (same number, different ids)" in said
    assert list_digest(ids) == list_digest(ids[::-1])


def test_test_images_without_labels(folder):
    with pytest.raises(DataError, match=r"test\.txt: the list of test images is missing; VOC2012t"):
        unlabelled_images(folder)
    write_list(folder, "test.txt", ["2010_000001"])
    found = unlabelled_images(folder)
    assert found == {"2010_000001": folder / "JPEGImages" / "2010_000001.jpg"}
    write_list(folder, "test.txt", ["2010_000001", "2010_000002"])
    with pytest.raises(DataError, match=r"no image for 1 of the 2 ids of test: 2010_000002"):
        unlabelled_images(folder)


@pytest.mark.parametrize(
    ("train", "evaluate"),
    [(("trainaug",), "val"), (("trainval",), "aug"), (("aug", "val"), "train")],
)
def test_open_touches_no_file(train, evaluate):
    spec = DataSpec(name="voc", train=train, evaluate=evaluate)
    assert set(open_dataset(spec, None).splits()) == set(IMAGE_SETS)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"evaluate": "test"}, r"data\.evaluate: the labels of VOC's test split are not public"),
        ({"evaluate": "vall"}, r"data\.evaluate: unknown split 'vall'; did you mean 'val'"),
        ({"train": ("trainval",)}, r"data\.evaluate = 'val' shares images with trainval, which is"),
        ({"train": ("trainaug", "train")}, r"data\.train holds images twice: trainaug, train"),
        ({"void": "class"}, r"data\.void = 'class' is for camvid, not voc; leave it out"),
        ({"class_map": "strict"}, r"data\.class_map = 'strict' is for camvid, not voc; leave it"),
    ],
)
def test_open_refuses(fields, message):
    with pytest.raises(SpecError, match=message):
        open_dataset(DataSpec(**{"name": "voc", "evaluate": "val", **fields}), None)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-200])


def as_rgb(path):
    with Image.open(path) as mask:
        mask.convert("RGB").save(path)


def as_grey(path):
    with Image.open(path) as mask:
        mask.convert("L").save(path)


def renumbered(path):
    """As a program leaves it that makes palettes anew: two classes have changed places."""
    colours = palette(256)
    colours[[1, 20]] = colours[[20, 1]]
    save_mask(path, label_of(VAL[0]), colours)


def value_37(path):
    label = label_of(VAL[0])
    label[2, 3:5] = 37
    save_mask(path, label)


def smaller(path):
    save_mask(path, label_of(VAL[0])[:, 1:])


def lines(*lines):
    return lambda path: path.write_text("\n".join(lines))


MASK, IMAGE = f"SegmentationClass/{VAL[0]}.png", f"JPEGImages/{VAL[0]}.jpg"
FAULTS = {
    "truncated JPEG": (IMAGE, truncate, r"_000011\.jpg: cannot be decoded \(.*\); fetch the file"),
    "RGB mask": (MASK, as_rgb, r"11\.png: colour mode RGB, and VOC's masks are palette images of"),
    "grey mask": (
        MASK,
        as_grey,
        r"11\.png: label \d+ at row 0, .* allowed are 0 to 20 and 255 \(ignored\); these are the "
        r'greys of a palette mask after convert\("L"\): use the original',
    ),
    "renumbered": (MASK, renumbered, r"11\.png: index 1 has the colour of class 20: the palette"),
    "value 37": (MASK, value_37, r"label 37 at row 2, column 3 \(2 pixels .*255 \(ignored\)$"),
    "sizes": (MASK, smaller, r"11\.png: 29 x 20 pixels, its image 2007_000011\.jpg has 30 x 20"),
    "no mask": (
        MASK,
        lambda path: path.unlink(),
        rf"no mask for 1 of the 2 ids of val: 2007_000011; unpack {TRAINVAL} again",
    ),
    "no images": (
        f"{LISTS}/val.txt",
        lines(*(f"2009_{number:06d}" for number in range(5)), *VAL),
        r"no image for 5 of the 7 ids of val: 2009_000000, 2009_000001, 2009_000002, …; unpack",
    ),
    "no list": (f"{LISTS}/val.txt", lambda path: path.unlink(), r"val\.txt: the list is missing; "),
    "list empty": (f"{LISTS}/val.txt", lines("", " "), r"val\.txt: the list is empty; fetch it"),
    "list of classes": (
        f"{LISTS}/val.txt",
        lines(VAL[0], "aeroplane 1"),
        r"val\.txt, line 2: 'aeroplane' names no VOC image like 2007_000032",
    ),
    "listed twice": (
        f"{LISTS}/val.txt",
        lines(VAL[0], f"JPEGImages/{VAL[0]}.jpg"),
        r"val\.txt, line 2: 2007_000011 is listed twice",
    ),
    "binary list": (
        f"{LISTS}/val.txt",
        lambda path: path.write_bytes(b"\xff\xfe\x00"),
        r"val\.txt: cannot be read \(.*\); fetch the list again",
    ),
    "no masks at all": (
        "SegmentationClass",
        shutil.rmtree,
        r"SegmentationClass: the folder is missing; put VOC 2012's files for it there",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(folder, fault):
    place, spoil, message = FAULTS[fault]
    spoil(folder / place)
    for touch in (lambda: check(voc(folder), ["val"]), lambda: load(voc(folder), "val")):
        with pytest.raises(DataError, match=message) as caught:
            touch()
        assert "\n" not in str(caught.value)


def wrong_release(folder):
    save_mat(
        folder.parent.parent / "benchmark_RELEASE/dataset/inst" / f"{AUG[0]}.mat", label_of(VAL[0])
    )


def objects_for_classes(folder):
    for id in AUG:
        save_mat(folder.parent / "VOCaug/dataset/cls" / f"{id}.mat", label_of(id), "GTinst")


def torn_mat(folder):
    sbd(folder)
    truncate(folder.parent.parent / "benchmark_RELEASE/dataset/cls" / f"{AUG[1]}.mat")


def wide_mat(folder):
    sbd(folder)
    label = label_of(AUG[0])[:, :-1]
    save_mat(folder.parent.parent / "benchmark_RELEASE/dataset/cls" / f"{AUG[0]}.mat", label)


def leaking(folder):
    aug_masks(folder)
    write_list(folder, "train_aug.txt", [*TRAIN, *AUG, VAL[1]])


def thinned(folder):
    listed(folder)
    for id in AUG[:3]:
        (folder / "SegmentationClassAug" / f"{id}.png").unlink()


TRAINAUG_FAULTS = {
    "only VOC's own": (
        lambda folder: None,
        r"trainaug needs more masks than VOC's own: unpack SegmentationClassAug\.zip here, or "
        r"SBD's benchmark\.tgz \(benchmark_RELEASE\) in ",
    ),
    "wrong SBD folder": (
        wrong_release,
        r"benchmark_RELEASE: not SBD's release: no dataset/cls with \.mat files in it; unpack",
    ),
    "objects, not classes": (
        objects_for_classes,
        r"2008_000001\.mat: holds GTinst, not GTcls; SBD's class masks are in dataset/cls",
    ),
    "torn .mat": (torn_mat, r"2008_000002\.mat: cannot be read \(.+\); fetch the file again"),
    "sizes": (wide_mat, r"2008_000001\.mat: 29 x 20 pixels, its image 2008_000001\.jpg has 30 x"),
    "val among it": (
        leaking,
        r"train_aug\.txt: 1 of its ids are in val, which is scored: 2007_000012; use another",
    ),
    "masks missing": (
        thinned,
        r"no mask for 3 of the 7 ids of trainaug: 2008_000001, 2008_000002, 2008_000003; unpack "
        r"SegmentationClassAug\.zip",
    ),
}


@pytest.mark.parametrize("fault", TRAINAUG_FAULTS)
def test_trainaug_faults(folder, fault):
    spoil, message = TRAINAUG_FAULTS[fault]
    spoil(folder)
    dataset = voc(folder.parent.parent)
    with pytest.raises(DataError, match=message) as caught:
        check(dataset, ["trainaug"])
    assert "\n" not in str(caught.value)
    check(dataset, ["val"])  # which needs none of it


def test_root_faults(tmp_path):
    with pytest.raises(DataError, match=r"voc: no data folder is given; .*--data-root"):
        voc(None).entries("val")
    with pytest.raises(DataError, match=r"nowhere is not a folder; name the folder"):
        voc(tmp_path / "nowhere").entries("val")
    with pytest.raises(DataError, match=r"voc: no JPEGImages folder in .*VOCdevkit/VOC2012; name"):
        voc(tmp_path).entries("val")
    with pytest.raises(DataError, match=r"the labels of VOC's test split are not public"):
        voc(tmp_path).entries("test")


@pytest.mark.parametrize("form", FORMS)
def test_an_entry_names_every_file_that_decides_its_pixels(folder, form):
    """The image, then its mask: by these the decoded cache notices a change."""
    FORMS[form](folder)
    for entry in voc(folder.parent.parent).entries("trainaug"):
        assert list(entry.files) == files_read([entry])
        assert entry.files[0].parent.name == "JPEGImages"

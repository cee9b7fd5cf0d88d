"""`segloss data`: list, check and convert, and their messages for faulty data."""

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner
from whole_split import load

from bench.cli.data import data as verbs
from bench.cli.views.data import _summed_up
from bench.data import convert as convert_module
from bench.data.camvid.dataset import open_camvid
from bench.data.convert import OutputLayout, convert
from bench.data.dataset import Entry, Sample
from bench.data.scenes import dataset as scenes_module
from bench.errors import DataError, SpecError
from bench.spec import DataSpec


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture
def camvid(tmp_path):
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for stem in ("a", "b"):
            save(tmp_path / "in" / split / f"{stem}.png", rng.integers(0, 256, (6, 8, 3), np.uint8))
            label = np.arange(48, dtype=np.uint8).reshape(6, 8) % 12
            label[0, 0] = 255
            save(tmp_path / "in" / f"{split}annot" / f"{stem}.png", label)
    return tmp_path / "in"


@pytest.fixture
def segloss():
    def run(*arguments):
        return CliRunner().invoke(verbs, [*map(str, arguments)])

    return run


def test_list_names_every_data_set_and_the_reason_for_a_missing_one(segloss, camvid):
    done = segloss("list", "--data-root", camvid)
    assert "camvid: 11 classes (sky, building," in done.stdout
    assert "  train: 2 images\n  val: 2 images\n  test: 2 images\n" in done.stdout
    assert "scenes: 9 classes" in done.stdout
    done = segloss("list", "--data-root", camvid / "nowhere")
    assert done.exit_code == 0
    assert f"train, val, test: not here (camvid: {camvid / 'nowhere'} is not" in done.stdout


def test_check_prints_counts_sizes_and_class_shares(segloss, camvid):
    done = segloss("check", "camvid", "--data-root", camvid, "--split", "val")
    assert done.exit_code == 0
    first, second, *_ = done.stdout.splitlines()
    assert first == "camvid val: 2 images, 6 x 8"
    assert second.startswith("  pixels: sky 6.2 %, building 8.3 %, ")
    assert second.endswith("bicyclist 8.3 %, ignored 10.4 %")


def test_check_names_every_fault_up_to_a_limit(segloss, camvid, monkeypatch):
    monkeypatch.setattr("bench.cli.views.data.FAULT_LINES", 1)
    for stem, label in (("a", 77), ("b", 78)):
        save(camvid / "trainannot" / f"{stem}.png", np.full((6, 8), label, np.uint8))
    (camvid / "train" / "b.png").write_bytes(b"404")
    (camvid / "val" / "b.png").write_bytes(b"404")
    (camvid / "testannot" / "a.png").unlink()
    done = segloss("check", "camvid", "--data-root", camvid)
    lines = done.stderr.splitlines()
    assert "train/a.png" not in done.stderr
    assert "a.png: label 77 at row 0, column 0" in lines[0]
    assert lines[1] == "camvid train: and 1 more kinds"
    assert "b.png: cannot be decoded" in lines[2]
    assert "no annotation testannot/a.png" in lines[3]
    assert len(lines) == 4
    assert isinstance(done.exception, DataError)
    assert str(done.exception) == "camvid: 4 faults, listed above"


def test_check_finds_labels_of_no_class(segloss, monkeypatch):
    def open_strange(spec, data_root):
        scenes = scenes_of(spec, data_root)
        strange = Sample("a", np.zeros((2, 2, 3), np.uint8), np.full((2, 2), 9, np.uint8))
        entries = [Entry("a", (), lambda: strange)]
        object.__setattr__(scenes, "entries", lambda split: entries)
        return scenes

    scenes_of = scenes_module.open_scenes
    monkeypatch.setattr(scenes_module, "open_scenes", open_strange)
    done = segloss("check", "scenes", "--split", "val")
    assert "scenes val: labels [9] belong to no class of scenes" in done.stderr
    assert isinstance(done.exception, DataError)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("check", "camvit"), "unknown data set or profile 'camvit'; did you mean 'camvid'"),
        (("check", "scenes", "--split", "vall"), "unknown split 'vall'; did you mean 'val'"),
        (("convert", "scenes", "--to", "x"), "unknown data set to convert 'scenes'"),
        (("download", "camvid"), "camvid cannot be downloaded"),
        (("download", "voc"), "voc: no data folder was given; name one with --data-root"),
    ],
)
def test_refusals(segloss, arguments, message):
    done = segloss(*arguments)
    assert isinstance(done.exception, (SpecError, DataError))
    assert message in str(done.exception)


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_convert_keeps_pixels_and_labels(segloss, camvid, tmp_path):
    out = tmp_path / "out"
    done = segloss("convert", "camvid", "--data-root", camvid, "--to", out)
    assert done.stdout.splitlines()[0] == "train: 4 files written, 0 unchanged"
    for split in ("train", "val", "test"):
        for void in ("ignore", "class"):
            spec = DataSpec(name="camvid", void=void)
            first, second = (load(open_camvid(spec, place), split) for place in (camvid, out))
            assert first.digest == second.digest
    with Image.open(out / "trainannot" / "a.png") as mask:
        assert mask.mode == "L"
    before = content(out)
    (out / "val" / "a.png").unlink()
    done = segloss("convert", "camvid", "--data-root", camvid, "--to", out)
    assert done.stdout.splitlines()[1] == "val: 1 files written, 3 unchanged"
    assert content(out) == before


@pytest.mark.parametrize("place", ["val/a.png", "valannot/a.png"])
def test_convert_overwrites_no_file_with_different_content(segloss, camvid, tmp_path, place):
    out = tmp_path / "out"
    save(out / place, np.zeros((6, 8), np.uint8))
    before = (out / place).read_bytes()
    done = segloss("convert", "camvid", "--data-root", camvid, "--to", out)
    assert isinstance(done.exception, DataError)
    assert f"{out / place}: already exists with different content" in str(done.exception)
    assert (out / place).read_bytes() == before


def test_convert_to_the_devkits_form(camvid, tmp_path, monkeypatch):
    """CamVid stands in for VOC, whose own code reads the masks of SBD."""
    layout = OutputLayout(
        "JPEGImages", "SegmentationClassAug", ("train",), lists="Lists/{split}.txt", palette=True
    )
    monkeypatch.setitem(convert_module.LAYOUTS, "camvid", layout)
    out = tmp_path / "out"
    (found,) = convert("camvid", camvid, out)
    assert (found.written, found.unchanged) == (4, 0)
    dataset = open_camvid(DataSpec(name="camvid"), camvid)
    with Image.open(out / "SegmentationClassAug" / "b.png") as mask:
        assert mask.mode == "P"
        assert np.array_equal(mask, load(dataset, "train").labels[1])
        shown = np.array(mask.convert("RGB"))
    assert shown[0, 0].tolist() == [224, 224, 192]  # ignored
    assert shown[0, 3].tolist() == dataset.palette[3].tolist()
    assert (out / "Lists" / "train.txt").read_text() == "a\nb\n"
    (out / "Lists" / "train.txt").write_text("my own\n")
    assert [done.unchanged for done in convert("camvid", camvid, out)] == [4]
    assert (out / "Lists" / "train.txt").read_text() == "my own\n"


def test_a_full_disk_is_one_line(camvid, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file.*: (Not a directory|File exists)"):
        list(convert("camvid", camvid, tmp_path / "file"))


def test_faults_that_differ_in_file_and_numbers_alone_share_a_line():
    """One undeclared colour in many masks is one line; another colour is another."""
    faults = [
        DataError(f"masks/{n}.png: colour #{colour} at row {n}, column 3 ({n} pixels are of none)")
        for n in (1, 2, 3)
        for colour in ("804080", "804081")
    ]
    assert _summed_up(faults) == [
        "masks/1.png: colour #804080 at row 1, column 3 (1 pixels are of none) "
        "(and 2 more such files)",
        "masks/1.png: colour #804081 at row 1, column 3 (1 pixels are of none) "
        "(and 2 more such files)",
    ]
    assert _summed_up(faults[:1]) == [str(faults[0])]

"""Bad input: one or two lines on stderr, exit code 2, no traceback, nothing trained."""

import socket
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from voc_tree import AUG, listed, own

from bench.data.camvid.split import segnet_stems
from bench.files import write_json
from bench.preflight import resolve_loss
from bench.profile import load_profile
from bench.runs.rundir import all_run_dirs
from studies.plan import plan
from studies.schema import load_study


@pytest.fixture
def camvid(tmp_path):
    """Return a tiny CamVid tree with 2 images per split."""
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for folder in (split, f"{split}annot"):
            (tmp_path / "camvid" / folder).mkdir(parents=True)
        for name in ("a", "b"):
            image = rng.integers(0, 256, (36, 48, 3), dtype=np.uint8)
            Image.fromarray(image).save(tmp_path / "camvid" / split / f"{name}.png")
            label = rng.integers(0, 12, (36, 48), dtype=np.uint8)
            Image.fromarray(label).save(tmp_path / "camvid" / f"{split}annot" / f"{name}.png")
    return tmp_path


@pytest.fixture
def camvid_profile(tiny_profile, edit):
    """Return the tiny profile, changed to CamVid."""
    edit(tiny_profile, 'name = "scenes"', 'name = "camvid"')
    edit(tiny_profile, 'metric = "miou"', 'metric = "miou_11"')
    return edit(tiny_profile, "train_images = 12\nevaluate_images = 5", "")


def refused(done, tmp_path, *parts):
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert len(done.stderr.strip().splitlines()) <= 2, done.stderr
    for part in parts:
        assert part in done.stderr
    assert not any(d.result() for d in all_run_dirs(tmp_path / "out"))


def test_unknown_key_in_a_study(segloss, tiny_study, tiny_profile, edit, tmp_path):
    edit(tiny_study, "[tables.1]", "colour = 3\n[tables.1]")
    done = segloss("run", tiny_study, "--profile", tiny_profile, "--root", "out")
    refused(done, tmp_path, "tiny-study.toml", "unknown key 'colour'")


def test_an_unknown_published_table(segloss, tiny_study, tiny_profile, edit, tmp_path):
    edit(tiny_study, "[tables.1]", '[tables.1]\npaper = "9z"')
    done = segloss("plan", tiny_study, "--profile", tiny_profile, "--root", "out")
    refused(done, tmp_path, "tables.1.paper: unknown published table '9z'")


def test_region_larger_than_the_downsampled_map(segloss, tiny_study, tiny_profile, edit, tmp_path):
    edit(tiny_study, "downsample_factor = 4", "downsample_factor = 16\nloss.region_size = 7")
    done = segloss("run", tiny_study, "--profile", tiny_profile, "--root", "out")
    refused(done, tmp_path, "region_size", "7", "64 x 64")


def test_lambda_outside_its_range(segloss, tiny_study, tiny_profile, edit, tmp_path):
    edit(tiny_study, "loss.downsample_factor = 4", "loss.lambda_ = 1.5")
    done = segloss("run", tiny_study, "--profile", tiny_profile, "--root", "out")
    refused(done, tmp_path, "lambda_", "[0, 1]", "1.5")


def test_missing_data_root(segloss, tiny_study, camvid_profile, tmp_path, monkeypatch):
    monkeypatch.delenv("SEGLOSS_DATA_ROOT", raising=False)
    done = segloss("run", tiny_study, "--profile", camvid_profile, "--root", "out")
    refused(done, tmp_path, "--data-root")
    done = segloss(
        "run", tiny_study, "--profile", camvid_profile, "--root", "out", "--data-root", "nowhere"
    )
    refused(done, tmp_path, "nowhere")


def test_annotation_with_label_37(segloss, tiny_study, camvid_profile, camvid, tmp_path):
    path = camvid / "camvid/testannot/b.png"
    label = np.array(Image.open(path))
    label[3, 4] = 37
    Image.fromarray(label).save(path)
    done = segloss(
        "run", tiny_study, "--profile", camvid_profile, "--root", "out", "--data-root", camvid
    )
    refused(done, tmp_path, "b.png", "37")


def test_image_without_annotation(segloss, tiny_study, camvid_profile, camvid, tmp_path):
    (camvid / "camvid/trainannot/a.png").unlink()
    done = segloss(
        "run", tiny_study, "--profile", camvid_profile, "--root", "out", "--data-root", camvid
    )
    refused(done, tmp_path, "a.png", "annotation")


def test_a_colour_that_camvid_does_not_have(segloss, tiny_study, camvid_profile, tmp_path):
    images, masks = tmp_path / "701_StillsRaw_full", tmp_path / "LabeledApproved_full"
    for folder, ending in ((images, ""), (masks, "_L")):
        folder.mkdir()
        Image.new("RGB", (48, 36), (128, 128, 128)).save(folder / "one.png")
        for split in ("train", "val", "test"):
            for stem in segnet_stems(split):
                (folder / f"{stem}{ending}.png").hardlink_to(folder / "one.png")
    (tmp_path / "label_colors.txt").write_text("128 128 128\t\tSky\n")
    spoilt = masks / "Seq05VD_f00000_L.png"
    spoilt.unlink()
    Image.new("RGB", (48, 36), (1, 2, 3)).save(spoilt)
    done = segloss(
        "run", tiny_study, "--profile", camvid_profile, "--root", "out", "--data-root", tmp_path
    )
    refused(done, tmp_path, spoilt.name, "colour (1, 2, 3)", "1728 pixels", "label_colors.txt")


@pytest.fixture
def voc_profile(tiny_profile, edit):
    """Return the tiny profile, changed to VOC's trainaug."""
    edit(tiny_profile, 'train = ["train"]\nevaluate = "val"', 'train = ["aug"]\nevaluate = "train"')
    edit(tiny_profile, 'name = "scenes"', 'name = "voc"\ntrain = ["trainaug"]\nevaluate = "val"')
    edit(tiny_profile, "train_images = 12\nevaluate_images = 5", "")
    return edit(tiny_profile, 'metric = "miou"', 'metric = "miou_21"')


def test_a_truncated_photograph(segloss, tiny_study, voc_profile, tmp_path):
    own(tmp_path)
    listed(tmp_path)
    path = tmp_path / "JPEGImages" / f"{AUG[1]}.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    done = segloss(
        "run", tiny_study, "--profile", voc_profile, "--root", "out", "--data-root", tmp_path
    )
    refused(done, tmp_path, path.name, "cannot be decoded", "fetch the file again")


def test_unwritable_root(segloss, tiny_study, tiny_profile, tmp_path):
    (tmp_path / "file").write_text("")
    done = segloss("run", tiny_study, "--profile", tiny_profile, "--root", "file/out")
    refused(done, tmp_path, "file/out", "cannot be written", "--root")


def test_two_runs_on_one_root_at_once(segloss, tiny_study, tiny_profile, tmp_path):
    holder = subprocess.Popen(
        [
            sys.executable, "-c",
            "import sys; from pathlib import Path; from studies.ledger import lock_root\n"
            "with lock_root(Path('out')): print('held', flush=True); sys.stdin.read()",
        ],
        cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    done = segloss("run", tiny_study, "--profile", tiny_profile, "--root", "out")
    holder.communicate("")
    refused(done, tmp_path, f"in use by process {holder.pid}", "--root")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("run", "losses", "--profile", "camvid-gpu"), "did you mean 'camvid-cpu'"),
        (("run", "lambda", "--seeds", "0"), "seeds must be at least 1, got 0"),
        (("status", "--root", "empty"), "no study was run here"),
        (("report", "losses", "--root", "empty"), "losses"),
        (("tune", "region-size"), "no [search] section"),
        (("tune", "lambda", "--param", "loss.lambda"), "did you mean 'loss.lambda_'"),
        (("data", "check", "cityscape"), "did you mean 'cityscapes'"),
    ],
)
def test_verbs_refuse_unknown_names_and_empty_roots(segloss, tmp_path, arguments, part):
    refused(segloss(*arguments), tmp_path, part)


def test_a_space_outside_its_options_range(segloss, tiny_study, tiny_profile, edit, tmp_path):
    edit(tiny_study, "high = 1.0", "high = 1.5")
    done = segloss("tune", tiny_study, "--profile", tiny_profile, "--root", "out")
    refused(done, tmp_path, "search.RMI", "lambda_ must be in [0, 1], got 1.5")


def test_tuning_on_the_split_of_the_tables(segloss, tiny_study, tiny_profile, edit, tmp_path):
    edit(tiny_profile, 'evaluate = "val"', 'evaluate = "test"')
    done = segloss("tune", tiny_study, "--profile", tiny_profile, "--root", "out")
    refused(done, tmp_path, "'test', the split that the tables are scored on")


def test_a_taken_port_is_named(segloss, tiny_study, tiny_profile, tmp_path):
    """MLflow itself would exit with code 0 and no message."""
    write_json(
        tmp_path / "out/studies/tiny-study-tiny.json",
        plan(
            load_study(str(tiny_study)),
            load_profile(str(tiny_profile)),
            names=("tiny-study", "tiny"),
            seeds=1,
            resolve=resolve_loss,
        ).manifest.model_dump(mode="json"),
    )
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        done = segloss("ui", "--root", "out", "--port", port)
    refused(done, tmp_path, f"port {port} is taken; try --port {port + 1}")

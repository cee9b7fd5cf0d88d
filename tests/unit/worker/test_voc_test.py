"""VOC's test split: what the archive holds, and what is refused before anything is predicted."""

import io
import tarfile

import numpy as np
import pytest
import torch
from made_up import MadeUp
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from voc_tree import own, write_list

from bench.data.voc.masks import palette
from bench.errors import DataError, RootError, SpecError
from bench.models.deeplab import build_model
from bench.runs.rundir import RunDir, run_dir
from bench.spec import (
    CRFSpec,
    DataSpec,
    EvaluationSpec,
    LossSpec,
    ModelSpec,
    RecipeSpec,
    RunSpec,
)
from bench.worker.voc_test import export_test, pack

TEST = ["2010_000001", "2008_000004"]
SPEC = RunSpec(
    data=DataSpec(name="voc", train=("train",), evaluate="val", image_size=(32, 48)),
    model=ModelSpec(
        backbone="test_efficientnet", pretrained=False, head_channels=16, atrous_rates=(1, 2, 3)
    ),
    recipe=RecipeSpec(steps=10, batch_size=2, crop_size=(32, 32), lr=0.1),
    loss=LossSpec(name="rmi"),
)


@pytest.fixture
def devkit(tmp_path):
    """A root whose VOC has two test images, one of them a size of its own."""
    folder = tmp_path / "data/VOCdevkit/VOC2012"
    own(folder)
    write_list(folder, "test.txt", TEST)
    pixels = np.random.default_rng(1).integers(0, 256, (25, 40, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "JPEGImages" / f"{TEST[0]}.jpg")
    return tmp_path / "data"


@pytest.fixture
def finished(tmp_path):
    """A run that has weights."""
    torch.manual_seed(0)
    directory = run_dir(tmp_path, SPEC.run_id)
    directory.create(SPEC)
    model = build_model(SPEC.model, 21, seed=4)
    # Drawn weights give nearly the same scores everywhere: here each class may win somewhere.
    nn.init.normal_(model.get_submodule("head.classifier").weight, std=100.0)
    weights = {name: t.contiguous() for name, t in model.state_dict().items()}
    save_file(weights, directory.weights)
    directory.write_state(status="finished")
    return directory


def unpacked(path):
    with tarfile.open(path) as archive:
        files = {m.name: archive.extractfile(m) for m in archive.getmembers()}
        return {name: Image.open(io.BytesIO(file.read())) for name, file in files.items() if file}


def evaluation(finished, **changes) -> RunDir:
    spec = SPEC.model_copy(update=changes)
    directory = RunDir(finished.path.parent / spec.run_id)
    directory.create(spec)
    directory.write_state(status="finished")
    return directory


@pytest.mark.parametrize("competition", ["comp5", "comp6"])
def test_labels_come_back_as_they_were_packed(tmp_path, competition):
    """Indices, in the palette of the development kit."""
    labels = np.arange(21 * 4, dtype=np.uint8).reshape(21, 4) % 21
    pack([("2010_000001", labels)], tmp_path / "out.tgz", competition)
    ((name, image),) = unpacked(tmp_path / "out.tgz").items()
    assert name == f"results/VOC2012/Segmentation/{competition}_test_cls/2010_000001.png"
    assert image.mode == "P"
    assert np.array_equal(np.asarray(image), labels)
    assert image.getpalette()[: 3 * 21] == palette(21).ravel().tolist()


def test_every_test_image_is_predicted_at_its_own_size(tmp_path, devkit, finished):
    """The labels that are not public are not asked for."""
    assert export_test(finished, tmp_path / "out.tgz", "comp6", devkit) == 2
    found = unpacked(tmp_path / "out.tgz")
    folder = "results/VOC2012/Segmentation/comp6_test_cls"
    assert list(found) == [f"{folder}/{name}.png" for name in sorted(TEST)]
    assert [image.size for image in found.values()] == [(30, 20), (40, 25)]
    assert all(np.asarray(image).max() <= 20 for image in found.values())


@pytest.mark.parametrize(
    "changes",
    [
        {"evaluation": EvaluationSpec(scales=(0.5, 1.0), flip=True)},
        {"crf": CRFSpec(steps=5, bilateral_weight=60.0)},
    ],
    ids=["multi-scale", "CRF"],
)
def test_an_evaluation_is_exported_as_it_was_scored(tmp_path, devkit, finished, changes):
    """From the weights of its training, and not without what it adds."""
    if "crf" in changes:
        pytest.importorskip("pydensecrf", reason="pydensecrf is not installed")
    directory = evaluation(finished, **changes)
    export_test(finished, tmp_path / "plain.tgz", "comp6", devkit)
    export_test(directory, tmp_path / "other.tgz", "comp6", devkit)
    plain, other = (unpacked(tmp_path / f"{name}.tgz") for name in ("plain", "other"))
    assert plain.keys() == other.keys()
    assert any(not np.array_equal(plain[name], other[name]) for name in plain)


def break_weights(finished, devkit):
    save_file(build_model(SPEC.model, 3, seed=4).state_dict(), finished.weights)


FAULTS = {
    "unfinished": (
        lambda run, data: run.write_state(status="interrupted"),
        RootError,
        "is interrupted: only a finished run has its final weights",
    ),
    "no weights": (
        lambda run, data: run.weights.unlink(),
        RootError,
        r"weights.safetensors is missing: bring it back, or run \w+ again",
    ),
    "torn weights": (
        lambda run, data: run.weights.write_bytes(b"torn"),
        RootError,
        "does not hold this run's weights",
    ),
    "other weights": (break_weights, RootError, "does not hold this run's weights"),
    "no list": (
        lambda run, data: (data / "VOCdevkit/VOC2012/ImageSets/Segmentation/test.txt").unlink(),
        DataError,
        "test.txt: the list of test images is missing",
    ),
    "no image": (
        lambda run, data: (data / f"VOCdevkit/VOC2012/JPEGImages/{TEST[0]}.jpg").unlink(),
        DataError,
        f"no image for 1 of the 2 ids of test: {TEST[0]}",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_line_and_leaves_no_archive(tmp_path, devkit, finished, fault):
    """It names what is missing."""
    spoil, error, message = FAULTS[fault]
    spoil(finished, devkit)
    with pytest.raises(error, match=message) as caught:
        export_test(finished, tmp_path / "out.tgz", "comp6", devkit)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("*.tgz"))


def test_another_data_set_or_no_place_for_the_archive_is_refused(tmp_path, devkit, finished):
    """The server takes VOC's images alone."""
    scenes = evaluation(finished, data=DataSpec(name="scenes"))
    with pytest.raises(SpecError, match="is a run on 'scenes'; voc-test needs one on voc"):
        export_test(scenes, tmp_path / "out.tgz", "comp6", devkit)
    with pytest.raises(SpecError, match=r"--out .*: give the name of a file in a folder that"):
        export_test(finished, tmp_path, "comp6", devkit)


def test_the_verb_finds_the_run_and_says_what_it_wants(segloss, tmp_path):
    """Here it is given a run on the drawn scenes."""
    root = MadeUp(tmp_path / "root").root
    run = ("RMI", "--seed", 0, "--root", root)
    done = segloss("export", "voc-test", *run, "--out", "a.tgz")
    assert done.returncode == 2
    assert "is a run on 'scenes'; voc-test needs one on voc" in done.stderr

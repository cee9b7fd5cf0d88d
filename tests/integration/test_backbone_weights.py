"""Backbone weights from a file or the hub's cache to the worker, and the refused ones."""

import json
import shutil
import subprocess
import sys

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from bench.errors import SpecError
from bench.files import digest_of, parse
from bench.models.pretrained import check_pretrained, find_weights, place_weights, with_weights
from bench.profile import load_profile
from bench.runs.rundir import all_run_dirs
from bench.spec import ModelSpec

BACKBONE = "test_efficientnet"
ONE_METHOD = """
title = "One training"
[methods.CE]
loss.name = "ce"
[tables.1]
title = "One training"
rows = ["CE"]
columns = ["miou"]
"""


@pytest.fixture
def weights(tmp_path):
    """Return a file of weights of the tiny backbone that no seed would produce."""
    state = timm.create_model(BACKBONE).state_dict()
    state["conv_stem.weight"] = torch.full_like(state["conv_stem.weight"], 0.25)
    path = tmp_path / "weights.safetensors"
    save_file(state, path)
    return path


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "one.toml"
    path.write_text(ONE_METHOD)
    return path


@pytest.fixture
def pretrained(tiny_profile, edit):
    """Return the tiny profile, changed to start from ImageNet weights."""
    return edit(tiny_profile, "pretrained = false\n", "")


def refused(done, *parts):
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for part in parts:
        assert part in done.stderr


@pytest.mark.long
def test_a_study_begins_with_the_weights_of_a_file(segloss, study, pretrained, weights, tmp_path):
    """Their digest is part of the run id; a second session reads their copy in the root."""
    arguments = ("run", study, "--profile", pretrained, "--root", "out", "--workers", 1)
    done = segloss(*arguments, "--backbone-weights", weights)
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = all_run_dirs(tmp_path / "out")
    assert run.spec().model.weights == digest_of(weights)
    trained = load_file(run.weights)["backbone.conv_stem.weight"]
    assert abs(trained.mean().item() - 0.25) < 0.05  # a few steps do not move it far
    manifest = json.loads((tmp_path / "out/studies/one-tiny.json").read_text())
    assert manifest["settings"]["model.weights"] == digest_of(weights)

    text = pretrained.read_text().replace("[model]", f'[model]\nweights = "{digest_of(weights)}"')
    pretrained.write_text(text)
    shutil.rmtree(run.path)
    weights.unlink()
    again = segloss(*arguments)
    assert again.returncode == 0, again.stdout + again.stderr
    (repeated,) = all_run_dirs(tmp_path / "out")
    assert repeated.path == run.path


def test_missing_and_foreign_weights_are_refused_before_anything_runs(
    segloss, study, pretrained, tmp_path, monkeypatch
):
    """The hub cannot be reached, or the file holds another architecture."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    run = ("run", study, "--profile", pretrained, "--root", "out")
    # The hub's client reads its variables when it is imported: a fresh interpreter.
    fresh = [sys.executable, "-m", "bench", *run]
    done = subprocess.run(fresh, cwd=tmp_path, capture_output=True, text=True, check=False)
    refused(done, BACKBONE, "not in the local cache", "--backbone-weights", "pretrained = f")
    other = tmp_path / "other.pth"
    torch.save(timm.create_model("test_resnet").state_dict(), other)
    refused(segloss(*run, "--backbone-weights", other), "other.pth", "another architecture")
    assert not all_run_dirs(tmp_path / "out")


def test_a_profile_with_a_checksum_accepts_only_that_file(weights, tmp_path):
    """Without the file, the message names the option --backbone-weights."""
    profile = load_profile("scenes-demo")
    model = profile.model.model_copy(update={"backbone": BACKBONE, "weights": digest_of(weights)})
    named = profile.model_copy(update={"model": model})
    assert with_weights(named, weights) == named
    assert with_weights(named, None) == named
    with pytest.raises(SpecError, match=rf"{model.weights}: name their file with --backbone-weig"):
        place_weights(tmp_path, model, None)
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(
        SpecError, match=rf"begins {digest_of(weights)}, but the profile demands mo"
    ):
        with_weights(named, weights)
    random = named.model_copy(update={"model": model.model_copy(update={"pretrained": False})})
    with pytest.raises(SpecError, match="the profile says pretrained = false"):
        with_weights(random, weights)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"weights": "abc"}, r"model.weights|weights: must be the first 12 hexadecimal digits"),
        ({"weights": "0123456789ab", "pretrained": False}, "weights names a file, but pretrained"),
    ],
)
def test_contradictions_in_a_profile(model, message):
    with pytest.raises(SpecError, match=message):
        parse(ModelSpec, {"backbone": BACKBONE, **model}, where="profile")


def test_weights_in_the_root_that_vanish_or_change(weights, tmp_path):
    """The worker's error is one line; the next session restores the weights."""
    model = ModelSpec(backbone=BACKBONE, weights=digest_of(weights))
    run_dir = tmp_path / "root/runs/abc"
    with pytest.raises(SpecError, match=r"root/weights/\w+ is missing; run the same segloss comm"):
        find_weights(run_dir, model)
    place_weights(tmp_path / "root", model, weights)
    placed = find_weights(run_dir, model)
    assert placed == tmp_path / "root/weights" / digest_of(weights)
    assert find_weights(tmp_path / "root/canaries/c0de/runs/abc", model) == placed
    assert list(placed.parent.iterdir()) == [placed]
    placed.write_bytes(placed.read_bytes()[:-9])
    needed = rf"begins {digest_of(placed)}, but the run needs {placed.name}"
    with pytest.raises(SpecError, match=needed):
        find_weights(run_dir, model)
    place_weights(tmp_path / "root", model, weights)
    assert find_weights(run_dir, model) == placed


def test_the_hubs_weights_are_copied_once(tmp_path, monkeypatch):
    """They come from the hub's cache, without network; later runs read the copy in the root."""
    state = timm.create_model(BACKBONE).state_dict()
    cache = tmp_path / "hub/models--timm--test_efficientnet.r160_in1k"
    (cache / "snapshots/5eed").mkdir(parents=True)
    (cache / "refs").mkdir()
    (cache / "refs/main").write_text("5eed")
    save_file(state, cache / "snapshots/5eed/model.safetensors")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    model = ModelSpec(backbone=BACKBONE)
    for _ in range(2):
        place_weights(tmp_path / "root", model, None)
        placed = find_weights(tmp_path / "root/runs/abc", model)
        assert placed is not None
        stored = load_file(placed)
        assert stored.keys() == state.keys()
        assert all(torch.equal(value, state[key]) for key, value in stored.items())
        shutil.rmtree(tmp_path / "hub", ignore_errors=True)


def test_an_unreachable_hub_is_refused_at_once(tmp_path, monkeypatch):
    """One refused connection suffices; the message has the address of HF_ENDPOINT."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(SpecError, match=r"http://127.0.0.1:9 could not be reached \(.*refused"):
        place_weights(tmp_path, ModelSpec(backbone=BACKBONE), None)


def test_a_backbone_without_published_weights_is_refused():
    """The check needs no network."""
    with pytest.raises(SpecError, match="timm has no ImageNet weights for 'resnet50t'; name a fil"):
        check_pretrained(ModelSpec(backbone="resnet50t"))
    check_pretrained(ModelSpec(backbone="resnet101s"))
    check_pretrained(ModelSpec(backbone="resnet50t", weights="0123456789ab"))
    check_pretrained(ModelSpec(backbone="resnet50t", pretrained=False))

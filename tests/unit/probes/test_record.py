"""The record of a run: its parts, what is kept in the root, and what cannot be tried."""

import json

import torch

from bench.files import read_json, write_json
from bench.probes import kept, parts, record
from bench.probes.record import FORM, Prober, write_records
from bench.runs.rundir import run_dir
from bench.spec import DataSpec, EvaluationSpec, LossSpec, ModelSpec, RecipeSpec, RunSpec
from losses.dice import DiceLoss

SPEC = RunSpec(
    data=DataSpec(name="scenes", train_images=12, evaluate_images=5),
    model=ModelSpec(backbone="test_efficientnet", pretrained=False, head_channels=16),
    recipe=RecipeSpec(steps=7, batch_size=4, crop_size=(64, 64), lr=0.05),
    loss=LossSpec(name="dice"),
)


def test_a_record_is_the_same_again_and_leaves_random_numbers_alone(tmp_path):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first = Prober(tmp_path).record(SPEC)
    assert torch.rand(1) == expected
    assert list(first["parts"]) == ["loss", "network", "recipe", "data"]
    assert all("numbers" in part for part in first["parts"].values())
    assert json.loads(json.dumps(first)) == first
    assert Prober(tmp_path).record(SPEC) == first
    assert Prober(tmp_path / "nowhere").record(SPEC) == first


def test_what_takes_long_is_made_once_for_a_root(tmp_path, monkeypatch):
    """Every part, as long as the files and the packages that decide it are the same."""
    first = Prober(tmp_path).record(SPEC)
    monkeypatch.setattr(record, "data_numbers", None)
    for name in ("loss_numbers", "network_numbers", "recipe_numbers"):
        monkeypatch.setattr(parts, name, None)
    assert Prober(tmp_path).record(SPEC) == first
    for module in (kept, parts):
        monkeypatch.setattr(module, "stamp", lambda package: "edited")
    edited = Prober(tmp_path).record(SPEC)["parts"]
    assert all("fault" in edited[part] for part in ("loss", "network", "recipe"))
    assert edited["data"] == first["parts"]["data"]


def test_a_part_that_cannot_be_tried_says_why(monkeypatch, tmp_path):
    def failing(self, logits, target, *, progress=0.0):
        raise KeyError("weights")

    monkeypatch.setattr(DiceLoss, "terms", failing)
    parts = Prober(tmp_path).record(SPEC)["parts"]
    assert parts["loss"]["fault"] == "KeyError: 'weights'"
    assert "losses.dice" in parts["loss"]["text"]["files"]
    camvid = SPEC.model_copy(update={"data": DataSpec(name="camvid")})
    assert "fault" in Prober(tmp_path, tmp_path / "nothing").record(camvid)["parts"]["data"]


def test_an_evaluation_repeats_the_record_of_its_training(tmp_path):
    flipped = SPEC.model_copy(update={"evaluation": EvaluationSpec(flip=True)})
    training, evaluation = (run_dir(tmp_path, spec.run_id) for spec in (SPEC, flipped))
    write_records([evaluation], flipped, None)
    assert not evaluation.probes.exists()  # its training has none: an older version made it
    write_records([training], SPEC, None)
    assert read_json(training.probes) == Prober(tmp_path).record(SPEC)
    write_json(training.probes, {"form": FORM, "parts": {}})
    write_records([evaluation], flipped, None)
    assert read_json(evaluation.probes) == {"form": FORM, "parts": {}}


def test_canaries_have_no_record(tmp_path):
    directory = run_dir(tmp_path / "canaries" / "abc", SPEC.run_id)
    write_records([directory], SPEC, None)
    assert not directory.probes.exists()

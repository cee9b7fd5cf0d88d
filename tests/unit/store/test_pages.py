"""What MLflow's pages show of a run, and their addresses."""

import getpass

import pytest

from bench.manifest import IMPORTED, Manifest, Row, TableSpec
from bench.store.pages import dataset_name, run_note, runs_url, setting_params, source_tags

ROW = Row(
    label="RMI 2", method="RMI", settings={"loss.name": "rmi", "recipe.lr": 0.1}, run_ids=("x",)
)
STUDY = Manifest(
    study="s",
    profile="mine@20",
    title="S",
    scale="toy",
    metric="miou_11",
    seeds=(0,),
    comparison_key="k",
    settings={"data.name": "camvid", "data.held_out": "", "recipe.lr": "each row's own"},
    tables=(TableSpec(key="t", title="T", columns=("miou",), rows=(ROW,)),),
)


def test_links_to_one_run_and_to_several():
    assert "/#/experiments/1/runs/a?" in runs_url("http://x/", "1", ["a"])
    assert runs_url("http://x", "1", ["a", "b"]).startswith(
        "http://x/#/compare-runs?runs=%5B%22a%22%2C%20%22b%22%5D&experiments="
    )


def test_params_hold_the_rows_own_settings_and_leave_out_empty_ones():
    assert setting_params(STUDY, ROW) == {
        "data.name": "camvid",
        "loss.name": "rmi",
        "recipe.lr": "0.1",
    }


@pytest.mark.parametrize(
    ("outcome", "scores", "note"),
    [
        ("finished", {"miou_11": 0.78784}, "RMI 2, seed 0: 78.78 % mIoU_11 on mine@20."),
        ("failed (out of memory)", {}, "RMI 2, seed 0: failed (out of memory) on mine@20."),
    ],
)
def test_a_run_has_a_sentence(outcome, scores, note):
    assert run_note(STUDY, ROW, 0, outcome, scores) == note


@pytest.mark.parametrize(("data", "name"), [("camvid", "camvid"), ("folder", "mine")])
def test_a_folder_of_images_is_named_by_its_profile(data, name):
    assert dataset_name(STUDY.model_copy(update={"settings": {"data.name": data}})) == name


@pytest.mark.parametrize(
    ("role", "verb"), [("train", "run"), ("tune", "tune"), (IMPORTED, "import")]
)
def test_the_source_of_a_run_is_its_command(role, verb):
    tags = source_tags(STUDY.model_copy(update={"role": role}))
    assert tags["mlflow.source.name"] == f"segloss {verb} s"


def test_a_user_without_a_name_has_no_tag(monkeypatch):
    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(getpass, "getuser", unknown)
    assert "mlflow.user" not in source_tags(STUDY)

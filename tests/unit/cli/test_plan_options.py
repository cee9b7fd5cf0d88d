"""`plan` and `validate` take the options of `run` that decide what runs; each has an effect."""

import pytest
import timm
import typer
from safetensors.torch import save_file
from typer.testing import CliRunner

from bench.cli.app import app
from bench.errors import DataError, InstallError, SpecError
from bench.files import digest_of
from postproc import dense_crf

RESOURCES = {
    "store",
    "workers",
    "per_gpu",
    "gpus_per_run",
    "until",
    "budget",
    "executor",
    "address",
}
BACKBONE = "test_efficientnet"


@pytest.fixture
def segloss(tmp_path, monkeypatch):
    """Return what a verb prints; an error is raised."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEGLOSS_DATA_ROOT", raising=False)

    def run(*arguments):
        return CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False).stdout

    return run


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """Leave no hub, and no cache of it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_all_three_have_the_same_options_but_for_a_sessions_resources():
    commands = typer.main.get_command(app).commands
    run, plan, validate = (
        {parameter.name: parameter.opts for parameter in commands[verb].params}
        for verb in ("run", "plan", "validate")
    )
    assert plan.pop("ids") == ["--ids"]
    assert plan == validate
    assert plan.items() <= run.items()
    assert run.keys() - plan.keys() == RESOURCES | {"detach", "again", "keep_old"}


def test_a_plan_without_crf_counts_the_rows_that_are_filled(segloss, monkeypatch):
    monkeypatch.setattr(dense_crf, "available", lambda: False)
    out = segloss("plan", "losses", "--without-crf", "--seeds", 1)
    assert "rows left empty for lack of a CRF: CE & CRF-1, CE & CRF-5, CE & CRF-10" in out
    assert "4 rows. For 1 seed: 4 trainings and 0 evaluations; 0 of 4 runs are finished in" in out
    assert "CE & CRF-1   left out\n" in out
    with pytest.raises(InstallError, match="need pydensecrf"):
        segloss("validate", "losses")


def test_a_plan_counts_the_images_or_says_why_it_cannot(
    segloss, tiny_study, tiny_profile, tmp_path
):
    plan = ("plan", tiny_study, "--profile")
    assert "Images: 12 to train on, 5 to score." in segloss(*plan, tiny_profile)
    out = segloss(*plan, "camvid-smoke", "--data-root", tmp_path / "nowhere")
    assert f"Images: camvid: {tmp_path / 'nowhere'} is not a folder" in out


def test_a_title_that_the_settings_contradict_is_one_line(segloss, tiny_study, tiny_profile, edit):
    edit(tiny_profile, "metric", 'title = "Tiny, ResNet-50"\nmetric')
    line = f"{tiny_profile}: title names ResNet-50, but model.backbone = 'test_efficientnet'; "
    for verb in ("plan", "validate"):
        out = segloss(verb, tiny_study, "--profile", tiny_profile, "--steps", 3)
        assert out.count(line) == 1
    assert "tiny-study on " in out
    assert "@3 ok: 2 runs" in out


def test_validate_says_where_the_weights_come_from(
    segloss, tiny_study, tiny_profile, edit, offline, tmp_path
):
    """Nowhere: before any image is read, in one line with both ways out."""
    validate = ("validate", tiny_study, "--profile", tiny_profile)
    assert "weights ok: random, as the profile says\n" in segloss(*validate)
    edit(tiny_profile, "pretrained = false\n", "")
    with pytest.raises(SpecError, match=r"not in the local cache.*--backbone-weights, or train fr"):
        segloss(*validate)

    weights = tmp_path / "weights.safetensors"
    save_file(timm.create_model(BACKBONE).state_dict(), weights)
    out = segloss(*validate, "--backbone-weights", weights)
    assert f"weights ok: in {weights}\n" in out
    edit(tiny_profile, "[model]", f'[model]\nweights = "{digest_of(weights)}"')
    with pytest.raises(SpecError, match="name their file with --backbone-weights"):
        segloss(*validate)


def test_validate_finds_the_weights_that_a_root_has_already(
    segloss, tiny_study, tiny_profile, edit, offline, tmp_path
):
    edit(tiny_profile, "pretrained = false\n", "")
    placed = tmp_path / "out" / "weights" / BACKBONE
    placed.parent.mkdir(parents=True)
    save_file(timm.create_model(BACKBONE).state_dict(), placed)
    out = segloss("validate", tiny_study, "--profile", tiny_profile, "--root", tmp_path / "out")
    assert f"weights ok: in {tmp_path / 'out'}\n" in out


def test_validate_reads_the_data_after_it_has_asked_for_the_weights(segloss, tiny_study, offline):
    with pytest.raises(SpecError, match="ImageNet weights of 'resnet101s"):
        segloss("validate", tiny_study, "--profile", "camvid-paper")
    with pytest.raises(DataError, match="--data-root"):
        segloss("validate", tiny_study, "--profile", "camvid-smoke")

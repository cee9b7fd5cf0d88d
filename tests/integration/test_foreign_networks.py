"""A profile with a network of another package, as a user runs it."""

import pytest

LRASPP = "torchvision.models.segmentation:lraspp_mobilenet_v3_large"
STUDY = """
title = "One method"
[methods.CE]
loss.name = "ce"
[tables.1]
title = "One method"
rows = ["CE"]
columns = ["miou"]
"""


@pytest.fixture
def study(tmp_path):
    (tmp_path / "one.toml").write_text(STUDY)
    return "one.toml"


@pytest.fixture
def profile(tmp_path):
    """Write a tiny profile with a network."""

    def write(model):
        (tmp_path / "own.toml").write_text(
            f"""
            [data]
            name = "scenes"
            train_images = 4
            evaluate_images = 2
            [model]
            pretrained = false
            {model}
            [recipe]
            steps = 2
            batch_size = 2
            crop_size = [64, 64]
            lr = 0.05
            """
        )
        return "own.toml"

    return write


def test_validate_says_which_parameters_are_the_heads(segloss, study, profile):
    checked = segloss("validate", study, "--profile", profile(f'head = "{LRASPP}"'))
    assert checked.returncode == 0, checked.stderr
    assert f"network ok: model.head = '{LRASPP}' (torchvision " in checked.stdout
    assert "2,971,952 parameters of the backbone" in checked.stdout


def test_a_file_in_the_current_folder_is_not_imported(segloss, study, profile, tmp_path):
    (tmp_path / "nets.py").write_text("raise SystemExit('imported')\n")
    refused = segloss("plan", study, "--profile", profile('head = "nets:build"'))
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "'nets'" in refused.stderr
    assert "imported\n" not in refused.stderr + refused.stdout


@pytest.mark.long
@pytest.mark.parametrize(
    "model", [f'head = "{LRASPP}"', 'head = "smp:Unet"\nbackbone = "resnet18"']
)
def test_a_network_is_trained_scored_and_named_in_the_report(
    segloss, study, profile, model, tmp_path
):
    ran = segloss("run", study, "--profile", profile(model), "--seeds", 1)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    name = "lraspp_mobilenet_v3_large" if LRASPP in model else "ResNet-18 U-Net"
    assert name in (tmp_path / "segloss-out/reports/one-own/index.html").read_text()
    again = segloss("plan", study, "--profile", profile(model))
    assert "behave" not in again.stdout

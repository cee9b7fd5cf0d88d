"""`segloss list`: what it names can be used as it is printed."""

from importlib import metadata

import pytest
from typer.testing import CliRunner

import losses
from bench.cli.data import data
from bench.cli.discover import listing
from bench.data.registry import DATASETS
from bench.profile import load_profile
from bench.spec import ModelSpec
from losses import LOSSES, check_options
from studies.schema import load_study, own_columns

WORDS = ("losses", "models", "datasets", "profiles", "studies", "columns", "metrics")


def listed(word):
    """Return the lines of a list by their first word."""
    done = CliRunner().invoke(listing, [word], catch_exceptions=False)
    assert done.exit_code == 0
    return {line.split()[0]: line for line in done.stdout.splitlines()}


def test_help_names_everything_that_can_be_listed():
    out = CliRunner().invoke(listing, ["--help"]).stdout
    assert all(f" {word} " in out for word in WORDS)


def test_losses_have_their_options_with_defaults_and_choices():
    lines = listed("losses")
    assert set(LOSSES) < set(lines)
    assert 'pooling = "avg" | "max" | "interp", lambda_ = 0.5' in lines["rmi"]
    assert lines["dice"].endswith("smooth = 0.0, squared = true")
    for choice in ("avg", "max", "interp"):
        check_options("rmi", {"pooling": choice})


def test_a_package_whose_loss_cannot_be_imported_is_one_line(monkeypatch):
    broken = metadata.EntryPoint("mine", "no_such_module:Loss", losses.ENTRY_POINT_GROUP)
    monkeypatch.setattr(losses, "_plugins", lambda: metadata.EntryPoints([broken]))
    line = listed("losses")["mine"]
    assert line.endswith("cannot be used: ModuleNotFoundError: No module named 'no_such_module'")


def test_models_have_every_field_of_a_specification():
    line = listed("models")["options:"]
    assert all(field in line for field in ModelSpec.model_fields)
    assert 'head = "deeplabv3plus", package, pretrained = true, weights, output_str' in line


def test_datasets_are_those_of_segloss_data_list():
    """One implementation: both verbs print the same."""
    both = (
        CliRunner().invoke(app, [verb]).stdout
        for app, verb in ((listing, "datasets"), (data, "list"))
    )
    first, second = both
    assert first == second
    assert all(f"{name}: " in first for name in DATASETS)
    assert 'evaluate = "test", void = "ignore" | "class"' in first


def test_profiles_and_studies_of_the_current_folder_are_found(
    tiny_profile, tiny_study, edit, monkeypatch
):
    """By the path that a verb takes; a broken one with its fault."""
    monkeypatch.chdir(tiny_profile.parent)
    lines = listed("profiles")
    assert lines["tiny.toml"].endswith(f"{load_profile('tiny.toml').scale}; miou, seeds: 1")
    assert load_profile("camvid-cpu").scale in lines["camvid-cpu"]
    assert "tiny-study.toml" not in lines
    lines = listed("studies")
    assert lines["tiny-study.toml"].endswith("Tiny comparison: CE, CE & CRF, RMI")
    assert set(lines) > {"losses", "lambda"}

    edit(tiny_profile, "steps = 7", "stepz = 7")
    assert (
        "cannot be used: tiny.toml: recipe: unknown key 'stepz'" in listed("profiles")["tiny.toml"]
    )


def test_every_column_can_stand_in_a_study(tiny_study, edit):
    columns = [name.replace("_N", "_7") for name in listed("columns") if name != "In"]
    assert len(columns) > 15
    edit(tiny_study, '"infer_ms", "miou"', ", ".join(f'"{column}"' for column in columns))
    of_the_data = {"miou_7": "tables.1.columns", "iou/CLASS": "tables.1.columns"}
    assert own_columns(load_study(str(tiny_study))) == of_the_data


@pytest.mark.parametrize(
    ("metric", "line"),
    [
        ("miou", "mean IoU over all classes: scenes, folder"),
        ("miou_11", "mean IoU over 11 classes: camvid"),
        ("miou_12", "mean IoU over 12 classes: camvid"),
        (
            "pixel_accuracy",
            "share of the scored pixels whose class is right: camvid, scenes, voc, folder",
        ),
        ("trimap_miou_3", "mean IoU over the pixels within 3 of another label: every data set"),
    ],
)
def test_metrics_name_the_data_sets_that_have_them(metric, line):
    assert listed("metrics")[metric].split(maxsplit=1)[1] == line

"""`segloss new`: each file that it writes runs as it stands, and none is ever overwritten."""

import importlib.util
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

import losses
from bench.cli.app import app
from bench.errors import SpecError
from bench.preflight import check_run, resolve_loss
from bench.profile import load_profile
from studies.plan import plan
from studies.schema import load_study


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def segloss(*arguments):
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def planned(study, profile):
    made = plan(
        load_study(study),
        load_profile(profile),
        names=("s", "p"),
        seeds=1,
        resolve=resolve_loss,
    )
    for spec in made.specs.values():
        check_run(spec)
    return made


def uncommented(path):
    """Take the settings that a file shows in comments out of their comments."""
    text = Path(path).read_text()
    settings, count = re.subn(r"(?m)^# ([\w.]+ = .*|\[.*\])$", r"\1", text)
    assert count >= 3
    Path(path).write_text(settings)


def test_a_study_runs_on_the_shipped_profiles():
    assert "wrote mine.toml: segloss plan mine.toml" in segloss("new", "study", "mine")
    assert "For 3 seeds: 9 trainings and 0 evaluations" in segloss("plan", "mine.toml")
    assert len(planned("mine.toml", "camvid-cpu").specs) == 3
    uncommented("mine.toml")
    assert set(load_study("mine.toml").methods) == {"CE", "RMI", "CE & CRF"}


def test_a_profile_runs_the_shipped_studies():
    path = "some/where/wheat.toml"
    segloss("new", "profile", path)
    out = segloss("plan", "losses", "--profile", path)
    assert "For 2 seeds: 8 trainings and 6 evaluations" in out
    assert load_profile(path).for_tuning().data.evaluate == "val"
    uncommented(path)
    profile = load_profile(path)
    assert (profile.title, profile.data.image_size) == ("My images", (240, 320))
    assert profile.evaluation.flip


def test_a_loss_is_found_by_its_entry_point_and_passes_its_own_test(folder, monkeypatch):
    """tests/properties holds it to the contract of every loss."""
    out = segloss("new", "loss", "soft_edge")
    assert "python -m pip install --editable segloss-soft_edge" in out
    package = folder / "segloss-soft_edge"
    project = tomllib.loads((package / "pyproject.toml").read_text())
    ((group, points),) = project["project"]["entry-points"].items()
    found = metadata.EntryPoints(metadata.EntryPoint(*item, group) for item in points.items())
    monkeypatch.setattr(losses, "_plugins", lambda: found.select(group=losses.ENTRY_POINT_GROUP))
    monkeypatch.syspath_prepend(package)
    try:
        (folder / "mine.toml").write_text(
            'title = "t"\nmethods.M.loss.name = "soft_edge"\nmethods.M.loss.gamma = [1.0, 3.0]\n'
            'tables.a = { title = "t", rows = ["M"], columns = ["loss.gamma", "miou"] }\n'
        )
        assert len(planned("mine.toml", "scenes-demo").specs) == 2
        assert losses.find_loss("soft_edge").__name__ == "SoftEdgeLoss"
        run_tests(package / "test_segloss_soft_edge.py")
    finally:
        sys.modules.pop("segloss_soft_edge", None)


def run_tests(path):
    """Call every test of a file."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tests = [value for name, value in vars(module).items() if name.startswith("test_")]
    assert len(tests) == 4
    for test in tests:
        test()


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        ("study", "mine.toml"),
        ("profile", "mine.toml"),
        ("loss", "segloss-mine/test_segloss_mine.py"),
    ],
)
def test_no_file_is_overwritten(folder, kind, file):
    """Nor is a part of the others written beside it."""
    kept = folder / file
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("mine")
    with pytest.raises(SpecError, match=rf"^{file} exists already; give another name or move it"):
        segloss("new", kind, "mine")
    assert kept.read_text() == "mine"
    assert [path for path in folder.rglob("*") if path.is_file()] == [kept]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("loss", "rmi"), "there is a loss called 'rmi' already"),
        (("loss", "Soft-Edge"), "lower-case letters, digits and _ and begins with a letter"),
        (("study", "a b"), "may have letters, digits, - and _ only"),
        (("profile", "/proc/none/wheat"), "/proc/none/wheat.toml: cannot be written: No such file"),
    ],
)
def test_a_name_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(SpecError, match=message):
        segloss("new", *arguments)

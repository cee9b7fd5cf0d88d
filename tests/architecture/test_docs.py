"""What docs/adding-a-loss.md shows works as it stands there."""

import importlib.util
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

import losses
from bench.preflight import check_run, resolve_loss
from bench.profile import load_profile
from studies.plan import plan
from studies.schema import load_study

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "adding-a-loss.md").read_text()
SHOWN = dict(re.findall(r"```\w+ file=(\S+)\n(.*?)```", GUIDE, re.DOTALL))


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The guide's package, written out and found as if it were installed."""
    for name, text in SHOWN.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    folder = tmp_path / "segloss-poly"
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    ((group, points),) = project["project"]["entry-points"].items()
    found = metadata.EntryPoints(metadata.EntryPoint(*item, group) for item in points.items())
    ours = found.select(group=losses.ENTRY_POINT_GROUP)
    monkeypatch.setattr(losses, "_plugins", lambda: ours)
    monkeypatch.syspath_prepend(folder)
    yield folder
    sys.modules.pop("segloss_poly", None)


def test_the_dice_loss_is_the_one_of_the_repository():
    """To the letter; and its line in LOSSES is there."""
    (line,) = re.findall(r"```python\n    (\"dice\".*)\n```", GUIDE)
    assert SHOWN["losses/dice.py"] == (ROOT / "losses" / "dice.py").read_text()
    assert f"    {line}\n" in (ROOT / "losses" / "__init__.py").read_text()


def test_the_study_finds_the_package_and_its_losses_work(package):
    """Five trainings for six rows, all of which can run."""
    made = plan(
        load_study(str(package.parent / "first.toml")),
        load_profile("scenes-demo"),
        names=("first", "scenes-demo"),
        seeds=1,
        resolve=resolve_loss,
    )
    assert len(made.specs) == 5
    assert sum(len(table.rows) for table in made.manifest.tables) == 6
    for spec in made.specs.values():
        check_run(spec)


def test_the_packages_own_test_passes(package):
    """As pytest would run it beside the installed package."""
    path = package / "test_poly.py"
    spec = importlib.util.spec_from_file_location("test_poly", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tests = [value for name, value in vars(module).items() if name.startswith("test_")]
    assert tests
    for test in tests:
        test()


def test_the_packages_loss_is_its_definition(package):
    """And without epsilon it is the cross entropy."""
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 6, 7, generator=g, dtype=torch.float64)
    target = torch.randint(0, 3, (2, 6, 7), generator=g)
    p = logits.softmax(1).gather(1, target.unsqueeze(1))
    poly = losses.build_loss("poly", epsilon=0.5)(logits, target)
    assert_close(poly, (0.5 * (1 - p) - p.log()).mean())


ROOMS = "bench|losses|postproc|studies|reports|tests|docs"


@pytest.mark.parametrize(
    "document", sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]), ids=str
)
def test_every_file_named_exists(document):
    """Paths in backticks that begin with one of our folders; CHANGELOG speaks of the past."""
    if document.name == "CHANGELOG.md":
        pytest.skip("names files of older versions")
    named = re.findall(rf"`((?:{ROOMS})/[\w./-]*)`", document.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_sums_of_the_page_on_losses_can_be_planned(tmp_path):
    """Its example is a study but for the title, with a row for each weight."""
    page = (ROOT / "docs" / "losses.md").read_text()
    (example,) = [b for b in re.findall(r"```toml\n(.*?)```", page, re.DOTALL) if "[tables" in b]
    path = tmp_path / "sums.toml"
    path.write_text(f'title = "Sums"\n{example}')
    study, profile = load_study(str(path)), load_profile("scenes-demo")
    made = plan(study, profile, names=("s", "p"), seeds=1, resolve=resolve_loss)
    labels = {spec.loss.label for spec in made.specs.values()}
    assert labels == {"0.5 ce", "0.5 ce + 0.25 rmi", "0.5 ce + 0.5 rmi", "0.5 ce + rmi"}

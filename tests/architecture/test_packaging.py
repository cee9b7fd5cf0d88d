"""The wheel holds what the program reads; the lock file and the Makefile install what it needs."""

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distribution
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
GROUPS = PYPROJECT["dependency-groups"]
PACKAGES = ("bench", "losses", "postproc", "studies", "reports")


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT],
        check=True,
    )
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        return set(wheel.namelist())


def test_every_file_of_the_packages_is_in_the_wheel(wheel_names):
    """Profiles, studies, templates and styles as well as code."""
    ours = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert ours <= wheel_names
    assert any(name.endswith("losses.toml") for name in ours)


def test_nothing_else_is_in_the_wheel(wheel_names):
    """Neither tests nor a folder that happened to lie about."""
    tops = {name.split("/")[0] for name in wheel_names}
    assert {top for top in tops if not top.startswith("segloss_bench")} == set(PACKAGES)


@pytest.fixture(scope="module")
def locked():
    """Return the version of each package in the lock file, which names a package once."""
    pins = re.findall(r"^([\w.-]+)==([\w.+!]+)", (ROOT / "requirements.lock").read_text(), re.M)
    versions = {canonicalize_name(name): version for name, version in pins}
    assert len(versions) == len(pins), "two versions of one package: the Pythons would differ"
    return versions


def test_the_lock_file_holds_every_dependency_in_the_range_that_pyproject_gives(locked):
    """Dependencies, extras and groups; `make lock` writes the file anew."""
    project = PYPROJECT["project"]
    lists = [*project["optional-dependencies"].values(), *GROUPS.values()]
    for requirement in map(Requirement, chain(project["dependencies"], *lists)):
        version = locked.get(canonicalize_name(requirement.name))
        assert version is not None, f"requirements.lock lacks {requirement}: make lock"
        assert requirement.specifier.contains(version), (
            f"{requirement}, locked {version}: make lock"
        )


def _needed(name, seen):
    """Add ``name`` and everything that it installs to ``seen``."""
    if name in seen:
        return seen
    seen.add(name)
    for text in distribution(name).requires or []:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            _needed(canonicalize_name(requirement.name), seen)
    return seen


def test_the_demo_installs_no_development_tool(locked):
    needed = _needed("segloss-bench", set())
    tools = {canonicalize_name(Requirement(text).name) for text in GROUPS["dev"] + GROUPS["docs"]}
    assert "torch" in needed
    assert needed <= locked.keys() | {"segloss-bench"}
    assert needed & tools == {"scikit-learn"}  # a dependency of MLflow


@pytest.mark.parametrize(("target", "groups"), [("demo", {"build"}), ("test", {"build", "dev"})])
def test_a_target_installs_its_groups_alone(target, groups, tmp_path):
    make = ["make", "--dry-run", target, f"VENV={tmp_path}/venv", "PYTHON=python3"]
    printed = subprocess.run(make, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert set(re.findall(r"--group (\w+)", printed)) == groups
    assert f"{tmp_path}/venv/bin/uv pip install" in printed

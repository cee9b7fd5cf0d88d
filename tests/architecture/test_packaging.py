"""The wheel holds what the program reads."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
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

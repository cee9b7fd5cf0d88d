"""Import paths: what is installed is imported, and nothing else."""

import json
import sys

import pytest

from losses.packages import installed
from losses.packages.installed import load, package_of


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that Python searches first, with a module that says when it is imported."""
    (tmp_path / "beside_a_study.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("beside_a_study", None)


def test_an_installed_object_comes_with_its_distribution():
    assert package_of("torch.nn:ReLU").startswith("torch ")
    assert "+" not in package_of("torch.nn:ReLU")
    assert load("torch.nn:ReLU").__name__ == "ReLU"


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("torch.nn", "is no import path; write package.module:name"),
        ("torch.nn:ReLU()", "is no import path"),
        ("os:system", "os is part of Python"),
        ("no_such_package:loss", "package 'no_such_package' is not installed"),
        ("torch.nn:Relu", "torch.nn has no 'Relu'"),
        ("torch.nnn:ReLU", "cannot be imported: ModuleNotFoundError"),
    ],
)
def test_a_bad_path_is_refused_in_one_line(path, fault):
    with pytest.raises(ValueError, match=r"^[^\n]*$") as refused:
        load(path)
    assert repr(path) in str(refused.value)
    assert fault in str(refused.value)


def test_a_file_in_a_folder_is_not_imported(folder):
    """Python would find it, as it finds what lies in the current folder."""
    with pytest.raises(ValueError, match=f"in {folder}, where it is not installed"):
        load("beside_a_study:loss")
    assert "beside_a_study" not in sys.modules


def test_a_file_with_the_name_of_an_installed_package_is_not_imported(folder):
    (folder / "sklearn").mkdir()
    (folder / "sklearn" / "__init__.py").write_text("raise SystemExit('imported')\n")
    loaded = {name: sys.modules.pop(name) for name in [*sys.modules] if name == "sklearn"}
    try:
        with pytest.raises(ValueError, match="where it is not installed"):
            load("sklearn.metrics:f1_score")
    finally:
        sys.modules.update(loaded)


def test_an_editable_installation_is_imported(folder, monkeypatch):
    """Pip records the folder of it in direct_url.json."""
    (folder / "own_network.py").write_text("def network(classes): ...\n")
    info = folder / "own_network-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Own_Network\nVersion: 1.2\n")
    origin = {"url": folder.as_uri(), "dir_info": {"editable": True}}
    (info / "direct_url.json").write_text(json.dumps(origin))
    installed._editable.cache_clear()
    try:
        assert package_of("own_network:network") == "own-network 1.2"
        assert load("own_network:network").__name__ == "network"
    finally:
        installed._editable.cache_clear()
        sys.modules.pop("own_network", None)

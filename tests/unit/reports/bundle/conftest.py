"""One published study for every test of bundles; a test that changes it takes a copy."""

import shutil
from pathlib import Path

import pytest
from published import make_study, publish_study


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """Return the folder of a study whose bundle is beside its root: study files, out/, bundle/."""
    folder = tmp_path_factory.mktemp("published")
    make_study(folder)
    publish_study(folder, folder / "bundle")
    return folder


@pytest.fixture
def bundle(published, tmp_path) -> Path:
    """Return a copy of the bundle, to be changed at will."""
    return Path(shutil.copytree(published / "bundle", tmp_path / "bundle"))

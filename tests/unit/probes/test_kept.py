"""Findings are kept in the root as long as everything that decides them is the same."""

import sys
from importlib.metadata import EntryPoint

import pytest

from bench.probes import kept as module
from bench.probes.kept import at_hand, kept, recall


def test_a_finding_is_made_once_for_a_root(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"found": len(made)}

    assert kept(tmp_path, ["a", 1], make) == kept(tmp_path, ["a", 1], make) == {"found": 1}
    assert kept(tmp_path, ["a", 2], make) == {"found": 2}
    assert recall(tmp_path, ["a", 3]) is None


@pytest.mark.parametrize("damage", [b"\xff\x00", b"5", b"[]", b'{"found": 7}', None])
def test_a_damaged_finding_is_made_again(tmp_path, damage):
    """None stands for another number in a file that is still JSON."""
    assert kept(tmp_path, ["a"], lambda: 1.5) == 1.5
    (file,) = (tmp_path / "cache" / "probes").iterdir()
    file.write_bytes(damage or file.read_bytes().replace(b"1.5", b"2.5"))
    assert recall(tmp_path, ["a"]) is None
    assert kept(tmp_path, ["a"], lambda: 1.5) == recall(tmp_path, ["a"]) == 1.5


def test_a_root_that_is_not_there_keeps_nothing_and_is_not_made(tmp_path):
    root = tmp_path / "nowhere"
    assert kept(root, ["a"], lambda: 1) == 1
    assert kept(root, ["a"], lambda: 2) == 2
    assert not root.exists()


@pytest.fixture
def _forgetful():
    module._code_and_packages.cache_clear()
    yield
    module._code_and_packages.cache_clear()


@pytest.mark.usefixtures("_forgetful")
def test_what_is_at_hand_changes_with_code_packages_plugins_and_timm(tmp_path, monkeypatch):
    before = at_hand()
    module._code_and_packages.cache_clear()
    assert at_hand() == before

    files = [("losses/ce.py", b"1")]
    monkeypatch.setattr(module, "code_files", lambda packages: files)
    module._code_and_packages.cache_clear()
    edited = at_hand()
    files[0] = ("losses/ce.py", b"2")
    module._code_and_packages.cache_clear()
    assert len({before, edited, at_hand()}) == 3

    (tmp_path / "another-1.0.dist-info").mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    last = at_hand()
    module._code_and_packages.cache_clear()
    assert at_hand() != last

    last = at_hand()
    for value in ("own_loss:A", "own_loss:B"):  # the plug-in's name leads to another class
        point = EntryPoint("own", value, "segloss.losses")
        with monkeypatch.context() as patch:
            patch.setattr(module, "entry_points", lambda group, point=point: [point])
            module._code_and_packages.cache_clear()
            assert at_hand() != last
            last = at_hand()
    module._code_and_packages.cache_clear()

    (tmp_path / "own_loss.py").write_text("a = 1\n")
    first = at_hand(["own_loss"])
    (tmp_path / "own_loss.py").write_text("a = 2\n")
    assert len({at_hand(), first, at_hand(["own_loss"])}) == 3

    last = at_hand()
    monkeypatch.setattr(module, "stamp", lambda package: "edited")
    assert at_hand() != last

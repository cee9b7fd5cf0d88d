"""Checkpoints: torn and foreign ones are known, and the one before is gone on from."""

import pytest
import torch

from bench.training import checkpoint
from bench.training.checkpoint import Checkpoints

CPU = torch.device("cpu")
MARK = {"run_id": "a run", "code": "some code"}


@pytest.fixture
def checkpoints(tmp_path):
    """Two saved: step 1, then step 2."""
    made = Checkpoints(tmp_path / "checkpoint.pt", MARK)
    for step in (1, 2):
        made.save({"step": step, "weights": torch.full((10_000,), float(step))})
    return made


def test_the_newest_is_gone_on_from(checkpoints):
    """With its mark in it."""
    state = checkpoints.load(CPU)
    assert state is not None
    assert state["step"] == 2
    assert MARK.items() <= state.items()


@pytest.mark.parametrize(
    "tear",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: bytes(len(data)),
        lambda data: data[:20_000] + bytes([data[20_000] ^ 1]) + data[20_001:],
    ],
    ids=["cut off", "empty", "zeros", "one bit"],
)
def test_a_torn_one_gives_way_to_the_one_before(checkpoints, tear):
    """Also where only a bit of the weights is wrong, which torch would not notice."""
    checkpoints.path.write_bytes(tear(checkpoints.path.read_bytes()))
    state = checkpoints.load(CPU)
    assert state is not None
    assert state["step"] == 1


def test_a_write_that_was_cut_off_between_two_renames_leaves_the_one_before(checkpoints):
    """The new one is not in place yet, and the old one no longer."""
    checkpoints.path.unlink()
    state = checkpoints.load(CPU)
    assert state is not None
    assert state["step"] == 1


@pytest.mark.parametrize("mark", [{**MARK, "code": "other"}, {**MARK, "run_id": "another"}])
def test_a_foreign_one_is_not_gone_on_from(checkpoints, mark):
    """Of another run, or of other code."""
    assert Checkpoints(checkpoints.path, mark).load(CPU) is None


def test_none_where_there_is_none(tmp_path):
    """And then the training starts from the beginning."""
    assert Checkpoints(tmp_path / "checkpoint.pt", MARK).load(CPU) is None


def test_a_checkpoint_that_cannot_be_written_leaves_those_there_are(checkpoints):
    """As on a full disk."""
    before = checkpoints.path.read_bytes()

    class Unwritable:
        def __reduce__(self):
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        checkpoints.save({"step": 3, "weights": Unwritable()})
    assert checkpoints.path.read_bytes() == before
    assert not list(checkpoints.path.parent.glob(".*"))


def test_the_next_is_due_later_where_writing_one_takes_long(checkpoints, monkeypatch):
    """At most a fiftieth of the time goes into them."""
    now = checkpoints.written
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now)
    checkpoints.cost = 0.1
    now += checkpoint.LEAST_SECONDS + 1
    assert checkpoints.due
    checkpoints.cost = 10.0
    assert not checkpoints.due
    now += 500
    assert checkpoints.due


def test_none_is_left_when_they_are_removed(checkpoints):
    """Neither of the two."""
    checkpoints.remove()
    assert not list(checkpoints.path.parent.iterdir())

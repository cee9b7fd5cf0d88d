"""What the store shows of a run directory."""

import pytest

from bench.files import write_json
from bench.runs.rundir import RunDir
from bench.store.snapshot import RunSnapshot

RESULT = {
    "metrics": {"miou": 0.787839},
    "class_iou": {"road": 0.9, "sign": None},
    "cost": {"train_s": 100.0, "evaluate_s": 20.0},
    "classes": ["road", "sign"],
    "digests": {},
}


def directory_of(path, *, updated: float = 5000.0, **state: object) -> RunDir:
    path.mkdir(parents=True, exist_ok=True)
    write_json(path / "state.json", {"status": "finished", "updated": updated, **state})
    write_json(path / "result.json", RESULT)
    return RunDir(path)


def test_scores_are_there_as_shares_and_in_percent(tmp_path):
    numbers = RunSnapshot.read(directory_of(tmp_path)).numbers
    assert {key: value for (key, _), (value, _) in numbers.items()} == {
        "percent/miou": 78.78,
        "percent/iou/road": 90.0,
        "final/miou": 0.78784,
        "iou/road": 0.9,
        "cost/train_s": 100.0,
        "cost/evaluate_s": 20.0,
    }


def test_the_start_is_that_of_the_state(tmp_path):
    directory = directory_of(tmp_path, started=1234.5)
    directory.append_metrics({"step": 10, "time": 4000.0, "train/loss": 1.0})
    assert RunSnapshot.read(directory).started == 1234.5


@pytest.mark.parametrize(("first", "start"), [(None, 4980.0), (4950.0, 4880.0), (4800.0, 4800.0)])
def test_a_run_of_an_older_version_began_before_its_work(tmp_path, first, start):
    """An evaluation, whose cost repeats its training's, took only the seconds of the evaluation."""
    directory = directory_of(tmp_path)
    if first is not None:
        directory.append_metrics({"step": 10, "time": first, "train/loss": 1.0})
    assert RunSnapshot.read(directory).started == start

"""Optuna's copy of the trials of a search: written, left alone, refused."""

import optuna
import pytest

from bench.errors import RootError
from bench.search_space import Space
from studies.tuning.sampler import OptunaCopy, Trial, open_storage, propose

LINE = {"loss.lambda_": Space(low=0.0, high=1.0)}


def test_a_trial_that_runs_is_told_when_it_is_over(tmp_path):
    """And one without a score is a failure of Optuna's."""
    storage = f"sqlite:///{tmp_path}/optuna.db"
    values = [{"loss.lambda_": v} for v in (0.5, 0.0, 1.0)]
    for trials in (
        [Trial(values[0]), Trial(values[1])],
        [Trial(values[0], True, 0.4), Trial(values[1], True), Trial(values[2])],
    ):
        OptunaCopy(storage, "s", "here").write(LINE, trials)
    study = optuna.load_study(study_name="s", storage=open_storage(storage))
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL", "RUNNING"]
    assert study.best_value == 0.4


def test_a_copy_that_agrees_is_left_alone(tmp_path):
    """Scales, whole numbers, choices, and an own value finer than any that is proposed."""
    storage = f"sqlite:///{tmp_path}/optuna.db"
    spaces = {
        "loss.lambda_": Space(low=0.0, high=0.999, scale="log10(1 - x)"),
        "loss.decay": Space(low=0.1, high=10.0, scale="log10"),
        "loss.region_size": Space(low=1, high=9, whole=True),
        "loss.pooling": Space(choices=("avg", "max")),
    }
    own = {
        "loss.lambda_": 0.12345,
        "loss.decay": 3.14159,
        "loss.region_size": 3,
        "loss.pooling": "max",
    }
    trials = [Trial(own, True, 0.5)]
    for number in range(3):
        found = propose(spaces, trials, seed=number)
        assert found is not None
        trials.append(Trial(found, True, 0.4))
    OptunaCopy(storage, "s", "here").write(spaces, trials)
    made = optuna.load_study(study_name="s", storage=open_storage(storage)).trials[0].datetime_start
    OptunaCopy(storage, "s", "here").write(spaces, trials)
    assert (
        optuna.load_study(study_name="s", storage=open_storage(storage)).trials[0].datetime_start
        == made
    )


def test_the_study_of_another_root_is_refused(tmp_path):
    """Two ledgers cannot decide what one trial was."""
    storage = f"sqlite:///{tmp_path}/optuna.db"
    OptunaCopy(storage, "s", "/here").write(LINE, [Trial({"loss.lambda_": 0.5}, True, 0.4)])
    with pytest.raises(RootError, match="is a copy of /here; choose another --storage, or"):
        OptunaCopy(storage, "s", "/there")
    assert OptunaCopy(storage, "s", "/there", rebuild=True).study.trials == []


def test_the_file_in_a_root_moves_with_it(tmp_path):
    """The trials stay, and the study names the place where the root is now."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    trials = [Trial({"loss.lambda_": 0.5}, True, 0.4)]
    OptunaCopy(f"sqlite:///{old}/optuna.db", "s", str(old)).write(LINE, trials)
    old.rename(new)
    moved = OptunaCopy(f"sqlite:///{new}/optuna.db", "s", str(new))
    assert [trial.value for trial in moved.study.trials] == [0.4]
    assert moved.study.user_attrs["owner"] == str(new)


def test_a_damaged_storage_is_one_line(tmp_path):
    """Which names it and the way out."""
    (tmp_path / "optuna.db").write_text("no database")
    with pytest.raises(
        RootError, match=r"optuna.db cannot be used: .*delete this one: the runs are safe"
    ):
        OptunaCopy(f"sqlite:///{tmp_path}/optuna.db", "s", "here")

"""Canaries: which there are, what they are made of, and what breaks one."""

import numpy as np
import pytest
from made_up import planned

from bench.files import write_json, write_whole
from bench.loss_spec import resolve_loss
from bench.preflight import check_run
from bench.runs.rundir import run_dir
from studies.canaries import canary_jobs, contradictions, plan_canaries


@pytest.fixture
def sung(tmp_path):
    """The canaries of the study of losses, all finished and in agreement."""
    found = plan_canaries([planned("losses")], resolve_loss)
    for job in canary_jobs(found):
        finish(tmp_path, job.run_ids[0], "same")
    return found


def finish(root, run_id, weights, device="cpu", prediction=0):
    names = ("init", "order", "augment", "data")
    digests = {"weights": weights, **dict.fromkeys(names, "x")}
    directory = run_dir(root, run_id)
    write_json(directory.path / "result.json", {"digests": digests, "device": device})
    matrices = np.full((2, 3, 3), prediction)
    write_whole(directory.confusion, lambda path: np.savez(path, matrices=matrices))
    directory.write_state(status="finished")


def test_they_are_short_and_of_the_studys_own_conditions():
    """BCE once, however many there are, and its evaluation after it."""
    found = plan_canaries([planned("losses"), planned("downsampling")], resolve_loss)
    assert len(found) == 2
    specs = [job.specs[0] for job in canary_jobs(found)]
    assert [spec.loss.name for spec in specs] == ["bce", "rmi", "bce"]
    assert specs[-1].crf is not None
    assert specs[-1].crf.steps == 0
    own = next(iter(planned("losses").specs.values()))
    for spec in specs:
        check_run(spec)
        assert spec.recipe.steps == 3
        assert spec.recipe.crop_size == own.recipe.crop_size
        assert spec.model == own.model


def test_without_a_crf_in_the_study_there_is_none_among_them():
    """It may not be installed."""
    found = plan_canaries([planned("downsampling")], resolve_loss)
    assert [canary.statement for canary in found] == ["RMI with lambda 1 is BCE"]


def test_those_that_agree_break_nothing(sung, tmp_path):
    """Weights, draws and predictions."""
    assert contradictions(sung, tmp_path) == []


def test_other_weights_break_one(sung, tmp_path):
    """With both digests in the sentence."""
    finish(tmp_path, sung[0].second.run_id, "other")
    said = "RMI with lambda 1 is BCE, but their weights digests are same and other"
    assert contradictions(sung, tmp_path) == [said]


def test_on_a_gpu_weights_may_differ(sung, tmp_path):
    """Its sums have no fixed order."""
    for canary, weights in ((sung[0].first, "one"), (sung[0].second, "two")):
        finish(tmp_path, canary.run_id, weights, device="a GPU")
    assert contradictions(sung[:1], tmp_path) == []


def test_other_predictions_break_one(sung, tmp_path):
    """As a CRF that relabels without a step would."""
    finish(tmp_path, sung[1].second.run_id, "same", prediction=1)
    said = "a CRF of 0 steps changes nothing, but their predictions differ"
    assert contradictions(sung, tmp_path) == [said]


def test_two_that_diverge_agree_and_one_alone_does_not(sung, tmp_path):
    """A wild learning rate is the profile's affair."""
    first, second = (run_dir(tmp_path, spec.run_id) for spec in (sung[0].first, sung[0].second))
    first.write_state(status="diverged")
    assert contradictions(sung[:1], tmp_path) == [
        "RMI with lambda 1 is BCE, but one diverged and one finished"
    ]
    second.write_state(status="diverged")
    assert contradictions(sung[:1], tmp_path) == []

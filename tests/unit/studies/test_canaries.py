"""Canaries: how many a session has, their specifications, and the differences that they report."""

import numpy as np
import pytest
from made_up import planned

from bench.files import write_json, write_whole
from bench.preflight import check_run, resolve_loss
from bench.runs.rundir import run_dir
from studies.canaries import canary_jobs, contradictions, plan_canaries


@pytest.fixture
def finished(tmp_path):
    """Return the canaries of the study of losses, finished with equal results."""
    canaries = plan_canaries([planned("losses")], resolve_loss)
    for job in canary_jobs(canaries):
        finish(tmp_path, job.run_ids[0], "same")
    return canaries


def finish(root, run_id, weights, device="cpu", prediction=0):
    names = ("init", "order", "augment", "data")
    digests = {"weights": weights, **dict.fromkeys(names, "x")}
    directory = run_dir(root, run_id)
    write_json(directory.path / "result.json", {"digests": digests, "device": device})
    matrices = np.full((2, 3, 3), prediction)
    write_whole(directory.confusion, lambda path: np.savez(path, matrices=matrices))
    directory.write_state(status="finished")


def test_canaries_are_shortened_runs_of_the_study():
    """Two studies with the same fixed settings share one BCE run; its evaluation comes last."""
    canaries = plan_canaries([planned("losses"), planned("downsampling")], resolve_loss)
    assert len(canaries) == 2
    specs = [job.specs[0] for job in canary_jobs(canaries)]
    assert [spec.loss.name for spec in specs] == ["bce", "rmi", "bce"]
    assert specs[-1].crf is not None
    assert specs[-1].crf.steps == 0
    own = next(iter(planned("losses").specs.values()))
    for spec in specs:
        check_run(spec)
        assert spec.recipe.steps == 3
        assert spec.recipe.crop_size == own.recipe.crop_size
        assert spec.model == own.model


def test_without_a_crf_in_the_study_no_canary_has_one():
    """The CRF may not be installed."""
    canaries = plan_canaries([planned("downsampling")], resolve_loss)
    assert [canary.statement for canary in canaries] == ["RMI with lambda 1 is BCE"]


def test_equal_canaries_have_no_contradictions(finished, tmp_path):
    """Weights, random draws and predictions are equal."""
    assert contradictions(finished, tmp_path) == []


def test_other_weights_are_a_contradiction(finished, tmp_path):
    """The sentence has both digests."""
    finish(tmp_path, finished[0].second.run_id, "other")
    sentence = "RMI with lambda 1 is BCE, but their weights digests are same and other"
    assert contradictions(finished, tmp_path) == [sentence]


def test_on_a_gpu_weights_may_differ(finished, tmp_path):
    """A GPU adds in no fixed order."""
    for canary, weights in ((finished[0].first, "one"), (finished[0].second, "two")):
        finish(tmp_path, canary.run_id, weights, device="a GPU")
    assert contradictions(finished[:1], tmp_path) == []


def test_other_predictions_are_a_contradiction(finished, tmp_path):
    """A CRF that changes labels in 0 steps would cause it."""
    finish(tmp_path, finished[1].second.run_id, "same", prediction=1)
    sentence = "a CRF of 0 steps changes nothing, but their predictions differ"
    assert contradictions(finished, tmp_path) == [sentence]


def test_two_diverged_canaries_agree_and_a_single_one_does_not(finished, tmp_path):
    """A learning rate that is too high makes both diverge; that is no contradiction."""
    first, second = (
        run_dir(tmp_path, spec.run_id) for spec in (finished[0].first, finished[0].second)
    )
    first.write_state(status="diverged")
    assert contradictions(finished[:1], tmp_path) == [
        "RMI with lambda 1 is BCE, but one diverged and one finished"
    ]
    second.write_state(status="diverged")
    assert contradictions(finished[:1], tmp_path) == []

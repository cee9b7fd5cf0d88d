"""Scoring: which predictions are timed alone, and what a run's result holds."""

import numpy as np
import pytest
import torch

from bench.data.cache import Cache
from bench.data.registry import open_dataset
from bench.evaluation import scoring
from bench.evaluation.predictor import Prediction
from bench.evaluation.scoring import OWN_DIGESTS, TIMED_IMAGES, Scoring, training_digests
from bench.profile import load_profile
from bench.runs.heartbeat import Heartbeat
from bench.runs.rundir import run_dir
from bench.spec import LossSpec, RunSpec

PROFILE = load_profile("scenes-demo")
ENVIRONMENT = {"digest": "here", "code": "ours", "plugin": None, "device": "cpu"}
INHERITED = {"init": "w", "order": "o", "weights": "t"}


@pytest.fixture
def score(tmp_path, monkeypatch):
    """Score that many images; the i-th prediction takes i seconds."""

    def run(count, **arguments):
        data = PROFILE.data.model_copy(update={"evaluate_images": count})
        spec = RunSpec(
            data=data, model=PROFILE.model, recipe=PROFILE.recipe, loss=LossSpec(name="ce")
        )
        directory = run_dir(tmp_path, spec.run_id)
        directory.create(spec)
        heartbeat = Heartbeat([directory], None)
        made = []

        class Predicted:
            def __init__(self, *arguments):
                pass

            def split(self, split):
                for index, label in enumerate(split.labels):
                    made.append((index, heartbeat.timing.is_exclusive))
                    yield Prediction(index, torch.zeros(9, *label.shape), float(index))

        monkeypatch.setattr(scoring, "Predictor", Predicted)
        dataset = open_dataset(data, None)
        cache = Cache(tmp_path / "cache", print)
        cpu = torch.device("cpu")
        scorer = Scoring(heartbeat, [spec], dataset, cache, cpu, ENVIRONMENT)
        scorer.score(None, {**INHERITED, "env": "two of them"}, 7.0, **arguments)
        heartbeat.timing.close()
        return directory, made

    return run


def test_timed_images_are_predicted_twice_and_counted_once(score):
    """Alone on the machine both times; the others once, beside other workers."""
    directory, made = score(TIMED_IMAGES + 3)
    first = [(i, True) for i in range(TIMED_IMAGES)]
    assert made == first + first + [(TIMED_IMAGES + i, False) for i in range(3)]
    result = directory.result()
    assert result["cost"]["infer_ms"] == 1e3 * np.median(range(TIMED_IMAGES))
    assert result["cost"]["evaluate_s"] == sum(range(TIMED_IMAGES + 3))
    assert len(np.load(directory.confusion)["ids"]) == TIMED_IMAGES + 3


def test_fewer_images_than_are_timed(score):
    """All are timed."""
    directory, made = score(2)
    assert made == [(0, True), (1, True)] * 2
    assert directory.result()["cost"]["infer_ms"] == 500.0


def test_a_result_has_the_digests_of_its_training_and_its_own(score):
    """Those of its own are not handed on to an evaluation; a resumed training's "env" stays."""
    directory, _ = score(2)
    result, state = directory.result(), directory.state()
    assert result["digests"] == {
        **INHERITED,
        "env": "two of them",
        "data": result["digests"]["data"],
        "code": "ours",
    }
    assert training_digests(result) == INHERITED
    assert set(result["digests"]) == {*INHERITED, *OWN_DIGESTS}
    assert (state.status, state.step, state.steps) == ("finished", PROFILE.recipe.steps, 0)
    assert result["cost"]["train_s"] == 7.0
    assert "fitted" not in result


def test_a_result_has_what_the_loss_took_from_the_training_split(score):
    directory, _ = score(2, fitted={"class_weights": [0.5, 1.5]})
    assert directory.result()["fitted"] == {"class_weights": [0.5, 1.5]}

"""Scores on the way: they change no weight, and a training that is killed keeps each once."""

import os

import pytest
import torch

from bench.data.cache import Cache
from bench.data.registry import evaluation_split, open_dataset, training_split
from bench.evaluation.interim import InterimScores
from bench.evaluation.metrics import PixelCounts
from bench.evaluation.predictor import Predictor, best
from bench.models.deeplab import build_model
from bench.runs.rundir import run_dir
from bench.spec import DataSpec, EvaluationSpec, LossSpec, ModelSpec, RecipeSpec, RunSpec
from bench.training.batches import TrainingData
from bench.training.checkpoint import Checkpoints
from bench.training.trainer import Training, weights_digest
from bench.worker import execution
from losses import build_loss

SPEC = RunSpec(
    data=DataSpec(name="scenes", train_images=9, evaluate_images=3),
    model=ModelSpec(
        backbone="test_efficientnet",
        pretrained=False,
        head_channels=8,
        atrous_rates=(1, 2, 3),
        dropout=0.2,
    ),
    recipe=RecipeSpec(steps=7, batch_size=4, crop_size=(48, 48), lr=0.1, ema_decay=0.5),
    loss=LossSpec(name="ce"),
    evaluation=EvaluationSpec(every=3),
)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return Cache(tmp_path_factory.mktemp("decoded"), lambda line: None)


def train(cache, spec, *, scored):
    """A training, its records, and its scores on the way if it is ``scored``."""
    dataset = open_dataset(spec.data, None)
    data = TrainingData(training_split(dataset, spec.data, cache), dataset, spec.recipe, 3)
    model = build_model(spec.model, len(dataset.class_names), seed=1)
    training = Training(model, build_loss("ce"), data, device=CPU)
    scores = InterimScores(spec, dataset, cache, CPU, pulse=lambda step, activity: None)
    records, found = [], []
    for step in training.run(records.append):
        if scored and scores.due(step):
            with training.scored_model() as network:
                found.append(scores.record(network, training.loss, step))
    return training, records, found


@pytest.mark.parametrize("ema_decay", [None, 0.5])
def test_scores_on_the_way_change_no_bit_of_the_training(cache, ema_decay):
    recipe = SPEC.recipe.model_copy(update={"ema_decay": ema_decay})
    spec = SPEC.model_copy(update={"recipe": recipe})
    plain, records, _ = train(cache, spec, scored=False)
    training, same_records, found = train(cache, spec, scored=True)
    assert [record["step"] for record in found] == [3, 6, 7]
    assert same_records == records
    assert weights_digest(training.model) == weights_digest(plain.model)
    for one in (training, plain):
        one.finish()
    assert weights_digest(training.model) == weights_digest(plain.model)


def test_the_last_score_is_that_of_the_result(cache):
    """By the way that scores every image with its borders."""
    training, _, found = train(cache, SPEC, scored=True)
    training.finish()
    dataset = training.data.dataset
    split = evaluation_split(dataset, SPEC.data, cache)
    predictor = Predictor(training.model, training.loss, dataset, CPU, EvaluationSpec())
    counts = PixelCounts(dataset)
    for prediction in predictor.split(split):
        counts.add(best(prediction.scores), torch.from_numpy(split.labels[prediction.index]))
    assert found[-1]["eval/miou"] == counts.scores()["miou"]


def test_another_split_may_be_scored_on_the_way(cache):
    other = SPEC.model_copy(update={"evaluation": EvaluationSpec(every=7, on="val")})
    (on_test,), (on_val,) = (
        train(cache, spec, scored=True)[2]
        for spec in (SPEC.model_copy(update={"evaluation": EvaluationSpec(every=7)}), other)
    )
    assert on_test["step"] == on_val["step"] == 7
    assert on_test["eval/miou"] != on_val["eval/miou"]


class Killed(BaseException):
    """Stands for kill -9: nothing of the worker catches it."""


def work(root, spec):
    """Run one worker in this process; return its exit code."""
    directory = run_dir(root, spec.run_id)
    directory.create(spec)
    return execution.main([str(directory.path), "--threads", "1", "--parent", str(os.getppid())])


@pytest.fixture
def checkpoints_at_every_step(monkeypatch):
    monkeypatch.setattr(Checkpoints, "due", property(lambda self: True))
    monkeypatch.setattr(execution, "set_up_torch", lambda threads: None)
    monkeypatch.setattr(execution, "write_records", lambda *arguments: None)  # seconds of probes


@pytest.mark.parametrize("place", ["before the score", "after the score", "after the checkpoint"])
def test_a_killed_training_loses_and_doubles_no_score(
    tmp_path, monkeypatch, checkpoints_at_every_step, place
):
    """At the second of its three scores; numbers and weights are those of an undisturbed run."""
    assert work(tmp_path / "whole", SPEC) == 0
    whole = run_dir(tmp_path / "whole", SPEC.run_id)
    score, save = InterimScores.record, Checkpoints.save

    def record(self, model, loss, step):
        if step == 6 and place == "before the score":
            raise Killed
        return score(self, model, loss, step)

    def saved(self, state):
        if state["progress"]["step"] == 6 and place == "after the score":
            raise Killed
        save(self, state)
        if state["progress"]["step"] == 6 and place == "after the checkpoint":
            raise Killed

    with monkeypatch.context() as killing:
        killing.setattr(InterimScores, "record", record)
        killing.setattr(Checkpoints, "save", saved)
        with pytest.raises(Killed):
            work(tmp_path / "killed", SPEC)
    killed = run_dir(tmp_path / "killed", SPEC.run_id)
    killed.write_state(status="queued", lease=None)
    assert work(tmp_path / "killed", SPEC) == 0
    assert numbers(killed) == numbers(whole)
    scored = [r["step"] for r in killed.metrics() if "eval/miou" in r]
    assert scored == [3, 6, 7]
    digests = [directory.result()["digests"]["weights"] for directory in (killed, whole)]
    assert digests[0] == digests[1]


def test_the_scores_do_not_count_as_training_time(tmp_path, monkeypatch, checkpoints_at_every_step):
    """A clock that only the scores advance: the training took no time."""
    now = [0.0]
    monkeypatch.setattr("bench.training.trainer.time.perf_counter", lambda: now[0])
    score = InterimScores.record

    def slow(*arguments):
        now[0] += 1000.0
        return score(*arguments)

    monkeypatch.setattr(InterimScores, "record", slow)
    assert work(tmp_path, SPEC) == 0
    assert run_dir(tmp_path, SPEC.run_id).result()["cost"]["train_s"] == 0.0


def numbers(directory):
    """Every record without its time."""
    return [{k: v for k, v in record.items() if k != "time"} for record in directory.metrics()]


def test_lines_of_one_step_are_one_record_and_a_later_line_replaces_values(tmp_path):
    """The end of an epoch and a score on the way may fall on one step."""
    directory = run_dir(tmp_path, "a")
    directory.path.mkdir(parents=True)
    lines = ({"step": 2, "a": 1}, {"step": 2, "b": 2}, {"step": 1, "a": 0}, {"step": 2, "a": 3})
    for line in lines:
        directory.append_metrics(line)
    assert directory.metrics() == [{"step": 1, "a": 0}, {"step": 2, "a": 3, "b": 2}]

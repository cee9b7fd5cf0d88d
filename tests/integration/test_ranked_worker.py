"""A worker of two ranks stops with a checkpoint, resumes from it, and finishes."""

import os
import signal
import subprocess
import sys
import time

import cpu_worker
import pytest
import torch

from bench.data.registry import open_dataset, training_split
from bench.errors import STOPPED
from bench.models.deeplab import build_model
from bench.runs.rundir import run_dir
from bench.spec import DataSpec, LossSpec, ModelSpec, RecipeSpec, RunSpec
from bench.training.batches import TrainingData
from bench.training.trainer import Training
from losses import build_loss

pytestmark = pytest.mark.long

SPEC = RunSpec(
    data=DataSpec(name="scenes", train_images=9, evaluate_images=2),
    model=ModelSpec(
        backbone="test_efficientnet",
        pretrained=False,
        head_channels=8,
        atrous_rates=(1, 2, 3),
        dropout=0.0,
    ),
    recipe=RecipeSpec(steps=60, batch_size=4, crop_size=(48, 48), lr=0.01),
    loss=LossSpec(name="rmi"),
)


def test_a_worker_of_two_ranks_stops_resumes_and_finishes(tmp_path):
    """Its samples and augmentations are those of a worker with one rank."""
    directory = run_dir(tmp_path, SPEC.run_id)
    directory.create(SPEC)
    command = [sys.executable, cpu_worker.__file__, directory.path]
    often = {**os.environ, "SEGLOSS_CHECKPOINT_SECONDS": "0"}
    with subprocess.Popen(command, env=often) as worker:
        while not directory.checkpoint.exists() and worker.poll() is None:
            time.sleep(0.02)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == STOPPED
    assert directory.state().status == "interrupted"
    assert 1 <= torch.load(directory.checkpoint)["progress"]["step"] < SPEC.recipe.steps

    subprocess.run(command, check=True)
    result = directory.result()
    assert result is not None
    dataset = open_dataset(SPEC.data, None)
    data = TrainingData(training_split(dataset, SPEC.data), dataset, SPEC.recipe, SPEC.seed)
    model = build_model(SPEC.model, len(dataset.class_names), seed=1)
    loss = build_loss(SPEC.loss.name, **SPEC.loss.options)
    alone = Training(model, loss, data, device=torch.device("cpu"))
    for _ in alone.run(lambda _: None):
        pass
    drawn = (alone.progress.order, alone.progress.augment)
    assert (result["digests"]["order"], result["digests"]["augment"]) == drawn

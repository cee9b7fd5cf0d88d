"""Execute one training, or evaluations of one training, and write their results."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from bench.data.cache import Cache
from bench.data.registry import open_dataset, training_split
from bench.errors import DataError, SpecError, StoppedError
from bench.evaluation.scoring import Scoring, training_digests
from bench.files import write_whole
from bench.models.deeplab import SegmentationModel, build_model
from bench.models.pretrained import find_weights
from bench.runs.environment import code_digests
from bench.runs.heartbeat import Heartbeat, log_line
from bench.runs.rundir import RunDir
from bench.seeding import torch_seed
from bench.spec import RunSpec, digest
from bench.training.batches import TrainingData
from bench.training.checkpoint import Checkpoints
from bench.training.distributed import lead
from bench.training.trainer import Training, weights_digest
from losses import build_loss


class Execution:
    """The runs of one worker: a training, or evaluations that share their training."""

    def __init__(
        self,
        heartbeat: Heartbeat,
        specs: list[RunSpec],
        *,
        device: torch.device,
        environment: dict[str, Any],
        data_root: Path | None,
    ) -> None:
        self.heartbeat = heartbeat
        self.run_dirs = heartbeat.run_dirs
        self.specs = specs
        self.device = device
        self.environment = environment
        self.data_root = data_root
        self.dataset = open_dataset(specs[0].data, data_root)
        self.cache = Cache(self.run_dirs[0].root / "cache", log_line)
        self.scoring = Scoring(heartbeat, specs, self.dataset, self.cache, device, environment)
        self.unwritten: list[dict[str, Any]] = []

    def run(self) -> None:
        """Train and score, or score only.

        Raises:
            StoppedError: The worker was to stop; a training has written its checkpoint.
            DivergedError: The loss is no longer finite.
            SeglossError: The data, the device or the source training cannot be used.
        """
        if self.specs[0].trains:
            self._train()
        else:
            self._evaluate()

    def _train(self) -> None:
        spec, directory = self.specs[0], self.run_dirs[0]
        for line in self.dataset.notes():
            log_line(f"data: {line}")
        split = training_split(self.dataset, spec.data, self.cache)
        if len(split) < spec.recipe.batch_size:
            raise DataError(
                f"{', '.join(spec.data.train)}: {len(split)} training images do not fill a batch "
                f"of {spec.recipe.batch_size}"
            )
        model = self._new_model(find_weights(directory.path, spec.model))
        init = weights_digest(model)
        with lead(self._gpus(), self._rank_command(), self.device) as ranks:
            data = TrainingData(split, self.dataset, spec.recipe, spec.seed, ranks)
            loss = build_loss(spec.loss.name, **spec.loss.options)
            training = Training(model, loss, data, device=self.device)
            environments = self._train_to_the_end(training)

        self._write_records()
        weights = {name: t.contiguous() for name, t in model.state_dict().items()}
        write_whole(directory.weights, lambda path: save_file(weights, path))
        progress = training.progress
        digests = {"init": init, "order": progress.order, "augment": progress.augment}
        digests |= {"train_data": split.digest, "weights": weights_digest(model)}
        # A training that was resumed in another environment has a digest of all of them.
        digests["env"] = environments[0] if len(environments) == 1 else digest(environments)
        self.scoring.score(model, digests, progress.seconds)
        self._checkpoints().remove()

    def _train_to_the_end(self, training: Training) -> list[str]:
        """Train from the checkpoint to the end; return the digests of all environments so far."""
        checkpoints, environments = self._checkpoints(), [self.environment["digest"]]
        if state := checkpoints.load(self.device):
            training.restore(state)
            environments = list(dict.fromkeys([*state["environments"], *environments]))
            log_line(f"resuming from step {training.progress.step}")
        elif checkpoints.path.exists():
            log_line("the checkpoint is damaged or of other code: starting again")
        steps = training.data.recipe.steps
        for step in training.run(self._record):
            self.heartbeat.pulse(step)
            stopping = self.heartbeat.stop_requested and step < steps
            if stopping or checkpoints.due or step == steps:
                self._save(checkpoints, training, environments)
            if stopping:
                raise StoppedError
        return environments

    def _gpus(self) -> int:
        """Return the number of GPUs that train together: all of this process; raises SpecError."""
        recipe, count = self.specs[0].recipe, max(1, torch.cuda.device_count())
        if recipe.batch_size % (count * recipe.accumulate):
            raise SpecError(
                f"recipe.batch_size = {recipe.batch_size} in {recipe.accumulate} parts cannot be "
                f"shared by {count} GPUs"
            )
        return count

    def _rank_command(self) -> list[str]:
        command = [sys.executable, "-P", "-m", "bench.worker.rank", str(self.run_dirs[0].path)]
        threads = max(1, torch.get_num_threads() // max(1, torch.cuda.device_count()))
        command += ["--threads", str(threads)]
        return command + (["--data-root", str(self.data_root)] if self.data_root else [])

    def _checkpoints(self) -> Checkpoints:
        mark = {"run_id": self.specs[0].run_id, **code_digests(self.environment)}
        return Checkpoints(self.run_dirs[0].checkpoint, mark)

    def _evaluate(self) -> None:
        """Score the weights of the source training, which is finished."""
        spec = self.specs[0]
        source = RunDir(self.run_dirs[0].path.parent / spec.source.run_id)
        result = source.result()
        if result is None:
            raise DataError(f"{source.path}: the training this evaluation needs is not finished")
        model = self._new_model()
        model.load_state_dict(load_file(source.weights))
        self.scoring.score(model, training_digests(result), result["cost"]["train_s"])

    def _new_model(self, weights: Path | None = None) -> SegmentationModel:
        # The loss is no part of the seed, so one seed gives every method the same weights.
        spec = self.specs[0]
        seed = torch_seed(spec.seed, "init")
        classes = len(self.dataset.class_names)
        return build_model(spec.model, classes, seed=seed, weights=weights)

    def _record(self, record: dict[str, Any]) -> None:
        log_line(
            f"step {record['step']}: "
            f"loss {record['train/loss']:.4f}, train mIoU {record['train/miou']:.3f}"
        )
        self.unwritten.append({"time": time.time(), **record})
        try:
            self._write_records()
        except OSError as error:  # a full disk: the training may still finish
            log_line(f"not recorded yet: {error}")

    def _write_records(self) -> None:
        while self.unwritten:
            self.run_dirs[0].append_metrics(self.unwritten[0])
            del self.unwritten[0]

    def _save(self, checkpoints: Checkpoints, training: Training, environments: list[str]) -> None:
        try:
            # Records first: a resumed training does not repeat those before its checkpoint.
            self._write_records()
            checkpoints.save({**training.state(), "environments": environments})
        except OSError as error:
            log_line(f"no checkpoint: {error}")

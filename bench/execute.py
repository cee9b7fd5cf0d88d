"""Execute one training, or the CRF evaluations of one training, and leave their results."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from bench.build import loss_of
from bench.cache import Cache
from bench.checkpoint import Checkpoints
from bench.datasets import evaluation_split, open_dataset, training_split
from bench.engine import Training, TrainingData, evaluate, predict, weights_digest
from bench.environment import peak_memory_mb
from bench.errors import DataError, StoppedError
from bench.metrics import ConfusionMatrix
from bench.models import SegmentationModel, build_model
from bench.pictures import ShownImages
from bench.rundir import RunDir, write_json, write_whole
from bench.samples import SegmentationDataset, Split
from bench.seeding import torch_seed
from bench.spec import RunSpec, digest
from bench.watch import TIMED_IMAGES, Watch, say
from postproc.dense_crf import DenseCRF


class Execution:
    """Runs that share their source training, on one device."""

    def __init__(
        self,
        watch: Watch,
        specs: list[RunSpec],
        *,
        device: torch.device,
        environment: dict[str, Any],
        data_root: Path | None,
    ) -> None:
        self.watch = watch
        self.run_dirs = watch.run_dirs
        self.specs = specs
        self.device = device
        self.environment = environment
        self.dataset = open_dataset(specs[0].data, data_root)
        self.cache = Cache(self.run_dirs[0].path.parent.parent / "cache", say)
        self.unwritten: list[dict[str, Any]] = []

    def run(self) -> None:
        """Do the work; raises StoppedError, DivergedError, SeglossError, or anything at all."""
        if self.specs[0].crf is None:
            self._train()
        else:
            self._refine()

    def _train(self) -> None:
        spec, directory = self.specs[0], self.run_dirs[0]
        split = training_split(self.dataset, spec.data, self.cache)
        if len(split) < spec.recipe.batch_size:
            raise DataError(
                f"{', '.join(spec.data.train)}: {len(split)} training images do not fill a batch "
                f"of {spec.recipe.batch_size}"
            )
        model = self._new_model()
        init = weights_digest(model)
        data = TrainingData(split, self.dataset, spec.recipe, spec.seed)
        training = Training(model, loss_of(spec.loss), data, device=self.device)
        environments = self._train_to_the_end(training)

        self._write_records()
        weights = {name: t.contiguous() for name, t in model.state_dict().items()}
        write_whole(directory.weights, lambda path: save_file(weights, path))
        progress = training.progress
        digests = {"init": init, "order": progress.order, "augment": progress.augment}
        digests |= {"train_data": split.digest, "weights": weights_digest(model)}
        # A training that went on elsewhere has an environment of its own.
        digests["env"] = environments[0] if len(environments) == 1 else digest(environments)
        self._evaluate(model, Outcome(digests, {"train_s": progress.seconds}))
        self._checkpoints().remove()

    def _train_to_the_end(self, training: Training) -> list[str]:
        """Go on from the checkpoint; returns the digest of every environment it was trained in."""
        checkpoints, environments = self._checkpoints(), [self.environment["digest"]]
        if state := checkpoints.load(self.device):
            training.restore(state)
            environments = list(dict.fromkeys([*state["environments"], *environments]))
            say(f"going on from step {training.progress.step}")
        elif checkpoints.path.exists():
            say("the checkpoint is torn or of other code: from the start")
        steps = training.data.recipe.steps
        for step in training.run(self._record):
            self.watch.beat(step)
            stopping = self.watch.asked_to_stop and step < steps
            if stopping or checkpoints.due or step == steps:
                self._save(checkpoints, training, environments)
            if stopping:
                raise StoppedError
        return environments

    def _checkpoints(self) -> Checkpoints:
        mark = {"run_id": self.specs[0].run_id, **self._code()}
        return Checkpoints(self.run_dirs[0].checkpoint, mark)

    def _code(self) -> dict[str, str]:
        """Digests of the code: ours, and that of a loss from elsewhere."""
        return {key: self.environment[key] for key in ("code", "plugin") if self.environment[key]}

    def _evaluate(self, model: SegmentationModel, outcome: Outcome) -> None:
        split = evaluation_split(self.dataset, self.specs[0].data, self.cache)
        shown = ShownImages(split, self.dataset)

        def predictions():
            for prediction in self.watch.timed(
                predict(model, split, self.dataset, device=self.device)
            ):
                labels = prediction.logits.max(0).indices
                outcome.seconds.append(prediction.seconds)
                shown.keep(self.run_dirs[0], prediction.index, labels.cpu().numpy())
                yield prediction.index, labels

        matrix = evaluate(predictions(), split, len(self.dataset.class_names))
        self._finish(self.run_dirs[0], self.specs[0], split, matrix, outcome)

    def _refine(self) -> None:
        """Evaluate the source's weights under the CRF, every step count out of one pass."""
        spec = self.specs[0]
        source = RunDir(self.run_dirs[0].path.parent / spec.source.run_id)
        result = source.result()
        if result is None:
            raise DataError(f"{source.path}: the training this evaluation needs is not finished")
        model = self._new_model()
        model.load_state_dict(load_file(source.weights))
        parameters = [spec.crf for spec in self.specs if spec.crf is not None]
        steps = tuple(crf.steps for crf in parameters)
        crf = DenseCRF(steps=steps, **parameters[0].model_dump(exclude={"version", "steps"}))
        loss = loss_of(spec.loss)

        split = evaluation_split(self.dataset, spec.data, self.cache)
        entries = {entry.id: entry for entry in self.dataset.entries(spec.data.evaluate)}
        shown = ShownImages(split, self.dataset)
        digests = {k: v for k, v in result["digests"].items() if k not in ("code", "env", "data")}
        matrices = [ConfusionMatrix(len(self.dataset.class_names)) for _ in steps]
        outcomes = [Outcome(digests, {"train_s": result["cost"]["train_s"]}) for _ in steps]
        for prediction in self.watch.timed(predict(model, split, self.dataset, device=self.device)):
            image = entries[split.ids[prediction.index]].read().image  # as stored, not resized
            started = time.perf_counter()
            scoring = 0.0
            probabilities = loss.probabilities(prediction.logits[None])[0].cpu().numpy()
            truth = torch.from_numpy(split.labels[prediction.index]).long()
            for i, (_, labels) in enumerate(crf.snapshots(image, probabilities)):
                reached = time.perf_counter()
                outcomes[i].seconds.append(prediction.seconds + reached - started - scoring)
                matrices[i].update(torch.from_numpy(labels).long(), truth)
                shown.keep(self.run_dirs[i], prediction.index, labels)
                scoring += time.perf_counter() - reached
        for parts in zip(self.run_dirs, self.specs, matrices, outcomes, strict=True):
            directory, spec, matrix, outcome = parts
            self._finish(directory, spec, split, matrix, outcome)

    def _new_model(self) -> SegmentationModel:
        # The loss has no say in it, so one seed gives every method the same weights.
        spec = self.specs[0]
        seed = torch_seed(spec.seed, "init")
        return build_model(spec.model, len(self.dataset.class_names), seed=seed)

    def _record(self, record: dict[str, Any]) -> None:
        say(
            f"step {record['step']}: "
            f"loss {record['train/loss']:.4f}, train mIoU {record['train/miou']:.3f}"
        )
        self.unwritten.append({"time": time.time(), **record})
        try:
            self._write_records()
        except OSError as error:  # a full disk: the training may still come to its end
            say(f"not recorded yet: {error}")

    def _write_records(self) -> None:
        while self.unwritten:
            self.run_dirs[0].append_metrics(self.unwritten[0])
            del self.unwritten[0]

    def _save(self, checkpoints: Checkpoints, training: Training, environments: list[str]) -> None:
        try:
            # In this order: what is recorded before a checkpoint is not recorded again after it.
            self._write_records()
            checkpoints.save({**training.state(), "environments": environments})
        except OSError as error:
            say(f"no checkpoint: {error}")

    def _finish(
        self,
        directory: RunDir,
        spec: RunSpec,
        split: Split,
        matrix: ConfusionMatrix,
        outcome: Outcome,
    ) -> None:
        matrices = torch.stack(matrix.per_image).to(torch.int32).numpy()
        write_whole(
            directory.confusion,
            lambda path: np.savez_compressed(path, ids=np.array(split.ids), matrices=matrices),
        )
        cost = {
            **outcome.cost,
            "evaluate_s": sum(outcome.seconds),
            "infer_ms": 1e3 * float(np.median(outcome.seconds[:TIMED_IMAGES])),
            "peak_mem_mb": peak_memory_mb(self.device),
        }
        digests = {
            "env": self.environment["digest"],
            **outcome.digests,
            "data": split.digest,
            **self._code(),
        }
        device = self.environment["device"]
        result = result_of(spec, self.dataset, matrix)
        result |= {"digests": digests, "cost": cost, "device": device}
        write_json(directory.path / "result.json", result)
        directory.write_state(
            status="finished", failure=None, reason=None, lease=None, step=spec.recipe.steps
        )


@dataclass
class Outcome:
    """What is known of a run's result before its scores."""

    digests: dict[str, str]
    cost: dict[str, float]
    seconds: list[float] = field(default_factory=list)
    """Of each image: inference, and the CRF where there is one."""


def result_of(
    spec: RunSpec, dataset: SegmentationDataset, matrix: ConfusionMatrix
) -> dict[str, Any]:
    """The scores of a run, as in result.json."""
    iou = [None if np.isnan(value) else float(value) for value in matrix.iou()]
    return {
        "run_id": spec.run_id,
        "metrics": dataset.scores(matrix.total.numpy()),
        "class_iou": dict(zip(dataset.class_names, iou, strict=True)),
        "classes": list(dataset.class_names),
        "palette": dataset.palette.tolist(),
    }

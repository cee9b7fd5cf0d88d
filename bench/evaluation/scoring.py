"""Score a trained network on the evaluation split, with a CRF or without, and leave the results."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from bench.data.cache import Cache
from bench.data.dataset import SegmentationDataset, Split
from bench.data.registry import evaluation_split
from bench.evaluation.example_images import ShownImages
from bench.evaluation.metrics import PixelCounts
from bench.evaluation.predictor import Prediction, Predictor, best
from bench.files import write_json
from bench.loss_spec import loss_of
from bench.models.deeplab import SegmentationModel
from bench.runs.environment import code_digests, peak_memory_mb
from bench.runs.heartbeat import TIMED_IMAGES, Watch
from bench.runs.rundir import RunDir
from bench.spec import CRFSpec, RunSpec
from postproc.dense_crf import DenseCRF


@dataclass(frozen=True)
class Scoring:
    """Runs that one worker scores in one pass: they share network, loss and evaluation."""

    watch: Watch
    specs: list[RunSpec]
    dataset: SegmentationDataset
    cache: Cache
    device: torch.device
    environment: dict[str, Any]

    def score(self, model: SegmentationModel, digests: dict[str, str], train_s: float) -> None:
        """Predict the split once and write the result of every run."""
        spec, directories = self.specs[0], self.watch.run_dirs
        split = evaluation_split(self.dataset, spec.data, self.cache)
        loss = loss_of(spec.loss)
        predictor = Predictor(model, loss, self.dataset, self.device, spec.evaluation)
        labels_of = _Refined(self.specs, predictor, split) if spec.crf else _as_predicted
        shown = ShownImages(split, self.dataset)
        counts = [PixelCounts(self.dataset) for _ in self.specs]
        seconds: list[list[float]] = [[] for _ in self.specs]
        for prediction in self.watch.timed(lambda: predictor.split(split)):
            truth = torch.from_numpy(split.labels[prediction.index])
            for i, (labels, taken) in enumerate(labels_of(prediction)):
                seconds[i].append(taken)
                counts[i].add(labels, truth)
                shown.keep(directories[i], prediction.index, labels)
        for i, directory in enumerate(directories):
            cost = {"train_s": train_s, **self._cost(seconds[i])}
            self._finish(directory, self.specs[i], split, counts[i], digests, cost)

    def _cost(self, seconds: list[float]) -> dict[str, float]:
        return {
            "evaluate_s": sum(seconds),
            "infer_ms": 1e3 * float(np.median(seconds[:TIMED_IMAGES])),
            "peak_mem_mb": peak_memory_mb(self.device),
        }

    def _finish(
        self,
        directory: RunDir,
        spec: RunSpec,
        split: Split,
        counts: PixelCounts,
        digests: dict[str, str],
        cost: dict[str, float],
    ) -> None:
        counts.write(directory, split.ids)
        result = {
            "run_id": spec.run_id,
            **scores_of(counts),
            "digests": {
                "env": self.environment["digest"],
                **digests,
                "data": split.digest,
                **code_digests(self.environment),
            },
            "cost": cost,
            "device": self.environment["device"],
        }
        write_json(directory.path / "result.json", result)
        directory.write_state(
            status="finished", failure=None, reason=None, lease=None, step=spec.recipe.steps
        )


def scores_of(counts: PixelCounts) -> dict[str, Any]:
    """The scores of a run, as in result.json."""
    dataset = counts.dataset
    iou = [None if np.isnan(value) else float(value) for value in counts.class_iou()]
    return {
        "metrics": counts.scores(),
        "class_iou": dict(zip(dataset.class_names, iou, strict=True)),
        "classes": list(dataset.class_names),
        "palette": dataset.palette.tolist(),
    }


def crf_of(specs: list[CRFSpec]) -> DenseCRF:
    """One CRF for specifications that differ in their steps alone."""
    steps = tuple(spec.steps for spec in specs)
    return DenseCRF(steps=steps, **specs[0].model_dump(exclude={"version", "steps"}))


Timed = Iterator[tuple[UInt8[Tensor, "h w"], float]]
"""Labels and the seconds they took, for each run of a pass."""


def _as_predicted(prediction: Prediction) -> Timed:
    yield best(prediction.scores), prediction.seconds


class _Refined:
    """The labels after each number of CRF steps, out of one pass over each image."""

    def __init__(self, specs: list[RunSpec], predictor: Predictor, split: Split) -> None:
        self.crf = crf_of([spec.crf for spec in specs if spec.crf is not None])
        self.predictor = predictor
        self.split = split
        entries = predictor.dataset.entries(specs[0].data.evaluate)
        self.entries = {entry.id: entry for entry in entries}

    def __call__(self, prediction: Prediction) -> Timed:
        # As stored, not resized.
        image = self.entries[self.split.ids[prediction.index]].read().image
        started, elsewhere = time.perf_counter(), 0.0
        probabilities = self.predictor.probabilities(prediction.scores).cpu().numpy()
        for _, labels in self.crf.snapshots(image, probabilities):
            reached = time.perf_counter()
            yield torch.from_numpy(labels), prediction.seconds + reached - started - elsewhere
            elsewhere += time.perf_counter() - reached

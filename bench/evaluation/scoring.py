"""Score a trained network on the evaluation split, with a CRF or without, and write the results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from bench.data.cache import Cache
from bench.data.dataset import SegmentationDataset, Split
from bench.data.registry import evaluation_entries, evaluation_split
from bench.evaluation.example_images import ExampleImages
from bench.evaluation.metrics import PixelCounts
from bench.evaluation.predictor import Prediction, Predictor, best
from bench.evaluation.result import write_result
from bench.loss_spec import loss_of
from bench.models.deeplab import SegmentationModel
from bench.runs.environment import peak_memory_mb
from bench.runs.heartbeat import Heartbeat
from bench.runs.rundir import RunDir
from bench.spec import CRFSpec, RunSpec
from postproc.dense_crf import DenseCRF

TIMED_IMAGES = 10
"""The first images of a split, predicted while no other worker works; tables show their median."""

TimedLabels = Iterator[tuple[UInt8[Tensor, "h w"], float]]
"""Labels of one image and the seconds they took, for each run of a pass."""


@dataclass
class _ScoredRun:
    """What is counted and timed of one run while the split is predicted."""

    directory: RunDir
    spec: RunSpec
    counts: PixelCounts
    seconds: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Scoring:
    """The runs that one worker scores in one pass: they share network, loss and evaluation."""

    heartbeat: Heartbeat
    specs: list[RunSpec]
    dataset: SegmentationDataset
    cache: Cache
    device: torch.device
    environment: dict[str, Any]

    def score(self, model: SegmentationModel, digests: dict[str, str], train_s: float) -> None:
        """Predict the split once and write the result of every run.

        Args:
            model: The trained network.
            digests: Digests of its training.
            train_s: Seconds that its training took.
        """
        spec = self.specs[0]
        split = evaluation_split(self.dataset, spec.data, self.cache)
        predictor = Predictor(model, loss_of(spec.loss), self.dataset, self.device, spec.evaluation)
        runs = [
            _ScoredRun(directory, each, PixelCounts(self.dataset))
            for directory, each in zip(self.heartbeat.run_dirs, self.specs, strict=True)
        ]
        labels_of = _CrfLabels(self.specs, predictor, split) if spec.crf else _most_probable
        example_images = ExampleImages(split, self.dataset)
        predictions = predictor.split(split)
        with self.heartbeat.timing.exclusive():
            self._warm_up(predictor.split(split))
            first = islice(predictions, TIMED_IMAGES)
            self._count(first, runs, labels_of, split, example_images)
        self._count(predictions, runs, labels_of, split, example_images)
        for run in runs:
            write_result(
                run.directory,
                run.spec,
                run.counts,
                split.ids,
                data=split.digest,
                digests=digests,
                cost={"train_s": train_s, **self._cost(run.seconds)},
                environment=self.environment,
            )

    def _warm_up(self, predictions: Iterator[Prediction]) -> None:
        """Pay one-time costs, such as the choice of kernels for each size of image."""
        for _ in islice(predictions, TIMED_IMAGES):
            self.heartbeat.pulse()

    def _count(
        self,
        predictions: Iterable[Prediction],
        runs: list[_ScoredRun],
        labels_of: Callable[[Prediction], TimedLabels],
        split: Split,
        example_images: ExampleImages,
    ) -> None:
        for prediction in predictions:
            self.heartbeat.pulse()
            truth = torch.from_numpy(split.labels[prediction.index])
            for run, (labels, seconds) in zip(runs, labels_of(prediction), strict=True):
                run.seconds.append(seconds)
                run.counts.add(labels, truth)
                example_images.write(run.directory, prediction.index, labels)

    def _cost(self, seconds: list[float]) -> dict[str, float]:
        return {
            "evaluate_s": sum(seconds),
            "infer_ms": 1e3 * float(np.median(seconds[:TIMED_IMAGES])),
            "peak_mem_mb": peak_memory_mb(self.device),
        }


def crf_of(specs: list[CRFSpec]) -> DenseCRF:
    """Return one CRF for specifications that differ in their steps alone."""
    steps = tuple(spec.steps for spec in specs)
    return DenseCRF(steps=steps, **specs[0].model_dump(exclude={"version", "steps"}))


def _most_probable(prediction: Prediction) -> TimedLabels:
    yield best(prediction.scores), prediction.seconds


class _CrfLabels:
    """The labels after each run's number of CRF steps, out of one CRF per image."""

    def __init__(self, specs: list[RunSpec], predictor: Predictor, split: Split) -> None:
        self.crf = crf_of([spec.crf for spec in specs if spec.crf is not None])
        self.predictor = predictor
        self.split = split
        entries = evaluation_entries(predictor.dataset, specs[0].data)
        self.entries = {entry.id: entry for entry in entries}

    def __call__(self, prediction: Prediction) -> TimedLabels:
        # The CRF sees the image as stored, not resized.
        image = self.entries[self.split.ids[prediction.index]].read().image
        started, elsewhere = time.perf_counter(), 0.0
        probabilities = self.predictor.probabilities(prediction.scores).cpu().numpy()
        for _, labels in self.crf.snapshots(image, probabilities):
            reached = time.perf_counter()
            yield torch.from_numpy(labels), prediction.seconds + reached - started - elsewhere
            elsewhere += time.perf_counter() - reached

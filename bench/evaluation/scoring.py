"""Score a trained network on the evaluation split, with a CRF or without, and write the results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor, nn

from bench.data.cache import Cache
from bench.data.dataset import SegmentationDataset, Split, evenly_spaced, groups_of
from bench.data.registry import evaluation_entries, evaluation_split
from bench.evaluation.metrics import PixelCounts
from bench.evaluation.predictor import Prediction, Predictor, best
from bench.files import write_json, write_whole
from bench.runs.environment import code_digests, peak_memory_mb
from bench.runs.heartbeat import Heartbeat
from bench.runs.rundir import RunDir
from bench.spec import CRFSpec, RunSpec
from losses import loss_from
from postproc.dense_crf import DenseCRF

TIMED_IMAGES = 10
"""The first images of a split, predicted while no other worker works; tables show their median."""
EXAMPLES = 4
OWN_DIGESTS = ("code", "env", "data")
"""Digests that every run has of its own; an evaluation takes the others from its training."""

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

    def score(
        self,
        model: nn.Module,
        digests: dict[str, str],
        train_s: float,
        fitted: Mapping[str, list[float]] | None = None,
    ) -> None:
        """Predict the split once and write the result of every run.

        Args:
            model: The trained network.
            digests: Digests of its training.
            train_s: Seconds that its training took.
            fitted: What the loss took from the training split, such as "class_weights".
        """
        spec = self.specs[0]
        split = evaluation_split(self.dataset, spec.data, self.cache)
        loss = loss_from(spec.loss)
        predictor = Predictor(model, loss, self.dataset, self.device, spec.evaluation)
        runs = [
            _ScoredRun(directory, each, PixelCounts(self.dataset))
            for directory, each in zip(self.heartbeat.run_dirs, self.specs, strict=True)
        ]
        timed_labels = _CrfLabels(self.specs, predictor, split) if spec.crf else _most_probable
        example_images = ExampleImages(split, self.dataset)
        predictions = predictor.split(split)
        with self.heartbeat.timing.exclusive():
            self._warm_up(predictor.split(split))
            first = islice(predictions, TIMED_IMAGES)
            self._count(first, runs, timed_labels, split, example_images)
        self._count(predictions, runs, timed_labels, split, example_images)
        for run in runs:
            write_result(
                run.directory,
                run.spec,
                run.counts,
                groups_of(self.dataset, spec.data, split.ids),
                data=split.digest,
                digests=digests,
                cost={"train_s": train_s, **self._cost(run.seconds)},
                environment=self.environment,
                fitted=fitted,
            )

    def _warm_up(self, predictions: Iterator[Prediction]) -> None:
        """Pay one-time costs, such as the choice of kernels for each size of image."""
        for _ in islice(predictions, TIMED_IMAGES):
            self.heartbeat.pulse(activity="scoring: warm-up")

    def _count(
        self,
        predictions: Iterable[Prediction],
        runs: list[_ScoredRun],
        timed_labels: Callable[[Prediction], TimedLabels],
        split: Split,
        example_images: ExampleImages,
    ) -> None:
        for prediction in predictions:
            done = f"scoring image {prediction.index + 1} of {len(split)}"
            self.heartbeat.pulse(activity=done)
            truth = torch.from_numpy(split.labels[prediction.index])
            for run, (labels, seconds) in zip(runs, timed_labels(prediction), strict=True):
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


def write_result(
    directory: RunDir,
    spec: RunSpec,
    counts: PixelCounts,
    groups: Mapping[str, str],
    *,
    data: str,
    digests: dict[str, str],
    cost: dict[str, float],
    environment: dict[str, Any],
    fitted: Mapping[str, list[float]] | None = None,
) -> None:
    """Write the result of one run and mark it finished.

    Args:
        directory: Where the run leaves its files.
        spec: The run.
        counts: Pixel counts of every image of the scored split, in its order.
        groups: The group of each image of the split by its id.
        data: Digest of the split.
        digests: Digests of the training. An "env" among them replaces that of ``environment``: a
            training that was resumed elsewhere has several.
        cost: Seconds, milliseconds and megabytes by name, such as "train_s".
        environment: Facts about code, packages and machine, as in env.json.
        fitted: Lists of numbers that the loss took from the training split, by name.
    """
    counts.write(directory, groups)
    result = {
        "run_id": spec.run_id,
        **_scores(counts),
        "digests": {
            "env": environment["digest"],
            **digests,
            "data": data,
            **code_digests(environment),
        },
        "cost": cost,
        "device": environment["device"],
    }
    if fitted:
        result["fitted"] = dict(fitted)
    write_json(directory.result_file, result)
    directory.write_state(
        status="finished", failure=None, reason=None, lease=None, step=spec.recipe.steps
    )


def training_digests(result: dict[str, Any]) -> dict[str, str]:
    """Return the digests of a training's result that its evaluations repeat."""
    return {name: d for name, d in result["digests"].items() if name not in OWN_DIGESTS}


def _scores(counts: PixelCounts) -> dict[str, Any]:
    dataset = counts.dataset
    iou = [None if np.isnan(value) else float(value) for value in counts.class_iou()]
    return {
        "metrics": counts.scores(),
        "class_iou": dict(zip(dataset.class_names, iou, strict=True)),
        "classes": list(dataset.class_names),
        "palette": dataset.palette.tolist(),
    }


class ExampleImages:
    """A fixed list of images, evenly spaced over a split, whose predictions are written as PNGs."""

    def __init__(self, split: Split, dataset: SegmentationDataset) -> None:
        self.indices = set(evenly_spaced(len(split), EXAMPLES))
        self.split = split
        # Labels that are not a class, such as ignored pixels, are white.
        self.colours = np.full((256, 3), 255, np.uint8)
        self.colours[: len(dataset.palette)] = dataset.palette

    def write(self, directory: RunDir, index: int, labels: UInt8[Tensor, "h w"]) -> None:
        """Write image, truth and predicted ``labels`` if image ``index`` is one of the list."""
        if index not in self.indices:
            return
        maps = {
            "image": self.split.images[index],
            "truth": self._coloured(self.split.labels[index]),
            "prediction": self._coloured(labels.cpu().numpy()),
        }
        for kind, pixels in maps.items():
            path = directory.predictions / f"{self.split.ids[index]}.{kind}.png"
            write_whole(path, Image.fromarray(pixels).save)

    def _coloured(self, labels: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
        return self.colours[labels]

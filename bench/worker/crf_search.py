"""Score a CRF on finished trainings image by image, so that a search can give up early.

Nothing is trained. Parameters that are scored on all images become an ordinary finished run.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from safetensors.torch import load_file

from bench.data.cache import Cache
from bench.data.dataset import SegmentationDataset, Split, groups_of
from bench.data.registry import evaluation_entries, evaluation_split, open_dataset
from bench.evaluation.metrics import BoundaryCounts, PixelCounts, count_pixels
from bench.evaluation.predictor import Predictor
from bench.evaluation.scoring import crf_of, training_digests, write_result
from bench.files import read_json, write_json
from bench.iou import class_iou, mean_known
from bench.models.deeplab import build_model
from bench.runs.environment import device_name, environment
from bench.runs.rundir import RunDir, all_run_dirs, run_dir
from bench.spec import CRFSpec, RunSpec
from losses import loss_classes, loss_from

Arrays = tuple[np.ndarray, ...]
"""The fields of a BoundaryCounts as arrays, which go from process to process."""
KEPT_BYTES = 2**30
"""Cache size per process for probabilities; beyond it they are computed again."""


def finished_source(root: Path, spec: RunSpec) -> RunDir | None:
    """Return a finished training with the weights that ``spec`` needs; None if there is none."""
    own = run_dir(root, spec.source.run_id)
    others = (other for other in all_run_dirs(root) if other.run_id != own.run_id)
    for directory in (own, *others):
        if directory.weights.exists() and directory.has_result():
            training = directory.spec()
            if training.trains and _trained_alike(training, spec.source):
                return directory
    return None


def _trained_alike(one: RunSpec, other: RunSpec) -> bool:
    scored = {"evaluate": other.data.evaluate, "evaluate_images": other.data.evaluate_images}
    data = one.data.model_copy(update=scored)
    return one.model_copy(update={"data": data}).run_id == other.run_id


@dataclass(frozen=True)
class CrfScorer:
    """Scores a CRF on the images of the tuning split, in several processes.

    Attributes:
        specs: For each seed an evaluation of its training on the tuning split.
        sources: Run directories of the trainings, in the same order.
        data_root: Folder that holds the data sets.
        workers: Number of processes.
        cache: Decoded cache of the split.
    """

    specs: tuple[RunSpec, ...]
    sources: tuple[RunDir, ...]
    data_root: Path | None
    workers: int
    cache: Cache

    @property
    def pairs(self) -> int:
        """Number of (seed, image) pairs; a pair is identified by an index below it."""
        return len(self.specs) * len(self._split)

    def counts(self, crf: CRFSpec, pairs: Sequence[int]) -> list[Arrays]:
        """Return the pixel counts of each pair; the same process scores a pair every time."""
        futures = [
            self._pools[pair % self.workers].submit(_counts, crf, *divmod(pair, len(self._split)))
            for pair in pairs
        ]
        return [future.result() for future in futures]

    def image_score(self, counts: Arrays) -> float:
        """Return the mean IoU of one image in [0, 1]; 0 if nothing is labelled."""
        return float(np.nan_to_num(mean_known(class_iou(counts[0]))))

    def score(self, counts: Sequence[Arrays], metric: str) -> float:
        """Return ``metric`` over all images of ``counts``."""
        return self._together(counts).scores()[metric]

    def finish(
        self, directory: RunDir, spec: RunSpec, counts: Sequence[Arrays], seconds: float
    ) -> None:
        """Write the run of one seed as a worker would; scoring it took ``seconds``."""
        directory.create(spec)
        write_json(directory.path / "env.json", self._environment)
        source = self.sources[spec.seed].result() or {}
        if (record := read_json(self.sources[spec.seed].probes)) is not None:
            write_json(directory.probes, record)
        write_result(
            directory,
            spec,
            self._together(counts),
            self._groups(self._split.ids),
            data=self._split.digest,
            digests=training_digests(source),
            cost={"train_s": source["cost"]["train_s"], "evaluate_s": seconds},
            environment=self._environment,
        )

    def give_up(
        self, directory: RunDir, spec: RunSpec, images: Sequence[int], counts: Sequence[Arrays]
    ) -> None:
        """Write the counts of the images scored so far; the run stays without a result."""
        directory.create(spec)
        if counts:
            ids = [self._split.ids[i] for i in images]
            self._together(counts).write(directory, self._groups(ids))

    def kept(self, directory: RunDir) -> dict[int, Arrays]:
        """Return the pixel counts of a finished run by index of the image."""
        confusion, borders = np.load(directory.confusion), np.load(directory.boundaries)
        stored = [confusion["matrices"], *(borders[n] for n in ("trimap", "intersection", "union"))]
        indices = {id: index for index, id in enumerate(self._split.ids)}
        images = zip(*(counts.astype(np.int64) for counts in stored), strict=True)
        return {indices[id]: c for id, c in zip(confusion["ids"].tolist(), images, strict=True)}

    def close(self) -> None:
        """Stop the processes."""
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)

    def _together(self, counts: Sequence[Arrays]) -> PixelCounts:
        counted = PixelCounts(self._dataset)
        counted.per_image = [BoundaryCounts(*map(torch.from_numpy, image)) for image in counts]
        return counted

    def _groups(self, ids: Sequence[str]) -> dict[str, str]:
        return groups_of(self._dataset, self.specs[0].data, ids)

    @cached_property
    def _dataset(self) -> SegmentationDataset:
        return open_dataset(self.specs[0].data, self.data_root)

    @cached_property
    def _split(self) -> Split:
        return evaluation_split(self._dataset, self.specs[0].data, self.cache)

    @cached_property
    def _environment(self) -> dict[str, Any]:
        cpu = torch.device("cpu")
        return environment(device_name(cpu), 1, *loss_classes(self.specs[0].loss))

    @cached_property
    def _pools(self) -> list[ProcessPoolExecutor]:
        context = multiprocessing.get_context("spawn")
        weights = [source.weights for source in self.sources]
        arguments = (self.specs, weights, self.data_root, self.cache)
        return [
            ProcessPoolExecutor(1, context, initializer=_begin, initargs=arguments)
            for _ in range(self.workers)
        ]


class _Networks:
    """The trainings in one process, and their probabilities for the images seen so far."""

    def __init__(
        self, specs: Sequence[RunSpec], weights: Sequence[Path], root: Path | None, cache: Cache
    ) -> None:
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
        self.dataset = open_dataset(specs[0].data, root)
        self.split = evaluation_split(self.dataset, specs[0].data, cache)
        stored = evaluation_entries(self.dataset, specs[0].data)
        self.entries = {entry.id: entry for entry in stored}
        self.predictors = [self._predictor(*pair) for pair in zip(specs, weights, strict=True)]
        self.probabilities: dict[tuple[int, int], np.ndarray] = {}
        self.free_bytes = KEPT_BYTES

    def counts(self, crf: CRFSpec, seed: int, image: int) -> Arrays:
        pixels = self.entries[self.split.ids[image]].read().image  # as stored, not resized
        labels = crf_of([crf])(pixels, self._probabilities(seed, image))[crf.steps]
        prediction, truth = map(torch.from_numpy, (labels, self.split.labels[image]))
        classes, objects = len(self.dataset.class_names), self.dataset.num_objects
        counts = count_pixels(prediction, truth, classes, objects)
        parts = (counts.confusion, counts.trimap, counts.intersection, counts.union)
        return tuple(part.numpy() for part in parts)

    def _predictor(self, spec: RunSpec, weights: Path) -> Predictor:
        model = build_model(spec.model, len(self.dataset.class_names), seed=0)
        model.load_state_dict(load_file(weights))
        loss = loss_from(spec.loss)
        return Predictor(model, loss, self.dataset, torch.device("cpu"), spec.evaluation)

    def _probabilities(self, seed: int, image: int) -> Float32[np.ndarray, "c h w"]:
        if (seed, image) in self.probabilities:
            return self.probabilities[seed, image]
        predictor, size = self.predictors[seed], self.split.labels[image].shape
        scores = predictor.scores(self.split.images[image], size)
        probabilities = predictor.probabilities(scores).numpy()
        if probabilities.nbytes <= self.free_bytes:
            self.free_bytes -= probabilities.nbytes
            self.probabilities[seed, image] = probabilities
        return probabilities


_networks: _Networks
"""Set by ``_begin`` in each process."""


def _begin(*arguments: Any) -> None:
    global _networks
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the search handles Ctrl-C
    _networks = _Networks(*arguments)


def _counts(crf: CRFSpec, seed: int, image: int) -> Arrays:
    return _networks.counts(crf, seed, image)

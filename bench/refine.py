"""Refine: a CRF on finished trainings, image by image, so that a search may give up early.

Nothing is trained. What a search has scored in full it leaves as the ordinary run that it is.
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
from jaxtyping import Float32, Int32
from safetensors.torch import load_file

from bench.build import loss_of
from bench.datasets import evaluation_split, open_dataset
from bench.engine import predict
from bench.environment import device_name, environment
from bench.execute import result_of
from bench.metrics import ConfusionMatrix
from bench.models import build_model
from bench.rundir import RunDir, all_run_dirs, run_dir, write_json, write_whole
from bench.samples import SegmentationDataset, Split, class_iou, mean_known
from bench.spec import CRFSpec, RunSpec
from losses import find_loss
from postproc.dense_crf import DenseCRF

Matrix = Int32[np.ndarray, "k k"]
KEPT_BYTES = 2**30
"""So much of what the networks said each process keeps; the rest it computes again."""


def finished_source(root: Path, spec: RunSpec) -> RunDir | None:
    """A finished training that ended in the weights ``spec`` asks for, whatever it is scored on."""
    own = run_dir(root, spec.source.run_id)
    others = (found for found in all_run_dirs(root) if found.run_id != own.run_id)
    for directory in (own, *others):
        if directory.weights.exists() and directory.has_result():
            found = directory.spec()
            if found.crf is None and _trained_alike(found, spec.source):
                return directory
    return None


def _trained_alike(one: RunSpec, other: RunSpec) -> bool:
    scored = {name: getattr(other.data, name) for name in ("evaluate", "evaluate_images")}
    data = one.data.model_copy(update=scored)
    return one.model_copy(update={"data": data}).run_id == other.run_id


@dataclass(frozen=True)
class Refinery:
    """Scores a CRF on the images of ``specs``: one training of each seed, in several processes."""

    specs: tuple[RunSpec, ...]
    """The trainings, as scored on the tuning split."""
    sources: tuple[RunDir, ...]
    """Where their weights are."""
    data_root: Path | None
    workers: int

    @property
    def pairs(self) -> int:
        """How many (seed, image) pairs there are; a pair is known by its number."""
        return len(self.specs) * len(self._split)

    def matrices(self, crf: CRFSpec, pairs: Sequence[int]) -> list[Matrix]:
        """Confusion matrix of each pair; a pair goes to the process that has seen it before."""
        futures = [
            self._pools[pair % self.workers].submit(_matrix, crf, *divmod(pair, len(self._split)))
            for pair in pairs
        ]
        return [future.result() for future in futures]

    def image_score(self, matrix: Matrix) -> float:
        """Mean IoU of one image in [0, 1]; 0 where nothing is labelled."""
        return float(np.nan_to_num(mean_known(class_iou(matrix.astype(np.int64)))))

    def score(self, matrices: Sequence[Matrix], metric: str) -> float:
        """The headline metric over images."""
        return self._dataset.scores(np.array(matrices, np.int64).sum(0))[metric]

    def finish(
        self, directory: RunDir, spec: RunSpec, matrices: Sequence[Matrix], s: float
    ) -> None:
        """Leave the run of one seed as a worker would; ``s`` is the time that it took."""
        directory.create(spec)
        self._keep(directory, self._split.ids, matrices)
        write_json(directory.path / "env.json", self._environment)
        counted = ConfusionMatrix(len(self._dataset.class_names))
        counted.total += torch.from_numpy(np.array(matrices, np.int64).sum(0))
        source = self.sources[spec.seed].result() or {}
        trained = {k: v for k, v in source["digests"].items() if k not in ("code", "env", "data")}
        digests = {"env": self._environment["digest"], **trained, "data": self._split.digest}
        digests["code"] = self._environment["code"]
        cost = {"train_s": source["cost"]["train_s"], "evaluate_s": s}
        result = result_of(spec, self._dataset, counted)
        result |= {"digests": digests, "cost": cost, "device": "cpu"}
        write_json(directory.path / "result.json", result)
        directory.write_state(status="finished", failure=None, reason=None, lease=None)

    def give_up(
        self, directory: RunDir, spec: RunSpec, images: Sequence[int], matrices: Sequence[Matrix]
    ) -> None:
        """Leave what was scored of one seed; the run stays without a result."""
        directory.create(spec)
        self._keep(directory, [self._split.ids[i] for i in images], matrices)

    def kept(self, directory: RunDir) -> dict[int, Matrix]:
        """The matrices of a run by number of the image."""
        stored = np.load(directory.confusion)
        numbers = {id: number for number, id in enumerate(self._split.ids)}
        pairs = zip(stored["ids"].tolist(), stored["matrices"], strict=True)
        return {numbers[id]: matrix for id, matrix in pairs}

    def close(self) -> None:
        """End the processes."""
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)

    def _keep(self, directory: RunDir, ids: Sequence[str], matrices: Sequence[Matrix]) -> None:
        stacked = np.array(matrices, np.int32)
        write_whole(
            directory.confusion,
            lambda path: np.savez_compressed(path, ids=np.array(ids), matrices=stacked),
        )

    @cached_property
    def _dataset(self) -> SegmentationDataset:
        return open_dataset(self.specs[0].data, self.data_root)

    @cached_property
    def _split(self) -> Split:
        return evaluation_split(self._dataset, self.specs[0].data)

    @cached_property
    def _environment(self) -> dict[str, Any]:
        cpu = torch.device("cpu")
        return environment(device_name(cpu), 1, find_loss(self.specs[0].loss.name))

    @cached_property
    def _pools(self) -> list[ProcessPoolExecutor]:
        context = multiprocessing.get_context("spawn")
        weights = [source.weights for source in self.sources]
        arguments = (self.specs, weights, self.data_root)
        return [
            ProcessPoolExecutor(1, context, initializer=_begin, initargs=arguments)
            for _ in range(self.workers)
        ]


class _Networks:
    """In each process: the trainings, and what they said of the images seen so far."""

    def __init__(self, specs: Sequence[RunSpec], weights: Sequence[Path], root: Path | None):
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
        self.specs = specs
        self.dataset = open_dataset(specs[0].data, root)
        self.split = evaluation_split(self.dataset, specs[0].data)
        stored = self.dataset.entries(specs[0].data.evaluate)
        self.entries = {entry.id: entry for entry in stored}
        self.loss = loss_of(specs[0].loss)
        classes = len(self.dataset.class_names)
        self.models = [build_model(spec.model, classes, seed=0) for spec in specs]
        for model, path in zip(self.models, weights, strict=True):
            model.load_state_dict(load_file(path))
        self.known: dict[tuple[int, int], np.ndarray] = {}
        self.room = KEPT_BYTES

    def matrix(self, crf: CRFSpec, seed: int, image: int) -> Matrix:
        probabilities = self._probabilities(seed, image)
        options = crf.model_dump(exclude={"version", "steps"})
        pixels = self.entries[self.split.ids[image]].read().image  # as stored, not resized
        labels = DenseCRF(steps=(crf.steps,), **options)(pixels, probabilities)[crf.steps]
        counted = ConfusionMatrix(len(self.dataset.class_names))
        truth = torch.from_numpy(self.split.labels[image]).long()
        counted.update(torch.from_numpy(labels).long(), truth)
        return counted.per_image[0].to(torch.int32).numpy()

    def _probabilities(self, seed: int, image: int) -> Float32[np.ndarray, "c h w"]:
        if (seed, image) in self.known:
            return self.known[seed, image]
        split = self.split
        one = Split((split.ids[image],), [split.images[image]], [split.labels[image]], "")
        (prediction,) = predict(self.models[seed], one, self.dataset, device=torch.device("cpu"))
        found = self.loss.probabilities(prediction.logits[None])[0].cpu().numpy()
        if found.nbytes <= self.room:
            self.room -= found.nbytes
            self.known[seed, image] = found
        return found


_networks: _Networks
"""Of this process, once it has begun."""


def _begin(*arguments: Any) -> None:
    global _networks
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the search's to hear
    _networks = _Networks(*arguments)


def _matrix(crf: CRFSpec, seed: int, image: int) -> Matrix:
    return _networks.matrix(crf, seed, image)

"""Scores of a training on the way: every so many steps, and at its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from bench.data.cache import Cache
from bench.data.dataset import SegmentationDataset, Split
from bench.data.registry import evaluation_split
from bench.evaluation.metrics import confusion_matrix
from bench.evaluation.predictor import Predictor, best
from bench.spec import EvaluationSpec, RunSpec
from losses.base import SegmentationLoss


@dataclass(frozen=True)
class InterimScores:
    """The scores of one training on the way; they leave its weights and random numbers alone.

    Attributes:
        spec: The training.
        dataset: Its data set.
        cache: The decoded cache.
        device: Where the network runs.
        pulse: Called before each image with the step, and with words for those who watch.
    """

    spec: RunSpec
    dataset: SegmentationDataset
    cache: Cache
    device: torch.device
    pulse: Callable[[int, str], None]

    def due(self, step: int) -> bool:
        """Return whether the training is scored after ``step`` steps."""
        every = self.spec.evaluation.every
        return every is not None and (step % every == 0 or step == self.spec.recipe.steps)

    def record(self, model: nn.Module, loss: SegmentationLoss, step: int) -> dict[str, float]:
        """Return "step" and the data set's metrics after that step, such as "eval/miou".

        The network is left in evaluation mode.
        """
        predictor = Predictor(model, loss, self.dataset, self.device, EvaluationSpec())
        classes = len(self.dataset.class_names)
        counts = torch.zeros(classes, classes, dtype=torch.int64)
        for prediction in predictor.split(self._split):
            done = f"scoring image {prediction.index + 1} of {len(self._split)}"
            self.pulse(step, done)
            truth = torch.from_numpy(self._split.labels[prediction.index])
            labels = best(prediction.scores).cpu().long()
            counts += confusion_matrix(labels, truth.long(), classes)
        scores = self.dataset.scores(counts.numpy())
        return {"step": step, **{f"eval/{name}": float(score) for name, score in scores.items()}}

    @cached_property
    def _split(self) -> Split:
        data, on = self.spec.data, self.spec.evaluation.on
        chosen = data if on is None else data.model_copy(update={"evaluate": on})
        return evaluation_split(self.dataset, chosen, self.cache)

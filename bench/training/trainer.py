"""The loop that trains one model, free of files, stores and studies."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import DivergedError
from bench.evaluation.metrics import confusion_matrix
from bench.iou import class_iou, mean_known
from bench.seeding import torch_seed
from bench.training.batches import AccumulatedBatch, Batch, TrainingData, batches
from bench.training.optimizer import (
    average_of,
    build_optimizer,
    clip,
    learning_rate,
    set_learning_rate,
)
from losses.base import SegmentationLoss

# Batches prepared in advance: 8 of the paper's take 130 MB of pinned memory.
MOST_AHEAD = 8


@dataclass
class Progress:
    """State of a training besides its weights; all of it goes into a checkpoint."""

    step: int = 0
    order: str = ""
    """Digest of the sample ids of every batch so far, chained."""
    augment: str = ""
    """Digest of every augmentation drawn so far, chained."""
    sums: dict[str, float] = field(default_factory=dict)
    """Sums of the loss terms since the start of the epoch."""
    matrix: Any = 0
    """Confusion matrix of the training batches since the start of the epoch."""
    seconds: float = 0.0

    def state(self) -> dict[str, Any]:
        """Return the fields as plain values and tensors."""
        return dict(vars(self))


class Training:
    """One training that can stop after any step and continue from its state, bit for bit on a CPU.

    Args:
        model: maps images [b, 3, h, w] to logits [b, num_classes, h, w]; moved to ``device``.
        loss: gets the logits of the whole batch.
        data: the batch of each step.
        device: where to train.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: SegmentationLoss,
        data: TrainingData,
        *,
        device: torch.device,
    ) -> None:
        self.model = model.to(device).to(memory_format=torch.channels_last)
        loss.bind(len(data.dataset.class_names))
        self.fitted = loss.fit(data.class_pixels)
        self.loss = loss.to(device)
        self.data = data
        self.device = device
        self.network = data.ranks.network(self.model, compiled=data.recipe.compile)
        self.optimizer = build_optimizer(model, data.recipe, loss.parameters())
        self.average = average_of(self.model, data.recipe.ema_decay)
        self.progress = Progress()

    def state(self) -> dict[str, Any]:
        """Return everything that ``restore`` needs."""
        averaged = {} if self.average is None else {"average": self.average.weights}
        return {
            **averaged,
            "model": self.model.state_dict(),
            "loss": self.loss.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": self.progress.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state that ``state`` returned for the same training."""
        self.model.load_state_dict(state["model"])
        self.loss.load_state_dict(state["loss"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.restore(state["average"])
        self.progress = Progress(**state["progress"])

    def run(self, on_epoch: Callable[[dict[str, Any]], None]) -> Iterator[int]:
        """Train to the end and yield the number of finished steps after each step.

        Args:
            on_epoch: called after each epoch with "step", the learning rate, and the means of
                loss, loss terms and mIoU over its batches.

        Raises:
            DivergedError: the loss or a logit is no longer finite.
        """
        self.model.train()
        if self.data.ranks.count > 1:
            self.restore(self.data.ranks.of_first(self.state(), self.device))
        steps = self.data.recipe.steps
        started = time.perf_counter()
        for batch in batches(self.data, range(self.progress.step, steps), **self._preparation()):
            self._step(batch, self.progress.step)
            self.progress.step += 1
            self.progress.seconds += time.perf_counter() - started
            if self.progress.step % self.data.steps_per_epoch == 0 or self.progress.step == steps:
                on_epoch(self._epoch_record())
            yield self.progress.step
            started = time.perf_counter()

    @contextmanager
    def scored_model(self) -> Iterator[nn.Module]:
        """Yield the model with the weights that are scored: the averaged ones, if there are any.

        Afterwards the training continues unchanged, in training mode with its own weights.
        """
        own = None
        if self.average is not None:
            own = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
            self.model.load_state_dict(self.average.weights)
        try:
            yield self.model
        finally:
            if own is not None:
                self.model.load_state_dict(own)
            self.model.train()

    def finish(self) -> None:
        """Give the model the weights that are scored and saved at the end."""
        if self.average is not None:
            self.model.load_state_dict(self.average.weights)

    def _preparation(self) -> dict[str, Any]:
        """Return how batches are prepared: in advance, in threads, when a GPU leaves cores idle."""
        on_gpu = self.device.type == "cuda"
        return {"ahead": min(MOST_AHEAD, torch.get_num_threads()) if on_gpu else 0, "pin": on_gpu}

    def _step(self, batch: Batch, step: int) -> None:
        images, labels = self.data.on_device(batch, self.device)
        set_learning_rate(self.optimizer, learning_rate(self.data.recipe, step + 1))
        labels = self.data.ranks.gather(labels)
        network = partial(self._logits, step)
        accumulated = AccumulatedBatch(
            network, images, self.data.recipe.accumulate, self.data.ranks
        )
        try:
            terms = self.loss.terms(
                accumulated.logits, labels, progress=step / self.data.recipe.steps
            )
        except FloatingPointError as error:
            raise DivergedError(step + 1, batch.ids, math.nan) from error
        total = torch.stack(tuple(terms.values())).sum()
        # The CPU waits for the GPU here and in the score; what follows is queued meanwhile.
        values = torch.stack([total, *terms.values()]).tolist()
        if not math.isfinite(values[0]):
            raise DivergedError(step + 1, batch.ids, values[0])
        self._note(batch, dict(zip(["loss", *terms], values, strict=True)))
        self._score(accumulated.logits.detach(), labels)
        self.optimizer.zero_grad(set_to_none=True)
        accumulated.backward(total, self.model)
        clip(self.optimizer, self.data.recipe.clip_norm)
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.model, step + 1)

    def _logits(self, step: int, micro_batch: int, last: bool, images: Tensor) -> Tensor:
        # Dropout is seeded at each step from the run's seed alone, so a resumed run repeats it.
        number = micro_batch + self.data.ranks.rank * self.data.recipe.accumulate
        counters = (step, number) if number else (step,)
        torch.manual_seed(torch_seed(self.data.seed, "dropout", *counters))
        half = self.data.recipe.precision == "bfloat16"
        synchronised = nullcontext() if last else self.data.ranks.unsynchronised(self.network)
        with synchronised, torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            logits = self.network(images)
        return logits.float() if half else logits

    def _note(self, batch: Batch, values: dict[str, float]) -> None:
        progress = self.progress
        progress.order = _chain(progress.order, repr(batch.ids))
        progress.augment = _chain(progress.augment, batch.draws)
        for name, value in values.items():
            progress.sums[name] = progress.sums.get(name, 0.0) + value

    def _score(self, logits: Tensor, labels: Tensor) -> None:
        counts = confusion_matrix(logits.max(1).indices, labels, logits.shape[1])
        self.progress.matrix = self.progress.matrix + counts

    def _epoch_record(self) -> dict[str, Any]:
        progress = self.progress
        count = (progress.step - 1) % self.data.steps_per_epoch + 1
        record: dict[str, Any] = {"step": progress.step}
        record |= {f"train/{name}": total / count for name, total in progress.sums.items()}
        record["train/lr"] = self.optimizer.param_groups[0]["lr"]
        record["train/miou"] = mean_known(class_iou(progress.matrix.cpu().numpy()))
        progress.sums, progress.matrix = {}, 0
        return record


def weights_digest(model: nn.Module) -> str:
    """Return 12 hexadecimal digits that stand for every weight and buffer."""
    content = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        content.update(name.encode())
        content.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return content.hexdigest()[:12]


def _chain(before: str, item: str) -> str:
    return hashlib.sha256(f"{before}{item}".encode()).hexdigest()[:12]

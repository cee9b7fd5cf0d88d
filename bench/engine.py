"""Training of one model: the loop, free of files, stores and studies."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import DivergedError
from bench.metrics import confusion_matrix
from bench.samples import SegmentationDataset, Split, class_iou, mean_known
from bench.seeding import epoch_order, torch_seed
from bench.spec import RecipeSpec
from bench.transforms import sample_augmentation, training_batch
from losses.base import SegmentationLoss

# The published code never lets the rate fall below this (the paper's formula ends at zero).
LOWEST_LR = 1e-6


def learning_rate(recipe: RecipeSpec, step: int) -> float:
    """Rate of step 1, 2, … ``recipe.steps``: linear warm-up, then poly (Zhao et al. 2019, 5.1)."""
    if step <= recipe.warmup_steps:
        return recipe.lr * step / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / (recipe.steps - recipe.warmup_steps)
    return max(recipe.lr * (1 - done) ** recipe.poly_power, LOWEST_LR)


def build_optimizer(
    model: nn.Module, recipe: RecipeSpec, learned: Iterable[nn.Parameter] = ()
) -> torch.optim.SGD:
    """SGD whose groups carry "scale": the head's multiplier; norms and biases do not decay.

    What the loss itself learns is a group of its own, at the base rate and without decay.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        scale = recipe.head_lr_multiplier if name.startswith("head.") else 1.0
        decay = recipe.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((scale, decay), []).append(parameter)
    optimizer = torch.optim.SGD(
        [
            {"params": parameters, "scale": scale, "weight_decay": decay}
            for (scale, decay), parameters in groups.items()
        ],
        lr=recipe.lr,
        momentum=recipe.momentum,
    )
    if of_loss := list(learned):
        optimizer.add_param_group({"params": of_loss, "scale": 1.0, "weight_decay": 0.0})
    return optimizer


@dataclass(frozen=True)
class Batch:
    """Normalised images [b, 3, h, w], labels [b, h, w], and what was drawn to make them."""

    images: Tensor
    labels: Tensor
    ids: list[str]
    draws: str


@dataclass(frozen=True)
class TrainingData:
    """A training split as a function of the step: which samples, and how each is augmented."""

    split: Split
    dataset: SegmentationDataset
    recipe: RecipeSpec
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in one pass over the split; at least one."""
        return max(1, len(self.split.ids) // self.recipe.batch_size)

    def batch(self, step: int) -> Batch:
        """The batch of step 0, 1, …; an augmentation depends on (seed, epoch, sample) only."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = epoch_order(self.seed, epoch, len(self.split.ids))
        size = self.recipe.batch_size
        indices = order[position * size : (position + 1) * size].tolist()
        draws = [
            sample_augmentation(self.split, index, epoch, self.seed, self.recipe)
            for index in indices
        ]
        images, labels = training_batch(
            self.split, indices, draws, self.recipe.crop_size, self.dataset
        )
        return Batch(images, labels, [self.split.ids[i] for i in indices], repr(draws))


@dataclass
class Progress:
    """What a training has done so far besides its weights: all of it goes into a checkpoint."""

    step: int = 0
    order: str = ""
    """Digest of the sample ids of every batch so far, chained."""
    augment: str = ""
    """Digest of every augmentation drawn so far, chained."""
    sums: dict[str, float] = field(default_factory=dict)
    """Sums of the loss terms since the epoch began."""
    matrix: Any = 0
    """Confusion matrix of the training batches since the epoch began."""
    seconds: float = 0.0

    def state(self) -> dict[str, Any]:
        """As plain values and tensors."""
        return dict(vars(self))


class Training:
    """One training that can stop after any step and go on from its state, bit for bit on a CPU."""

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
        self.loss = loss.to(device)
        self.data = data
        self.device = device
        self.optimizer = build_optimizer(model, data.recipe, loss.parameters())
        self.progress = Progress()

    def state(self) -> dict[str, Any]:
        """Everything that ``restore`` needs."""
        return {
            "model": self.model.state_dict(),
            "loss": self.loss.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": self.progress.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state of this very training."""
        self.model.load_state_dict(state["model"])
        self.loss.load_state_dict(state["loss"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.progress = Progress(**state["progress"])

    def run(self, on_epoch: Callable[[dict[str, Any]], None]) -> Iterator[int]:
        """Train to the end, yielding the number of steps done after each; ``on_epoch`` gets means.

        Raises DivergedError when a loss or a logit is no longer finite.
        """
        self.model.train()
        steps = self.data.recipe.steps
        while self.progress.step < steps:
            started = time.perf_counter()
            self._step(self.progress.step)
            self.progress.step += 1
            self.progress.seconds += time.perf_counter() - started
            if self.progress.step % self.data.steps_per_epoch == 0 or self.progress.step == steps:
                on_epoch(self._epoch_record())
            yield self.progress.step

    def _step(self, step: int) -> None:
        batch = self.data.batch(step)
        rate = learning_rate(self.data.recipe, step + 1)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        images = batch.images.to(self.device, memory_format=torch.channels_last)
        labels = batch.labels.to(self.device)

        # Dropout is drawn anew for each step from the seed alone, so that a resumed run repeats it.
        torch.manual_seed(torch_seed(self.data.seed, "dropout", step))
        logits = self.model(images)
        try:
            terms = self.loss.terms(logits, labels, progress=step / self.data.recipe.steps)
        except FloatingPointError as error:
            raise DivergedError(step + 1, batch.ids, math.nan) from error
        total = torch.stack(tuple(terms.values())).sum()
        if not math.isfinite(value := total.item()):
            raise DivergedError(step + 1, batch.ids, value)
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        self.optimizer.step()
        self._note(batch, logits.detach(), labels, {"loss": total, **terms})

    def _note(self, batch: Batch, logits: Tensor, labels: Tensor, terms: dict[str, Tensor]) -> None:
        progress = self.progress
        progress.order = _chain(progress.order, repr(batch.ids))
        progress.augment = _chain(progress.augment, batch.draws)
        for name, term in terms.items():
            progress.sums[name] = progress.sums.get(name, 0.0) + term.item()
        progress.matrix = (
            progress.matrix + confusion_matrix(logits.max(1).indices, labels, logits.shape[1]).cpu()
        )

    def _epoch_record(self) -> dict[str, Any]:
        progress = self.progress
        count = (progress.step - 1) % self.data.steps_per_epoch + 1
        record: dict[str, Any] = {"step": progress.step}
        record |= {f"train/{name}": total / count for name, total in progress.sums.items()}
        record["train/lr"] = self.optimizer.param_groups[0]["lr"]
        record["train/miou"] = mean_known(class_iou(progress.matrix.numpy()))
        progress.sums, progress.matrix = {}, 0
        return record


def weights_digest(model: nn.Module) -> str:
    """Digest of every weight and buffer."""
    content = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        content.update(name.encode())
        content.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return content.hexdigest()[:12]


def _chain(before: str, item: str) -> str:
    return hashlib.sha256(f"{before}{item}".encode()).hexdigest()[:12]

"""The batches of a training: each a function of the step alone, and passed to the loss whole.

For a GPU, threads prepare batches in advance. The network processes a batch in micro-batches and
holds the activations of one at a time. The loss gets the logits of the whole batch, so it may be
any function of it. Its gradient flows back micro-batch by micro-batch, through a second forward
pass of each but the last (gradient caching: Gao et al. 2021, "Scaling deep contrastive learning
batch size under memory limited setup").
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bench.data.augmentation import normalise, sample_augmentation, training_batch
from bench.data.dataset import SegmentationDataset, Split
from bench.data.reading import label_counts
from bench.seeding import epoch_order
from bench.spec import RecipeSpec
from bench.training.distributed import ALONE, Ranks


@dataclass(frozen=True)
class Batch:
    """Images [b, 3, h, w] and labels [b, h, w], both uint8, with their ids and augmentations.

    A rank holds the pixels of its shard, and the ids and augmentations of the whole batch.
    """

    images: Tensor
    labels: Tensor
    ids: list[str]
    draws: str

    def pinned(self) -> Batch:
        """Return the batch in pinned memory, from which a GPU copies asynchronously."""
        return Batch(self.images.pin_memory(), self.labels.pin_memory(), self.ids, self.draws)


@dataclass(frozen=True)
class TrainingData:
    """A training split as a function of the step: which samples, and how each is augmented."""

    split: Split
    dataset: SegmentationDataset
    recipe: RecipeSpec
    seed: int
    ranks: Ranks = ALONE

    @property
    def steps_per_epoch(self) -> int:
        """Number of full batches in one pass over the split; at least 1."""
        return max(1, len(self.split.ids) // self.recipe.batch_size)

    def class_pixels(self) -> list[int]:
        """Return the number of labelled pixels of each class in the split; reads every mask."""
        pixels = sum(label_counts(label) for label in self.split.labels)
        return np.asarray(pixels)[: len(self.dataset.class_names)].tolist()

    def batch(self, step: int) -> Batch:
        """Return the batch of step 0, 1, …; augmentations depend on (seed, epoch, sample) only."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = epoch_order(self.seed, epoch, len(self.split.ids))
        size = self.recipe.batch_size
        indices = order[position * size : (position + 1) * size].tolist()
        draws = [
            sample_augmentation(self.split, index, epoch, self.seed, self.recipe)
            for index in indices
        ]
        images, labels = training_batch(
            self.split,
            self.ranks.shard(indices, self.recipe.accumulate),
            self.ranks.shard(draws, self.recipe.accumulate),
            self.recipe,
            self.dataset.mean,
        )
        return Batch(images, labels, [self.split.ids[i] for i in indices], repr(draws))

    def on_device(self, batch: Batch, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return normalised images (float32, channels last) and labels (int64) on ``device``."""
        pixels = batch.images.to(device, non_blocking=True)
        labels = batch.labels.to(device, non_blocking=True)
        images = normalise(pixels, self.dataset.mean, self.dataset.std)
        return images.contiguous(memory_format=torch.channels_last), labels.long()


def batches(data: TrainingData, steps: Iterable[int], *, ahead: int, pin: bool) -> Iterator[Batch]:
    """Yield the batches of ``steps`` in order; ``ahead`` and ``pin`` change no bit of them.

    Args:
        data: makes the batch of a step.
        steps: in the order of training.
        ahead: number of later batches that threads prepare meanwhile; 0 uses no threads.
        pin: whether to put batches into pinned memory.
    """

    def make(step: int) -> Batch:
        batch = data.batch(step)
        return batch.pinned() if pin else batch

    if ahead == 0:
        yield from map(make, steps)
        return
    pool, waiting = ThreadPoolExecutor(ahead), deque[Future[Batch]]()
    try:
        for step in steps:
            waiting.append(pool.submit(make, step))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


class AccumulatedBatch:
    """One batch, passed through a network in micro-batches.

    Args:
        network: called with the number of a micro-batch, whether this is the last pass that a
            gradient flows through, and the images; returns the logits. Both passes of one
            micro-batch must return the same logits.
        images: [b, 3, h, w], this rank's shard of the batch.
        count: number of micro-batches.
        ranks: the processes that train together; each passes its own shard.
    """

    def __init__(
        self,
        network: Callable[[int, bool, Tensor], Tensor],
        images: Tensor,
        count: int,
        ranks: Ranks = ALONE,
    ) -> None:
        *self.all_but_last, last = images.chunk(count)
        self.network = network
        self.ranks = ranks
        with torch.no_grad():
            first_passes = [
                network(number, False, images) for number, images in enumerate(self.all_but_last)
            ]
        self.last = network(count - 1, not first_passes, last)
        self.logits = self.last
        """Logits of the whole batch; a leaf of autograd if there are micro-batches or ranks."""
        if first_passes or ranks.count > 1:
            shard = torch.cat([*first_passes, self.last.detach()])
            self.logits = ranks.gather(shard).requires_grad_()

    def backward(self, loss: Tensor, model: nn.Module) -> None:
        """Add the gradient of ``loss``, a function of ``logits``, to the weights of ``model``.

        Args:
            loss: scalar.
            model: the model whose batch norms keep their running statistics in the second pass.
        """
        loss.backward()
        if self.logits is self.last:
            return
        assert self.logits.grad is not None
        # DistributedDataParallel averages gradients over ranks; this factor makes it a sum.
        gradient = self.ranks.shard_of(self.logits.grad) * self.ranks.count
        *gradients, last = gradient.split(len(self.last))
        self.last.backward(last)
        with _frozen_statistics(model):  # the first pass has updated them
            pairs = zip(self.all_but_last, gradients, strict=True)
            for number, (images, gradient) in enumerate(pairs):
                is_last = number == len(gradients) - 1
                self.network(number, is_last, images).backward(gradient)


@contextmanager
def _frozen_statistics(model: nn.Module) -> Iterator[None]:
    """Let batch norms normalise by the batch without updating their running statistics."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True

"""The batches of a training: a function of the step alone, prepared in advance on a GPU."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.data.augmentation import normalise, sample_augmentation, training_batch
from bench.data.dataset import SegmentationDataset, Split
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

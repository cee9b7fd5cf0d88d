"""Gradient accumulation that gives the loss the whole batch.

The network processes the batch in micro-batches and holds the activations of one at a time. The
loss gets the logits of the whole batch, so it may be any function of it. Its gradient flows back
micro-batch by micro-batch, through a second forward pass of each but the last (gradient caching:
Gao et al. 2021, "Scaling deep contrastive learning batch size under memory limited setup").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bench.training.distributed import ALONE, Ranks


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

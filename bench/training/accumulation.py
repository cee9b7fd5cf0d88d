"""A network over a batch in parts, with the loss over the whole of it.

Only one part's activations are held at a time, and yet the loss may be any function of the batch:
it gets the logits of the whole, and its gradient then goes back part by part, through a second pass
of each part but the last (gradient caching: Gao et al. 2021, "Scaling deep contrastive learning
batch size under memory limited setup").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bench.training.distributed import ALONE, Ranks


class Parts:
    """One batch on its way through a network, and its gradient on the way back.

    ``network`` gives the logits of a part, and of the same part the same ones in both passes; it is
    told the number of the part, and whether this is the last pass that a gradient goes through.
    Of several ranks each sends its own share of the batch.
    """

    def __init__(
        self,
        network: Callable[[int, bool, Tensor], Tensor],
        images: Tensor,
        count: int,
        ranks: Ranks = ALONE,
    ) -> None:
        *self.early, last = images.chunk(count)
        self.network = network
        self.ranks = ranks
        with torch.no_grad():
            early = [network(part, False, images) for part, images in enumerate(self.early)]
        self.last = network(count - 1, not early, last)
        self.logits = self.last
        """Of the whole batch, for the loss; of several parts or ranks a leaf."""
        if early or ranks.count > 1:
            share = torch.cat([*early, self.last.detach()])
            self.logits = ranks.gather(share).requires_grad_()

    def backward(self, loss: Tensor, model: nn.Module) -> None:
        """Add the gradient of ``loss``, a function of ``logits``, to the weights of ``model``."""
        loss.backward()
        if self.logits is self.last:
            return
        assert self.logits.grad is not None
        # The mean over ranks, which each weight's gradient will be, is to be their sum.
        gradient = self.ranks.own(self.logits.grad) * self.ranks.count
        *early, last = gradient.split(len(self.last))
        self.last.backward(last)
        with _frozen_statistics(model):  # which the first pass has updated
            for part, (images, own) in enumerate(zip(self.early, early, strict=True)):
                self.network(part, part == len(early) - 1, images).backward(own)


@contextmanager
def _frozen_statistics(model: nn.Module) -> Iterator[None]:
    """Batch norms still normalise by the batch, but their running statistics stay as they are."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True

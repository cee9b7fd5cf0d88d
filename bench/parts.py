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


class Parts:
    """One batch on its way through a network, and its gradient on the way back.

    ``network`` gives the logits of a part, and of the same part the same ones in both passes.
    """

    def __init__(
        self, network: Callable[[int, Tensor], Tensor], images: Tensor, count: int
    ) -> None:
        *self.early, last = images.chunk(count)
        self.network = network
        with torch.no_grad():
            early = [network(part, images) for part, images in enumerate(self.early)]
        self.last = network(count - 1, last)
        self.logits = self.last
        """Of the whole batch, for the loss; of several parts a leaf."""
        if early:
            self.logits = torch.cat([*early, self.last.detach()]).requires_grad_()

    def backward(self, loss: Tensor, model: nn.Module) -> None:
        """Add the gradient of ``loss``, a function of ``logits``, to the weights of ``model``."""
        loss.backward()
        if not self.early:
            return
        assert self.logits.grad is not None
        *early, last = self.logits.grad.split(len(self.last))
        self.last.backward(last)
        with _frozen_statistics(model):  # which the first pass has updated
            for part, gradient in enumerate(early):
                self.network(part, self.early[part]).backward(gradient)


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

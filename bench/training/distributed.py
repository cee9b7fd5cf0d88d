"""Ranks: processes that train one model together, each a share of every batch, each on a GPU.

Rank 0 is the worker itself. It starts the others, which write nothing, and ends them. Whichever is
killed, all end, and the run goes on from its checkpoint when it is tried again.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

WATCH_SECONDS = 0.5

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """This process among those that train one model; alone if not told otherwise."""

    rank: int = 0
    count: int = 1

    def share(self, batch: Sequence[T], parts: int) -> list[T]:
        """What of a batch is this rank's: an equal share of each of its ``parts``."""
        size = len(batch) // (parts * self.count)
        firsts = [(part * self.count + self.rank) * size for part in range(parts)]
        return [batch[first + i] for first in firsts for i in range(size)]

    def own(self, gathered: Tensor) -> Tensor:
        """What of ``gathered`` came from this rank."""
        return gathered.chunk(self.count)[self.rank]

    def gather(self, share: Tensor) -> Tensor:
        """Every rank's share one after the other; no gradient flows through."""
        if self.count == 1:
            return share
        share = share.contiguous()
        shares = [torch.empty_like(share) for _ in range(self.count)]
        dist.all_gather(shares, share)
        return torch.cat(shares)

    def network(self, model: nn.Module, *, compiled: bool) -> nn.Module:
        """What trains ``model``: gradients are means over ranks, batch norms see every rank.

        The batch norms of ``model`` are replaced in place.
        """
        if self.count > 1:
            model = convert_sync_batchnorm(model)
        network: nn.Module = torch.compile(model) if compiled else model  # pyright: ignore
        if self.count > 1:
            network = DistributedDataParallel(network)
        return network

    def unsynchronised(self, network: nn.Module) -> AbstractContextManager[None]:
        """Within, gradients stay with each rank, to be joined with those of a later pass."""
        alone = not isinstance(network, DistributedDataParallel)
        return nullcontext() if alone else network.no_sync()

    def of_first(self, state: dict[str, Any], device: torch.device) -> dict[str, Any]:
        """The ``state`` that rank 0 has."""
        content = io.BytesIO()
        torch.save(state, content)
        box = [content.getvalue()]
        dist.broadcast_object_list(box, device=device)
        return torch.load(io.BytesIO(box[0]), map_location=device, weights_only=True)


ALONE = Ranks()


@contextmanager
def lead(count: int, command: Sequence[str], device: torch.device) -> Iterator[Ranks]:
    """Be rank 0 of ``count``; the others run ``command`` with --rank, --ranks, --meeting, --leader.

    Where one of them fails, this process is killed too: what waits for it would wait for ever.
    """
    if count == 1:
        yield ALONE
        return
    with tempfile.TemporaryDirectory() as folder:
        meeting = Path(folder) / "ranks"
        more = ["--ranks", str(count), "--meeting", str(meeting), "--leader", str(os.getpid())]
        others = [
            # In sessions of their own: a signal to stop is for rank 0, which writes a checkpoint.
            subprocess.Popen([*command, "--rank", str(rank), *more], start_new_session=True)
            for rank in range(1, count)
        ]
        over = threading.Event()
        threading.Thread(target=_die_with, args=(others, over), daemon=True).start()
        try:
            yield join(Ranks(0, count), meeting, device)
        finally:
            over.set()
            for other in others:
                other.kill()
                other.wait()
            if dist.is_initialized():
                dist.destroy_process_group()


def follow(ranks: Ranks, meeting: Path, leader: int, device: torch.device) -> Ranks:
    """Be another rank, and end with the process ``leader``, which has started this one."""
    threading.Thread(target=_die_with_leader, args=(leader,), daemon=True).start()
    return join(ranks, meeting, device)


def join(ranks: Ranks, meeting: Path, device: torch.device) -> Ranks:
    """Meet the other ranks at the file ``meeting``."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        init_method=meeting.as_uri(),
        rank=ranks.rank,
        world_size=ranks.count,
    )
    return ranks


def _die_with(others: list[subprocess.Popen[bytes]], over: threading.Event) -> None:
    while not over.wait(WATCH_SECONDS):
        for rank, other in enumerate(others, start=1):
            if other.poll() and not over.is_set():
                sys.stderr.write(f"rank {rank} ended with code {other.returncode}: so do all\n")
                sys.stderr.flush()
                os.kill(os.getpid(), signal.SIGKILL)


def _die_with_leader(leader: int) -> None:
    while os.getppid() == leader:
        time.sleep(WATCH_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)

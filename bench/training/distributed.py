"""Data-parallel training: one process (rank) per GPU, each with a shard of every batch.

Rank 0 is the worker itself. It starts the other ranks, which write nothing, and ends them. When one
rank is killed, all end, and the next try continues from the checkpoint.
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
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

WATCH_SECONDS = 0.5
LONGEST_WAIT = timedelta(days=1)
"""How long a rank waits for another, such as for rank 0 while it scores on the way.

torch's own limit is 10 minutes. The threads below notice a rank that dies, and the scheduler
notices a training without progress.
"""

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """The rank of this process, and how many ranks train together; one by default."""

    rank: int = 0
    count: int = 1

    def shard(self, batch: Sequence[T], micro_batches: int) -> list[T]:
        """Return this rank's items of a batch: an equal share of each micro-batch."""
        size = len(batch) // (micro_batches * self.count)
        firsts = [(number * self.count + self.rank) * size for number in range(micro_batches)]
        return [batch[first + i] for first in firsts for i in range(size)]

    def shard_of(self, gathered: Tensor) -> Tensor:
        """Return the part of ``gathered`` that came from this rank."""
        return gathered.chunk(self.count)[self.rank]

    def gather(self, shard: Tensor) -> Tensor:
        """Return the shards of all ranks, joined in order; no gradient flows through."""
        if self.count == 1:
            return shard
        shard = shard.contiguous()
        shards = [torch.empty_like(shard) for _ in range(self.count)]
        dist.all_gather(shards, shard)
        return torch.cat(shards)

    def network(self, model: nn.Module, *, compiled: bool) -> nn.Module:
        """Return ``model`` wrapped for training: gradients averaged, batch norms synchronised.

        The batch norms of ``model`` are replaced in place.
        """
        if self.count > 1:
            model = convert_sync_batchnorm(model)
        network: nn.Module = torch.compile(model) if compiled else model  # pyright: ignore
        if self.count > 1:
            network = DistributedDataParallel(network)
        return network

    def unsynchronised(self, network: nn.Module) -> AbstractContextManager[None]:
        """Return a context in which gradients stay local until a later pass synchronises them."""
        alone = not isinstance(network, DistributedDataParallel)
        return nullcontext() if alone else network.no_sync()

    def of_first(self, state: dict[str, Any], device: torch.device) -> dict[str, Any]:
        """Return the ``state`` of rank 0, broadcast to all ranks."""
        content = io.BytesIO()
        torch.save(state, content)
        box = [content.getvalue()]
        dist.broadcast_object_list(box, device=device)
        return torch.load(io.BytesIO(box[0]), map_location=device, weights_only=True)


ALONE = Ranks()


@contextmanager
def lead(count: int, command: Sequence[str], device: torch.device) -> Iterator[Ranks]:
    """Start ``count`` - 1 other ranks and yield rank 0, which is this process.

    Args:
        count: number of ranks.
        command: what the other ranks run, with --rank, --ranks, --meeting and --leader added.
        device: of rank 0.

    When another rank fails, this process is killed too, because collective calls would wait for
    ever.
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
            leave()
        finally:
            over.set()
            for other in others:
                other.kill()
                other.wait()


def follow(ranks: Ranks, meeting: Path, leader: int, device: torch.device) -> Ranks:
    """Join as another rank, and end when the process ``leader``, which started this one, ends."""
    threading.Thread(target=_die_with_leader, args=(leader,), daemon=True).start()
    return join(ranks, meeting, device)


def join(ranks: Ranks, meeting: Path, device: torch.device) -> Ranks:
    """Join the process group whose rendezvous is the file ``meeting``."""
    if device.type == "cuda":
        torch.cuda.set_device(ranks.rank)  # the device of rank 0 has no number
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        init_method=meeting.as_uri(),
        rank=ranks.rank,
        world_size=ranks.count,
        timeout=LONGEST_WAIT,
    )
    return ranks


def leave() -> None:
    """Leave the process group at the end of a training.

    With NCCL this returns only when all ranks of the machine have called it. So rank 0 kills the
    others only afterwards, and a rank that has failed does not call it.
    """
    dist.destroy_process_group()


def _die_with(others: list[subprocess.Popen[bytes]], over: threading.Event) -> None:
    while not over.wait(WATCH_SECONDS):
        for rank, other in enumerate(others, start=1):
            if other.poll() and not over.is_set():
                sys.stderr.write(f"rank {rank} ended with code {other.returncode}; all ranks end\n")
                sys.stderr.flush()
                os.kill(os.getpid(), signal.SIGKILL)


def _die_with_leader(leader: int) -> None:
    while os.getppid() == leader:
        time.sleep(WATCH_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)

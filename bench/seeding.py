"""Random numbers that depend only on a seed, a stream's name and counters.

No state is kept between calls, so worker count, resuming and the method change no number.
No torch here.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
from jaxtyping import Int64


def generator(seed: int, stream: str, *counters: int) -> np.random.Generator:
    """Return a new counter-based generator (Philox).

    Args:
        seed: Seed of the run.
        stream: Name of the purpose, such as "augment".
        counters: Further numbers that tell draws apart, such as epoch and sample index.
    """
    key = int.from_bytes(_key(seed, stream, *counters)[:16], "little")
    return np.random.Generator(np.random.Philox(key=key))


def torch_seed(seed: int, stream: str, *counters: int) -> int:
    """Return an integer of 63 bits for torch.manual_seed; arguments as for ``generator``."""
    return int.from_bytes(_key(seed, stream, *counters)[16:24], "little") >> 1


def epoch_order(seed: int, epoch: int, n: int) -> Int64[np.ndarray, " n"]:
    """Return the order in which an epoch visits ``n`` samples: a permutation of 0..n-1."""
    # Raw bits are sorted: numpy may change how a Generator shuffles, but not Philox itself.
    raw = generator(seed, "order", epoch).bit_generator.random_raw(n)
    return np.argsort(raw, kind="stable").astype(np.int64)


def _key(seed: int, stream: str, *counters: int) -> bytes:
    text = json.dumps([int(seed), stream, *map(int, counters)])
    return hashlib.sha256(text.encode()).digest()

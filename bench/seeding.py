"""Random numbers that depend on what they are for alone: a seed, a stream's name and counters.

Nothing here keeps a state between calls, so worker count, resume and method change no draw.
No torch here.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
from jaxtyping import Int64


def generator(seed: int, stream: str, *counters: int) -> np.random.Generator:
    """A fresh counter-based generator (Philox) for this seed, stream and counters."""
    key = int.from_bytes(_key(seed, stream, *counters)[:16], "little")
    return np.random.Generator(np.random.Philox(key=key))


def torch_seed(seed: int, stream: str, *counters: int) -> int:
    """An integer of 63 bits for torch.manual_seed, from the same arguments as ``generator``."""
    return int.from_bytes(_key(seed, stream, *counters)[16:24], "little") >> 1


def epoch_order(seed: int, epoch: int, n: int) -> Int64[np.ndarray, " n"]:
    """The order in which an epoch visits ``n`` samples: a permutation of 0..n-1."""
    # Sorting raw bits, because numpy may change how a Generator shuffles, but not what Philox is.
    raw = generator(seed, "order", epoch).bit_generator.random_raw(n)
    return np.argsort(raw, kind="stable").astype(np.int64)


def _key(seed: int, stream: str, *counters: int) -> bytes:
    text = json.dumps([int(seed), stream, *map(int, counters)])
    return hashlib.sha256(text.encode()).digest()

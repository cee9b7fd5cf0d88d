"""The GPU memory that the tensors of a training step need, computed without a GPU.

`PYTHONPATH=tests/fixtures python tests/perf/fake_gpu_memory.py [--profile NAME …] [--loss NAME …]`
adds up the storages of fake tensors that exist at the same time. It does not count CUDA's context,
workspaces inside a kernel (cuDNN, cuBLAS, sorting), or memory that torch's allocator caches.
"""

from __future__ import annotations

import argparse
import sys
import weakref

import pytest
import torch
from fake_gpu import GPU, fake_gpu
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench.data.dataset import Split
from bench.data.registry import open_dataset
from bench.models.deeplab import build_model
from bench.profile import load_profile
from bench.training.batches import Batch, TrainingData
from bench.training.trainer import Training
from losses import build_loss

PROFILES = ("camvid-paper", "voc-paper", "voc-paper-v3plus")
LOSSES = ("ce", "bce", "affinity", "rmi")


class Held(TorchDispatchMode):
    """Counts the bytes of the GPU storages that exist, and their maximum."""

    def __init__(self) -> None:
        super().__init__()
        self.living: set[int] = set()
        self.bytes = self.most = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.is_cuda:
                self._count(leaf.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self.living:
            self.living.add(key)
            self.bytes += size
            self.most = max(self.most, self.bytes)
            weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self.living.discard(key)
        self.bytes -= size


def step_bytes(profile_name: str, loss: str, *, deterministic: bool) -> int:
    """Return the peak bytes of the second step, which also has the optimiser's momenta."""
    profile = load_profile(profile_name)
    recipe, dataset = profile.recipe, open_dataset(profile.data, None)
    spec = profile.model.model_copy(update={"pretrained": False})
    pixels = torch.zeros(recipe.batch_size, 3, *recipe.crop_size, dtype=torch.uint8)
    ids = ("a",) * recipe.batch_size
    with pytest.MonkeyPatch.context() as patch, fake_gpu(patch), Held() as held:
        torch.use_deterministic_algorithms(deterministic, warn_only=True)
        model = build_model(spec, len(dataset.class_names), seed=0)
        data = TrainingData(Split(ids, [], [], ""), dataset, recipe, 0)
        training = Training(model, build_loss(loss), data, device=GPU)
        for step in range(2):
            held.most = held.bytes
            training._step(Batch(pixels, pixels[:, 0], list(ids), ""), step)
    return held.most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", nargs="+", default=PROFILES)
    parser.add_argument("--loss", nargs="+", default=LOSSES)
    options = parser.parse_args()
    for profile in options.profile:
        for loss in options.loss:
            ordered, free = (
                step_bytes(profile, loss, deterministic=way) / 2**30 for way in (True, False)
            )
            sys.stdout.write(
                f"{profile}, {loss}: {ordered:.1f} GiB, in any order of sums {free:.1f}\n"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()

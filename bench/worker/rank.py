"""One further GPU of a training: rank 0, the worker, starts `python -m bench.worker.rank`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from bench.data.cache import Cache
from bench.data.registry import open_dataset, training_split
from bench.errors import DivergedError
from bench.models.deeplab import build_model
from bench.runs.environment import set_up_torch
from bench.runs.heartbeat import log_line
from bench.runs.rundir import RunDir
from bench.training.batches import TrainingData
from bench.training.distributed import Ranks, follow, leave
from bench.training.trainer import Training
from losses import loss_from


def main() -> None:
    """Train together with rank 0, from its state to the end."""
    parser = argparse.ArgumentParser(prog="bench.worker.rank", description=__doc__)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rank", type=int, required=True)
    parser.add_argument("--ranks", type=int, required=True)
    parser.add_argument("--meeting", type=Path, required=True)
    parser.add_argument("--leader", type=int, required=True)
    options = parser.parse_args()
    set_up_torch(options.threads)
    device = torch.device(*(("cuda", options.rank) if torch.cuda.is_available() else ("cpu",)))
    ranks = Ranks(options.rank, options.ranks)
    follow(ranks, options.meeting, options.leader, device)

    run = RunDir(options.run_dir)
    spec = run.spec()
    dataset = open_dataset(spec.data, options.data_root)
    split = training_split(dataset, spec.data, Cache(run.root / "cache", log_line))
    data = TrainingData(split, dataset, spec.recipe, spec.seed, ranks)
    # The initial weights do not matter: rank 0 sends its own.
    model = build_model(spec.model, len(dataset.class_names), seed=0)
    loss = loss_from(spec.loss)
    try:
        for _ in Training(model, loss, data, device=device).run(lambda _: None):
            pass
    except DivergedError:
        return  # rank 0 has seen it too, and reports it
    leave()


if __name__ == "__main__":
    sys.exit(main())

"""Whole training steps with each loss, as ratios to the step with CE: time and peak memory.

`python tests/perf/training_step.py --rounds 9 [--data-root DATA]`. Needs no test runner and asserts
nothing. In one process the losses take turns for their times; each peak has its own process.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large

from bench.perf.inputs import SHAPES, make_labels
from bench.perf.job import peak_bytes, processor, seconds_of
from bench.perf.measure import MEMORY, TIMING, child_environment
from losses import LOSSES, build_loss

SHAPE = SHAPES["camvid"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {options.rounds}")
    if options.child:
        torch.set_num_threads(1)
        names = options.child.split()
        step = training_step(options.data_root)
        if len(names) == 1:
            json.dump(peak(step, names[0]), sys.stdout)
        else:
            json.dump(times(step, names, options.rounds), sys.stdout)
        return
    arguments = ["--rounds", str(options.rounds)]
    if options.data_root:
        arguments += ["--data-root", str(options.data_root)]
    seconds = child([*arguments, "--child", " ".join(LOSSES)], TIMING)
    peaks = {name: child([*arguments, "--child", name], MEMORY) for name in LOSSES}
    show(seconds, peaks)


def training_step(data_root: Path | None) -> Callable[[str], None]:
    """Return a function that takes one step of one network with the named loss."""
    torch.manual_seed(0)
    network = deeplabv3_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=SHAPE.classes, aux_loss=False
    )
    # All losses share the weights; the learning rate is too small to change them noticeably.
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-6, momentum=0.9)
    images = torch.randn(SHAPE.batch, 3, SHAPE.height, SHAPE.width)
    labels, _ = make_labels(SHAPE, data_root)
    losses = {name: build_loss(name) for name in LOSSES}

    def step(name: str) -> None:
        optimizer.zero_grad()
        logits: Tensor = network(images)["out"]
        losses[name](logits, labels).backward()
        optimizer.step()

    return step


def times(step: Callable[[str], None], names: list[str], rounds: int) -> dict[str, list[float]]:
    """Return CPU seconds by loss, each after an untimed step with the same loss."""
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        # In alternating order, so that a machine that warms up or slows down favours no loss.
        for name in names[:: -1 if number % 2 else 1]:
            step(name)
            seconds[name].append(seconds_of(lambda name=name: step(name), "cpu"))
    return seconds


def peak(step: Callable[[str], None], name: str) -> int | None:
    """Return the peak bytes of a second step, without network, optimizer, gradients and batch."""
    step(name)
    return peak_bytes(lambda: step(name), "cpu")


def child(arguments: list[str], allocator: dict[str, str]) -> Any:
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        stdout=subprocess.PIPE,
        env=child_environment(allocator),
        check=True,
    )
    return json.loads(done.stdout)


def show(seconds: dict[str, list[float]], peaks: dict[str, int | None]) -> None:
    console = Console(highlight=False)
    console.print(
        f"Training steps at {SHAPE}, {processor('cpu')}, 1 thread, torch {torch.__version__}, "
        f"{len(seconds['ce'])} rounds",
        soft_wrap=True,
    )
    table = Table("loss", box=None, pad_edge=False)
    for title in ("ms", "x CE", "quartiles", "peak MiB", "x CE"):
        table.add_column(title, justify="right")
    for name, own in seconds.items():
        low, median, high = np.quantile(np.divide(own, seconds["ce"]), [0.25, 0.5, 0.75])
        held, base = peaks[name], peaks["ce"]
        memory = (f"{held / 2**20:.0f}", f"{held / base:.3f}") if held and base else ("–", "–")
        table.add_row(
            name, f"{1000 * np.median(own):.0f}", f"{median:.3f}", f"{low:.3f}..{high:.3f}", *memory
        )
    console.print(table)


if __name__ == "__main__":
    main()

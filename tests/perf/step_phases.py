"""The time of each phase of a training step with each loss, and the gain of each optimisation.

`python tests/perf/step_phases.py [--profile camvid-cpu] [--data-root DATA] [--rounds 9]`. Needs no
test runner and asserts nothing. On a GPU (used if there is one) times are between synchronisations;
on a CPU they are this process's CPU time on one thread, which other processes hardly affect.
Weights are random; `--scenes` needs no data set.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from bench.data.registry import open_dataset, training_split
from bench.models.deeplab import build_model
from bench.perf.job import peak_bytes, processor
from bench.profile import Profile, load_profile
from bench.training.batches import TrainingData, batches
from bench.training.optimizer import build_optimizer, learning_rate, set_learning_rate
from bench.training.trainer import Training
from losses import build_loss

LOSSES = ("ce", "bce", "affinity", "rmi")
PHASES = ("data", "forward", "loss", "backward", "optimiser")
IMAGES = 64
CONSOLE = Console(highlight=False, width=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="camvid-cpu")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--scenes", action="store_true", help="drawn scenes instead of the data")
    parser.add_argument("--choices", action="store_true", help="measure only the optimisations")
    parser.add_argument("--compile", action="store_true", help="also torch.compile (minutes)")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(1)
    profile = load_profile(options.profile)
    data = profile.data.model_copy(update={"train_images": IMAGES})
    if options.scenes:
        data = data.model_copy(update={"name": "scenes", "train": ("train",), "void": "ignore"})
    profile = profile.model_copy(update={"data": data})
    make = partial(new_training, profile, training_data(profile, options.data_root), device)
    CONSOLE.print(
        f"{profile.scale}; {profile.data.name}, {processor(device.type)}, {device.type}, "
        f"torch {torch.__version__}, {options.rounds} rounds",
        soft_wrap=True,
    )
    if not options.choices:
        show_phases({name: phases(make(name), options.rounds) for name in LOSSES})
    show_choices(choices(make, options.rounds, device, compiled=options.compile))


def training_data(profile: Profile, data_root: Path | None) -> TrainingData:
    """Return the training data of the profile, decoded."""
    dataset = open_dataset(profile.data, data_root)
    return TrainingData(training_split(dataset, profile.data), dataset, profile.recipe, 0)


def new_training(
    profile: Profile, data: TrainingData, device: torch.device, loss: str, **changes: Any
) -> Training:
    """Return a training with the profile's initial weights and a changed recipe."""
    # The learning rate is too small to change the weights noticeably in any number of rounds.
    recipe = profile.recipe.model_copy(update={"lr": 1e-6, "warmup_steps": 0, **changes})
    network = build_model(profile.model, len(data.dataset.class_names), seed=0)
    training = Training(network, build_loss(loss), replace(data, recipe=recipe), device=device)
    network.train()
    return training


def phases(training: Training, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each phase in ``rounds`` steps, after one warm-up step."""
    data, recipe = training.data, training.data.recipe
    found: dict[str, list[float]] = {phase: [] for phase in PHASES}
    for step in range(rounds + 1):
        times = [now(training.device)]
        images, labels = data.on_device(data.batch(step), training.device)
        times.append(now(training.device))
        logits: Tensor = training.network(images)
        times.append(now(training.device))
        leaf = logits.detach().requires_grad_()
        training.loss(leaf, labels).backward()
        times.append(now(training.device))
        training.optimizer.zero_grad(set_to_none=True)
        logits.backward(leaf.grad)
        times.append(now(training.device))
        set_learning_rate(training.optimizer, learning_rate(recipe, step + 1))
        training.optimizer.step()
        times.append(now(training.device))
        if step:
            for phase, seconds in zip(PHASES, np.diff(times).tolist(), strict=True):
                found[phase].append(seconds)
    return found


def now(device: torch.device) -> float:
    """Return the time in seconds: after a GPU's work is done, or this process's CPU time."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


class Contiguous(TrainingData):
    """Images in the order channels, rows, columns."""

    def on_device(self, batch: Any, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the batch in contiguous order instead of channels last."""
        images, labels = super().on_device(batch, device)
        return images.contiguous(), labels


def choices(
    make: Callable[..., Training], rounds: int, device: torch.device, *, compiled: bool
) -> dict[str, tuple[list[float], int | None]]:
    """Return seconds and peak bytes of CE steps, unchanged and with one choice changed each."""
    usual = make("ce")
    trainings = {"as trained": usual, "contiguous, not channels last": make("ce")}
    other = trainings["contiguous, not channels last"]
    other.model.to(memory_format=torch.contiguous_format)
    other.data = Contiguous(**vars(usual.data))
    trainings["bfloat16"] = make("ce", precision="bfloat16")
    trainings["optimiser fused" if device.type == "cpu" else "optimiser not fused"] = make("ce")
    flip_fused(list(trainings.values())[-1])
    parts = [count for count in (2, 4) if usual.data.recipe.batch_size // count >= 2]
    trainings |= {f"accumulate = {count}": make("ce", accumulate=count) for count in parts}
    if compiled:
        trainings["torch.compile"] = make("ce", compile=True)
    steps = {name: one_step(training) for name, training in trainings.items()}
    for ahead in (0, 1, 4):
        fed = batches(usual.data, range(10**9), ahead=ahead, pin=device.type == "cuda")
        steps[f"batches made ahead: {ahead}"] = one_step(usual, fed)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        for name in list(steps)[:: -1 if number % 2 else 1]:
            started = time.perf_counter() if "ahead" in name else now(device)
            steps[name]()
            done = now(device)
            done = time.perf_counter() if "ahead" in name else done
            if number:
                seconds[name].append(done - started)
    # Not on a CPU, where memory that other steps left behind would count.
    return {
        name: (own, peak_bytes(steps[name], "cuda") if device.type == "cuda" else None)
        for name, own in seconds.items()
    }


def one_step(training: Training, fed: Any = None) -> Callable[[], None]:
    """Return a function that takes the next step, with a batch from ``fed`` if it is given."""

    def step() -> None:
        batch = training.data.batch(training.progress.step) if fed is None else next(fed)
        training._step(batch, training.progress.step)
        training.progress.step += 1

    return step


def flip_fused(training: Training) -> None:
    """Replace a fused optimiser by one that is not fused, or the reverse."""
    optimizer = build_optimizer(training.model, training.data.recipe)
    fused = not optimizer.defaults["fused"]
    for group in optimizer.param_groups:
        group["fused"], group["foreach"] = fused, None
    training.optimizer = optimizer


def show_phases(found: dict[str, dict[str, list[float]]]) -> None:
    table = Table("ms, share of the step", box=None, pad_edge=False)
    for phase in (*PHASES, "step"):
        table.add_column(phase, justify="right")
    for name, own in found.items():
        medians = {phase: float(np.median(seconds)) for phase, seconds in own.items()}
        whole = sum(medians.values())
        cells = [f"{1000 * s:.0f}, {100 * s / whole:.1f} %" for s in medians.values()]
        table.add_row(name, *cells, f"{1000 * whole:.0f}")
    CONSOLE.print(table)


def show_choices(found: dict[str, tuple[list[float], int | None]]) -> None:
    table = Table("a step with CE", box=None, pad_edge=False)
    for title in ("ms", "x as trained", "quartiles", "peak MiB"):
        table.add_column(title, justify="right")
    for name, (own, held) in found.items():
        # Batches made ahead save wall time but no CPU time, so they have their own baseline.
        base = found["batches made ahead: 0" if "ahead" in name else "as trained"][0]
        low, median, high = np.quantile(np.divide(own, base), [0.25, 0.5, 0.75])
        memory = f"{held / 2**20:.0f}" if held else "–"
        cells = (f"{1000 * np.median(own):.0f}", f"{median:.3f}", f"{low:.3f}..{high:.3f}", memory)
        table.add_row(name, *cells)
    CONSOLE.print(table)


if __name__ == "__main__":
    main()

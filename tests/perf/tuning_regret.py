"""Regret of a tuning on a known curve: of the smoothed curve's optimum and of the best trial.

    python tests/perf/tuning_regret.py --repetitions 200

The curve has a broad maximum, 3.6 points high, at a random place in each repetition. Each training
adds noise with a standard deviation of 1 point, about the spread over seeds on CamVid. Each seed
adds an offset with a standard deviation of 0.5 points, the same for every trial. Trials are
proposed as in `segloss tune`. Regret is the score that the reported value loses against the true
maximum, in points.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np

from bench.search_space import Space
from reports.tuning.curve import Curve, Observation
from studies.tuning.sampler import Trial, propose
from studies.tuning.search import first_values
from studies.tuning.tuner import AHEAD

NAME, OWN = "loss.lambda_", {"loss.lambda_": 0.5}
SPACES = {NAME: Space(low=0.0, high=1.0)}
HEIGHT, WIDTH = 3.6, 0.35


def repetition(number: int, *, trials: int, noise: float, seeds: int) -> tuple[float, float, bool]:
    """Return the regret of both values, and whether the true optimum is in the 95 % range."""
    random = np.random.default_rng(number)
    top = random.uniform(0.15, 0.85)
    of_seed = random.normal(0, noise / 2, seeds)

    def truth(value: float) -> float:
        return 55 + HEIGHT * np.exp(-(((value - top) / WIDTH) ** 2))

    def scored(value: float) -> list[float]:
        return list(truth(value) + of_seed + random.normal(0, noise, seeds))

    first = first_values(SPACES, OWN)
    tried: list[Trial] = []
    scores: list[list[float]] = []
    for n in range(trials):
        open_trials = [replace(trial, over=False, score=None) for trial in tried[-AHEAD:]]
        values = first[n] if n < len(first) else None
        values = values or propose(
            SPACES, [*tried[:-AHEAD], *open_trials], seed=trials * number + n
        )
        assert values is not None
        scores.append(scored(float(values[NAME])))
        tried.append(Trial(values, over=True, score=float(np.mean(scores[-1]))))
    observations = [
        Observation(trial.values, seed, score)
        for trial, found in zip(tried, scores, strict=True)
        for seed, score in enumerate(found)
    ]
    best = Curve(SPACES, observations).best(OWN)
    luckiest = tried[int(np.argmax([trial.score for trial in tried]))]
    low, high = best.ranges[NAME]
    lost = [truth(top) - truth(float(values[NAME])) for values in (best.values, luckiest.values)]
    return lost[0], lost[1], low <= top <= high


def main() -> None:
    """Print both regrets and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--noise", type=float, default=1.0)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    one = partial(repetition, trials=options.trials, noise=options.noise, seeds=options.seeds)
    with ProcessPoolExecutor(2) as pool:
        found = np.array(list(pool.map(one, range(options.repetitions), chunksize=10)), float)
    smoothed, luckiest, held = found.mean(0)
    print(  # noqa: T201
        f"{options.trials} trials of {options.seeds} seeds, noise {options.noise}: regret "
        f"{smoothed:.3f} smoothed, {luckiest:.3f} best trial, ratio {smoothed / luckiest:.2f}; "
        f"the true top is in the 95 % range {held:.0%} of the time"
    )


if __name__ == "__main__":
    main()

"""Regret of what a tuning reports, on a curve that is known: of the smoothed top, of the best trial.

    python tests/perf/tuning_regret.py --repetitions 200 --trials 12 --noise 1.0

The curve has the shape seen for lambda: low at the ends, a broad top somewhere in between, 3.6 points
high. Each training adds noise of a standard deviation in points of mIoU (about 1 between seeds on
CamVid). Trials are proposed as `segloss tune` proposes them. Regret is what the reported value loses
against the true top.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np

from bench.space import Space
from reports.smoother import Curve, Observation
from studies.tuning.sampler import Trial, propose
from studies.tuning.search import first_values

NAME = "loss.lambda_"
SPACES = {NAME: Space(low=0.0, high=1.0)}
HEIGHT = 3.6


def truth(value: float, top: float) -> float:
    """Points of mIoU over the level: a parabola's top that flattens out into the ends."""
    return 55 + HEIGHT * np.exp(-(((value - top) / 0.35) ** 2))


def repetition(number: int, *, trials: int, noise: float, seeds: int, lag: int, how: str):
    """Regret of the smoothed top and of the best trial, in points, and whether the band holds it."""
    random = np.random.default_rng(number)
    top = random.uniform(0.15, 0.85)
    effects = random.normal(0, noise, seeds)  # a seed moves every trial alike, and each its own way
    tried: list[dict] = []
    scores: list[list[float]] = []
    first = first_values(SPACES, {NAME: 0.5})
    for n in range(trials):
        if n < len(first):
            values = first[n]
        elif how == "tpe":
            known = [
                Trial(v, over=i < n - lag, score=float(np.mean(s)) if i < n - lag else None)
                for i, (v, s) in enumerate(zip(tried, scores))
            ]
            values = propose(SPACES, known, seed=n + 1000 * number)
        else:
            from scipy.stats import qmc

            done = {v[NAME] for v in tried}
            line = (
                qmc.Halton(1, scramble=False).random(200)[:, 0]
                if how == "qmc"
                else random.random(200)
            )
            values = next(
                {NAME: SPACES[NAME].value(float(x))}
                for x in line
                if SPACES[NAME].value(float(x)) not in done
            )
        tried.append(values)
        own = random.normal(0, noise, seeds)
        scores.append([truth(values[NAME], top) + 0.5 * effects[s] + own[s] for s in range(seeds)])
    observations = [
        Observation(v, s, score) for v, found in zip(tried, scores) for s, score in enumerate(found)
    ]
    best = Curve(SPACES, observations).best({NAME: 0.5})
    luckiest = tried[int(np.argmax([np.mean(s) for s in scores]))]
    highest = truth(top, top)
    low, high = best.ranges[NAME]
    return (
        highest - truth(best.values[NAME], top),
        highest - truth(luckiest[NAME], top),
        low <= top <= high,
    )


def main() -> None:
    """Print both regrets and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--noise", type=float, default=1.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--lag", type=int, default=8)
    parser.add_argument("--how", default="tpe")
    o = parser.parse_args()
    one = partial(repetition, trials=o.trials, noise=o.noise, seeds=o.seeds, lag=o.lag, how=o.how)
    with ProcessPoolExecutor(2) as pool:
        found = np.array(list(pool.map(one, range(o.repetitions), chunksize=10)), float)
    smoothed, luckiest, held = found.mean(0)
    print(
        f"{o.how} lag {o.lag} {o.trials} trials x {o.seeds} seeds, noise {o.noise}: regret {smoothed:.3f} smoothed, "
        f"{luckiest:.3f} best trial, ratio {smoothed / luckiest:.2f}; top in its 95 % range {held:.0%}"
    )


if __name__ == "__main__":
    main()

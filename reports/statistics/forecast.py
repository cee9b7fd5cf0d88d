"""How many seeds a difference would need; docs/statistics.md explains the method."""

from __future__ import annotations

import functools
import math
import statistics
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from reports.statistics.stats import Paired, quantile

POWER = 0.8
"""Share of studies that must show the difference."""
CONFIDENCE = 0.8
"""Share of forecasts whose range holds the number of seeds that the true spread would need."""
MOST = 100
"""Largest number of seeds that is tried."""
STUDIES = 20_000
"""Number of simulated studies, which gives a share of 5 % to within 0.3 %; fewer of large ones."""
POINTS = 256
"""Number of points of the integral over the spread that a study would see."""


@dataclass(frozen=True)
class Forecast:
    """The seeds that a difference of one size needs to be shown in four of five studies."""

    seeds: int | None
    """At the likeliest spread between seeds; None above ``MOST``."""
    low: int | None
    high: int | None
    """At the smallest and the largest spread that the seen seeds leave (80 %)."""
    spread: float
    """The likeliest standard deviation of the difference between seeds."""
    images: float
    """Half-width that other images add, whatever the number of seeds."""

    def at(self, n: int) -> float:
        """Return the half-width of the interval to expect with n seeds."""
        return math.hypot(quantile(n - 1) * self.spread / math.sqrt(n), self.images)


def forecast(found: Paired, effect: float) -> Forecast | None:
    """Return how many seeds would show a difference of a given size; None below two seeds.

    Args:
        found: The difference seen, whose seeds give the spread between seeds.
        effect: Size of the true difference, above zero, in the same unit.
    """
    if found.gain.n < 2:
        return None
    images = found.of_images or 0.0
    low, middle, high = spread_of(list(found.by_seed.values()))
    return Forecast(
        seeds=seeds_needed(effect, middle, images),
        low=seeds_needed(effect, low, images),
        high=seeds_needed(effect, high, images),
        spread=middle,
        images=images,
    )


def spread_of(differences: list[float]) -> tuple[float, float, float]:
    """Return the standard deviation that new seeds may have: low, middle and high.

    The squared deviation of n normal differences follows a chi-squared law with n - 1 degrees of
    freedom; the three are its quantiles at 90 %, 50 % and 10 %.
    """
    from scipy.special import chdtri

    freedom = len(differences) - 1
    squares = statistics.variance(differences) * freedom
    tail = (1 - CONFIDENCE) / 2
    low, middle, high = (
        math.sqrt(squares / float(chdtri(freedom, share))) for share in (tail, 0.5, 1 - tail)
    )
    return low, middle, high


def seeds_needed(effect: float, spread: float, images: float = 0.0) -> int | None:
    """Return the least number of seeds with ``POWER``; None where ``MOST`` are too few.

    Args:
        effect: The true difference.
        spread: Standard deviation of the difference between seeds, in the same unit.
        images: Half-width that other images add to the interval, whatever the number of seeds.
    """
    return next((n for n in range(2, MOST + 1) if power(n, effect, spread, images) >= POWER), None)


def power(n: int, effect: float, spread: float, images: float = 0.0) -> float:
    """Return the chance that the interval of n seeds lies above zero; arguments as above.

    Without ``images`` this is the power of the paired t test, by the noncentral t law.
    """
    from scipy.special import ndtr

    if spread == 0:
        return float(effect > images)
    seen = spread * _seen_spreads(n)
    needed = np.hypot(quantile(n - 1) * seen / math.sqrt(n), images)
    return float(ndtr((effect - needed) * math.sqrt(n) / spread).mean())


@functools.cache
def chance_of_highest(gains: int, n: int) -> float:
    """Return the chance that the highest gain's interval lies above zero although all rows tie.

    By simulation, of rows with the same spread between seeds. An interval that covers other images
    too is wider, and its chance smaller.

    Args:
        gains: Number of gains over one base row, of which the one with the highest mean is judged.
        n: Number of seeds, at least two.
    """
    random, shown = np.random.default_rng(0), 0
    studies = min(STUDIES, max(200, 20 * STUDIES // (gains * n)))
    for _ in range(studies // 200):
        seeds = random.normal(size=(200, gains + 1, n))
        found = seeds[:, 1:] - seeds[:, :1]
        means = found.mean(2)
        highest = means.argmax(1)[:, None]
        errors = found.std(2, ddof=1) / math.sqrt(n)
        low = np.take_along_axis(means - quantile(n - 1) * errors, highest, 1)
        shown += int((low > 0).sum())
    return shown / (studies // 200 * 200)


@functools.cache
def _seen_spreads(n: int) -> Float64[np.ndarray, " points"]:
    """Return the standard deviations that n seeds of a true one of 1 show, equally likely each."""
    from scipy.special import chdtri

    shares = (np.arange(POINTS) + 0.5) / POINTS
    return np.sqrt(chdtri(n - 1, shares) / (n - 1))

"""Means over seeds, with the interval that so few seeds allow."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over ``n`` seeds, from ``low`` to ``high``: None below two seeds, may be lopsided."""

    mean: float
    low: float | None
    high: float | None
    n: int

    @property
    def half_width(self) -> float | None:
        """Half the interval's length; None without one."""
        if self.low is None or self.high is None:
            return None
        return (self.high - self.low) / 2

    @property
    def above_zero(self) -> bool | None:
        """Whether the whole interval lies above (True) or below (False) zero, or None."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return None
        return self.mean > 0


@dataclass(frozen=True)
class Comparison:
    """Ours - theirs, paired; ``p`` is None below two pairs."""

    gain: Estimate
    p: float | None
    """Of the exact sign-flip test over seeds, two-sided."""
    floor: float | None
    """The smallest p that so many seeds can give: 2 / 2**n."""
    p_adjusted: float | None = None
    """p by Holm over the comparisons of one table."""


def estimate(values: Iterable[float]) -> Estimate | None:
    """Mean with the half-width of Student's 95 % interval; None without a value."""
    numbers = list(values)
    n = len(numbers)
    if n == 0:
        return None
    mean = math.fsum(numbers) / n
    if n == 1:
        return Estimate(mean, None, None, 1)
    from scipy.stats import t

    quantile = float(t.ppf((1 + CONFIDENCE) / 2, n - 1))
    spread = quantile * statistics.stdev(numbers) / math.sqrt(n)
    return Estimate(mean, mean - spread, mean + spread, n)


def difference(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Estimate | None:
    """Mean of ours - theirs over the seeds that both have: paired, as a seed fixes all else."""
    return estimate(ours[seed] - theirs[seed] for seed in ours if seed in theirs)

"""Means over seeds, with the interval that so few seeds allow."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over ``n`` seeds; ``half_width`` of its interval is None below two seeds."""

    mean: float
    half_width: float | None
    n: int

    @property
    def above_zero(self) -> bool | None:
        """Whether the whole interval lies above (True) or below (False) zero, or None."""
        if self.half_width is None or abs(self.mean) <= self.half_width:
            return None
        return self.mean > 0


def estimate(values: Iterable[float]) -> Estimate | None:
    """Mean with the half-width of Student's 95 % interval; None without a value."""
    numbers = list(values)
    n = len(numbers)
    if n == 0:
        return None
    mean = math.fsum(numbers) / n
    if n == 1:
        return Estimate(mean, None, 1)
    from scipy.stats import t

    quantile = float(t.ppf((1 + CONFIDENCE) / 2, n - 1))
    return Estimate(mean, quantile * statistics.stdev(numbers) / math.sqrt(n), n)


def difference(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Estimate | None:
    """Mean of ours - theirs over the seeds that both have: paired, as a seed fixes all else."""
    return estimate(ours[seed] - theirs[seed] for seed in ours if seed in theirs)

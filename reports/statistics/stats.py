"""Means over seeds, with the interval that so few seeds allow; docs/statistics.md explains them."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

CONFIDENCE = 0.95
EXACT_UP_TO = 13
"""Differences whose sign flips are all tried: 8,192."""


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
    """Mean with Student's 95 % interval; None without a value.

    It speaks of other seeds on the same images.
    """
    numbers = list(values)
    n = len(numbers)
    if n == 0:
        return None
    mean = math.fsum(numbers) / n
    if n == 1:
        return Estimate(mean, None, None, 1)
    spread = _quantile(n - 1) * statistics.stdev(numbers) / math.sqrt(n)
    return Estimate(mean, mean - spread, mean + spread, n)


def difference(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Estimate | None:
    """Mean of ours - theirs over the seeds that both have: paired, as a seed fixes all else."""
    return estimate(ours[seed] - theirs[seed] for seed in ours if seed in theirs)


def compare(
    ours: Mapping[int, float],
    theirs: Mapping[int, float],
    influence: Float64[np.ndarray, "n images"] | None = None,
) -> Comparison | None:
    """Ours - theirs over the seeds that both have; None where there is no such seed.

    ``influence`` holds by how much each image moves each of these differences (its rows have mean
    zero); with it the interval speaks of other images of the same kind too.
    """
    differences = [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]
    gain = estimate(differences)
    if gain is None:
        return None
    if influence is not None and gain.half_width is not None:
        spread = math.hypot(gain.half_width, _image_spread(influence))
        gain = Estimate(gain.mean, gain.mean - spread, gain.mean + spread, gain.n)
    p, floor = sign_flip(differences)
    return Comparison(gain, p, floor)


def sign_flip(differences: Sequence[float]) -> tuple[float | None, float | None]:
    """Two-sided p of the exact sign-flip test that they are as likely positive as negative.

    With the smallest p that so many can give, 2 / 2**n; (None, None) below two. Above 13 of them,
    10,000 random flips stand for all.
    """
    n = len(differences)
    if n < 2:
        return None, None
    if not any(differences):
        return 1.0, 2 / 2**n
    from scipy.stats import permutation_test

    found = permutation_test(
        (np.asarray(differences),),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=2**n if n <= EXACT_UP_TO else 9_999,
        rng=np.random.default_rng(0),
    )
    return min(1.0, float(found.pvalue)), 2 / min(2**n, 10_000)


def holm(p_values: Sequence[float]) -> list[float]:
    """Each p adjusted so that the chance of any false alarm in the family stays its level.

    S. Holm, "A simple sequentially rejective multiple test procedure" (1979).
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def adjusted(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons of one family with their p by Holm."""
    known = [comparison.p for comparison in comparisons if comparison.p is not None]
    found = iter(holm(known))
    return [c if c.p is None else replace(c, p_adjusted=next(found)) for c in comparisons]


def _image_spread(influence: Float64[np.ndarray, "n images"]) -> float:
    """Half-width of the mean difference's interval over other images of the same kind.

    From the variance between images that all seeds share: what one image does to one seed alone
    is part of the seeds' variance already.
    """
    n, images = influence.shape
    if images < 2:
        return 0.0
    shared = influence.mean(0)
    between = shared.var(ddof=1) / images
    own = ((influence - shared) ** 2).sum() / ((n - 1) * (images - 1)) / (n * images)
    return _quantile(images - 1) * math.sqrt(max(0.0, between - own))


@functools.cache
def _quantile(freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))

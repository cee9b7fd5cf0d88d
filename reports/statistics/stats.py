"""Means over seeds, with intervals for few seeds; docs/statistics.md explains the methods."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from jaxtyping import Float64

CONFIDENCE = 0.95
LEVEL = 0.05
"""Significance level of the exact test."""
EXACT_UP_TO = 13
"""Largest number of differences for which all sign flips (8,192) are tried."""


@dataclass(frozen=True)
class Estimate:
    """A mean over ``n`` seeds with its 95 % interval from ``low`` to ``high``.

    The bounds are None below two seeds; they need not be symmetric about the mean. With the spread
    "range" they are those of the seeds; of a cost, ``mean`` is then the median.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    spread: Literal["interval", "range"] = "interval"
    """What the bounds are."""

    @property
    def half_width(self) -> float | None:
        """Half the interval's length; None without an interval."""
        if self.low is None or self.high is None:
            return None
        return (self.high - self.low) / 2

    @property
    def above_zero(self) -> bool | None:
        """Whether the whole interval lies above (True) or below (False) zero; else None."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return None
        return self.mean > 0


@dataclass(frozen=True)
class Paired:
    """A paired difference, ours - theirs."""

    gain: Estimate
    by_seed: Mapping[int, float] = field(default_factory=dict)
    """The difference at each seed that both have."""
    of_seeds: float | None = None
    """Half-width of the 95 % interval that covers other seeds alone; None below two seeds."""
    of_images: float | None = None
    """Half-width of the one that covers other images alone; None if the interval leaves them out.

    The interval of ``gain`` adds both in quadrature.
    """

    @property
    def other_way(self) -> Paired:
        """The same difference, theirs - ours."""
        low, high = (None if end is None else -end for end in (self.gain.high, self.gain.low))
        return replace(
            self,
            gain=Estimate(-self.gain.mean, low, high, self.gain.n),
            by_seed={seed: -value for seed, value in self.by_seed.items()},
        )


@dataclass(frozen=True)
class Comparison(Paired):
    """A paired difference with its exact test."""

    p: float | None = None
    """Two-sided p of the exact sign-flip test over seeds; None below two pairs."""
    floor: float | None = None
    """The smallest p that this number of seeds can give: 2 / 2**n."""
    p_adjusted: float | None = None
    """p after Holm's adjustment over the comparisons of one table."""


def percent(share):
    """Return a share in 0..1 as percent: a float, or an array of any shape."""
    return 100 * share


def estimate(values: Iterable[float]) -> Estimate | None:
    """Return the mean of ``values`` with Student's 95 % interval.

    The interval covers other seeds on the same images.

    Args:
        values: One number per seed, in any unit.

    Returns:
        The estimate in the same unit, without an interval for a single value; None for no value.

    >>> found = estimate([1.0, 2.0, 3.0])
    >>> found.mean, round(found.half_width, 3), found.n
    (2.0, 2.484, 3)
    >>> estimate([0.5])
    Estimate(mean=0.5, low=None, high=None, n=1, spread='interval')
    """
    numbers = list(values)
    n = len(numbers)
    if n == 0:
        return None
    mean = math.fsum(numbers) / n
    if n == 1:
        return Estimate(mean, None, None, 1)
    spread = quantile(n - 1) * statistics.stdev(numbers) / math.sqrt(n)
    return Estimate(mean, mean - spread, mean + spread, n)


def difference(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Estimate | None:
    """Return the mean of ours - theirs, paired by seed, with Student's 95 % interval.

    Args:
        ours: Our value by seed.
        theirs: Their value by seed, in the same unit.

    Returns:
        The estimate over the seeds that both have; None where they share no seed.

    >>> difference({0: 3.0, 1: 5.0, 7: 100.0}, {0: 1.0, 1: 3.0, 2: 9.0})
    Estimate(mean=2.0, low=2.0, high=2.0, n=2, spread='interval')
    """
    return estimate(ours[seed] - theirs[seed] for seed in ours if seed in theirs)


def paired(
    ours: Mapping[int, float],
    theirs: Mapping[int, float],
    influence: Float64[np.ndarray, "n images"] | None = None,
) -> Paired | None:
    """Return ours - theirs, paired by seed, with its interval.

    Args:
        ours: Our value by seed.
        theirs: Their value by seed, in the same unit.
        influence: How much each image moves each of the n paired differences, in the same unit;
            every row has mean zero. With it the interval covers other images of the same kind too;
            without it, other seeds alone.

    Returns:
        The difference over the seeds that both have; None where they share no seed.

    >>> paired({0: 3.0, 1: 5.0, 2: 4.0}, {0: 1.0, 1: 4.0}).by_seed
    {0: 2.0, 1: 1.0}
    """
    by_seed = {seed: ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())}
    gain = estimate(by_seed.values())
    if gain is None:
        return None
    of_seeds, of_images = gain.half_width, None
    if influence is not None and of_seeds is not None:
        of_images = _image_spread(influence)
        spread = math.hypot(of_seeds, of_images)
        gain = Estimate(gain.mean, gain.mean - spread, gain.mean + spread, gain.n)
    return Paired(gain, by_seed, of_seeds, of_images)


def with_test(found: Paired | None) -> Comparison | None:
    """Return a paired difference with its exact test.

    >>> found = with_test(paired({0: 3.0, 1: 5.0, 2: 4.0}, {0: 1.0, 1: 4.0, 2: 2.5}))
    >>> found.gain.mean, found.p, found.floor
    (1.5, 0.25, 0.25)
    """
    if found is None:
        return None
    p, floor = sign_flip(list(found.by_seed.values()))
    return Comparison(found.gain, found.by_seed, found.of_seeds, found.of_images, p, floor)


def sign_flip(differences: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the two-sided p of the exact sign-flip test, and the smallest p it can give.

    The null hypothesis: each difference is as likely positive as negative. Up to 13 differences
    every flip is tried; above that, 10,000 random flips.

    Args:
        differences: One paired difference per seed.

    Returns:
        p, and its floor 2 / 2**n; (None, None) below two differences.

    >>> sign_flip([5.0, 5.1, 4.9])
    (0.25, 0.25)
    """
    n = len(differences)
    if n < 2:
        return None, None
    if not any(differences):
        return 1.0, 2 / 2**n
    values = np.asarray(differences)
    p = _share_of_flips(values) if n <= EXACT_UP_TO else _share_of_random_flips(values)
    return p, 2 / min(2**n, 10_000)


def _share_of_flips(values: Float64[np.ndarray, " n"]) -> float:
    """Return the share of all sign flips whose sum is as far from zero as that of the values."""
    flips = np.arange(2 ** len(values))[:, None] >> np.arange(len(values)) & 1
    sums = np.abs((1 - 2 * flips) @ values)
    # Equal sums may differ in their last digits.
    return float(np.mean(sums >= abs(values.sum()) * (1 - 100 * np.finfo(float).eps)))


def _share_of_random_flips(values: Float64[np.ndarray, " n"]) -> float:
    from scipy.stats import permutation_test  # an import of a second

    found = permutation_test(
        (values,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=9_999,
        rng=np.random.default_rng(0),
    )
    return min(1.0, float(found.pvalue))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return each p adjusted by Holm, which bounds the chance of any false alarm in the family.

    S. Holm, "A simple sequentially rejective multiple test procedure" (1979).

    Args:
        p_values: The p values of one family, in any order.

    Returns:
        The adjusted p values, in the same order.

    >>> holm([0.01, 0.04])
    [0.02, 0.04]
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def adjusted(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return the comparisons of one family with their p values adjusted by Holm.

    Args:
        comparisons: The family; a comparison without a p value does not count.
    """
    known = [comparison.p for comparison in comparisons if comparison.p is not None]
    found = iter(holm(known))
    return [c if c.p is None else replace(c, p_adjusted=next(found)) for c in comparisons]


def _image_spread(influence: Float64[np.ndarray, "n images"]) -> float:
    """Return the half-width that other images of the same kind add to a mean difference.

    It rests on the variance between images that all seeds share: the effect of one image on one
    seed alone is part of the seeds' variance already.
    """
    n, images = influence.shape
    if images < 2:
        return 0.0
    shared = influence.mean(0)
    between = shared.var(ddof=1) / images
    own = ((influence - shared) ** 2).sum() / ((n - 1) * (images - 1)) / (n * images)
    return quantile(images - 1) * math.sqrt(max(0.0, between - own))


@functools.cache
def quantile(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))

"""Scores and costs as tables show them: no interval that cannot be."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import replace

from reports.statistics.stats import Estimate, estimate

UNSTEADY = 1.5
"""Ratio of the largest to the smallest seed's cost beyond which a cost says little."""


def score_estimate(values: Iterable[float]) -> Estimate | None:
    """Return a score in percent as a table shows it.

    From three seeds on it has its t interval, cut to 0 to 100; two seeds have their range; a score
    that is zero at every seed, as of a class that is never predicted, has neither.

    >>> score_estimate([40.0, 42.0])
    Estimate(mean=41.0, low=40.0, high=42.0, n=2, spread='range')
    >>> found = score_estimate([98.0, 99.0, 99.5])
    >>> round(found.low, 2), found.high
    (96.94, 100.0)
    >>> score_estimate([0.0, 0.0])
    Estimate(mean=0.0, low=None, high=None, n=2, spread='interval')
    """
    numbers = list(values)
    found = estimate(numbers)
    if found is None or found.low is None or found.high is None:
        return found
    if not any(numbers):
        return replace(found, low=None, high=None)
    if found.n < 3:
        return replace(found, low=min(numbers), high=max(numbers), spread="range")
    return replace(found, low=max(0.0, found.low), high=min(100.0, found.high))


def cost_estimate(values: Iterable[float]) -> Estimate | None:
    """Return a cost as a table shows it: the median of its seeds with their range.

    Costs are not normal: another program on the machine makes one seed much slower.

    >>> cost_estimate([27.0, 94.0, 28.0])
    Estimate(mean=28.0, low=27.0, high=94.0, n=3, spread='range')
    """
    numbers = list(values)
    if len(numbers) < 2:
        return estimate(numbers)
    middle = statistics.median(numbers)
    return Estimate(middle, min(numbers), max(numbers), len(numbers), "range")


def is_unsteady(value: Estimate | None) -> bool:
    """Return whether the seeds of a cost lie so far apart that it says little."""
    if value is None or value.low is None or value.high is None:
        return False
    return value.high > UNSTEADY * value.low

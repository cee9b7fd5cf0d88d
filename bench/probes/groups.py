"""Groups of numbers that two versions of the code compare: {"within": 1e-6, "values": [0.83, …]}.

Two groups agree if no value differs by more than the share ``within`` of the largest one, which
another CPU, number of threads or BLAS may cause. No torch here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.spec import digest

Group = dict[str, Any]
Numbers = dict[str, Group]

EXACT, DOUBLE, DRAWN, SINGLE, RESIZED = 1e-9, 1e-6, 1e-5, 1e-3, 0.05
"""Shares for plain arithmetic, sums in float64, random weights, sums in float32, resized pixels.

Without AVX2 random weights differ by 5e-7, and torch resizes bytes to values 0.8 % apart.
"""


def as_number(value: Any) -> int:
    """Return an integer of 48 bits, which JSON keeps exactly, for a JSON-shaped value."""
    return int(digest(value), 16)


def group(within: float, values: Sequence[float]) -> Group:
    """Return values that may differ by a share of the largest one, rounded to ten digits."""
    rounded = [value if isinstance(value, int) else float(f"{value:.10g}") for value in values]
    return {"within": within, "values": rounded}

"""Search spaces: the values that a tuning tries for one setting, mapped to [0, 1]."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import model_validator

from bench.files import Scalar, Strict

Scale = Literal["linear", "log10", "log10(1 - x)"]
DIGITS = 3
"""Significant digits of a value; finer ones change less than another seed does."""


class Space(Strict):
    """The values of one setting: numbers from ``low`` to ``high``, or ``choices`` without order."""

    low: float | None = None
    high: float | None = None
    scale: Scale = "linear"
    """The function of x that is spread evenly: x, log10(x) or log10(1 - x)."""
    whole: bool = False
    """Whether only whole numbers are tried, as for an option of type int."""
    choices: tuple[Scalar, ...] = ()
    first: tuple[float, ...] = ()
    """Values to try first; if empty: the study's own value, the ends and the quarters."""

    @model_validator(mode="after")
    def _one_kind(self) -> Space:
        if self.choices:
            if self.low is not None or self.high is not None:
                raise ValueError("give either low and high, or a list of choices")
            if len(set(map(repr, self.choices))) < max(2, len(self.choices)):
                raise ValueError("a list of choices needs two values or more, each once")
            return self
        if self.low is None or self.high is None:
            raise ValueError("needs low and high, or a list of choices")
        if not self.low < self.high < math.inf:
            raise ValueError(f"low = {self.low:g} must be below high = {self.high:g}")
        if self.scale == "log10" and self.low <= 0:
            raise ValueError(f"scale log10 needs low above 0, got {self.low:g}")
        if self.scale == "log10(1 - x)" and self.high >= 1:
            raise ValueError(f"scale log10(1 - x) needs high below 1, got {self.high:g}")
        if outside := [value for value in self.first if not self.low <= value <= self.high]:
            raise ValueError(f"first holds {outside[0]:g}, outside {self.low:g} to {self.high:g}")
        return self

    @property
    def ends(self) -> tuple[float, float]:
        """``low`` and ``high`` of a range."""
        assert self.low is not None
        assert self.high is not None
        return self.low, self.high

    def value(self, position: float) -> Scalar:
        """Return the value at a position in [0, 1], rounded to DIGITS significant digits."""
        if self.choices:
            return self.choices[min(int(position * len(self.choices)), len(self.choices) - 1)]
        low, high = self.ends
        at = self._scaled(low) + position * (self._scaled(high) - self._scaled(low))
        found = {
            "linear": lambda: round(at, DIGITS - math.floor(math.log10(high - low))),
            "log10": lambda: _significant(10**at),
            "log10(1 - x)": lambda: round(1 - _significant(10**at), 12),
        }[self.scale]()
        found = min(max(found, low), high)
        return round(found) if self.whole else found

    def position(self, value: Scalar) -> float:
        """Return the position of a value: 0 at ``low``, 1 at ``high``; the middle of a choice."""
        if self.choices:
            return (self.choices.index(value) + 0.5) / len(self.choices)
        low, high = map(self._scaled, self.ends)
        return (self._scaled(float(value)) - low) / (high - low)

    def holds(self, value: Scalar) -> bool:
        """Return whether ``value`` is one of the values."""
        if self.choices:
            return value in self.choices
        low, high = self.ends
        return isinstance(value, int if self.whole else float) and low <= value <= high

    @property
    def count(self) -> float:
        """Number of values; inf for real numbers."""
        if self.choices:
            return len(self.choices)
        low, high = self.ends
        return high - low + 1 if self.whole else math.inf

    def _scaled(self, value: float) -> float:
        match self.scale:
            case "linear":
                return value
            case "log10":
                return math.log10(value)
            case "log10(1 - x)":
                return math.log10(1 - value)


class SearchSpec(Strict):
    """The search spaces of one method in a tuning, and the number of trials."""

    method: str
    spaces: dict[str, Space]
    """Search space of each setting, such as "loss.lambda_"."""
    own: dict[str, Scalar]
    """Values of the settings in the study's tables, which the first trial uses."""
    trials: int

    @property
    def trains(self) -> bool:
        """Whether a trial is a training; else it is a CRF on a finished training."""
        return not all(name.startswith("crf.") for name in self.spaces)


def _significant(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")

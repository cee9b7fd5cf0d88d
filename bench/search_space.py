"""Space: the values that a tuning may try for one setting, as points of the unit interval."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import model_validator

from bench.spec import Scalar, Strict

Scale = Literal["linear", "log10", "log10(1 - x)"]
# Finer than this, values differ by less than the noise between seeds, and read badly.
DIGITS = 3


class Space(Strict):
    """Numbers from ``low`` to ``high``, or a few ``choices`` without an order."""

    low: float | None = None
    high: float | None = None
    scale: Scale = "linear"
    """Even steps are even in x, in log10(x) or in log10(1 - x)."""
    whole: bool = False
    """Whole numbers only: so it is with an option of that type."""
    choices: tuple[Scalar, ...] = ()
    first: tuple[float, ...] = ()
    """Values to begin with; the study's own, the ends and the quarters if there are none."""

    @model_validator(mode="after")
    def _one_kind(self) -> Space:
        if self.choices:
            if self.low is not None or self.high is not None:
                raise ValueError("needs either low and high, or a list of choices")
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
        """The value at a position in [0, 1], rounded to what is worth telling apart."""
        if self.choices:
            return self.choices[min(int(position * len(self.choices)), len(self.choices) - 1)]
        low, high = self.ends
        at = self._bent(low) + position * (self._bent(high) - self._bent(low))
        found = {
            "linear": lambda: round(at, DIGITS - math.floor(math.log10(high - low))),
            "log10": lambda: _significant(10**at),
            "log10(1 - x)": lambda: round(1 - _significant(10**at), 12),
        }[self.scale]()
        found = min(max(found, low), high)
        return round(found) if self.whole else found

    def position(self, value: Scalar) -> float:
        """Where a value lies: 0 at ``low``, 1 at ``high``; a choice in the middle of its share."""
        if self.choices:
            return (self.choices.index(value) + 0.5) / len(self.choices)
        low, high = map(self._bent, self.ends)
        return (self._bent(float(value)) - low) / (high - low)

    def holds(self, value: Scalar) -> bool:
        """Whether it is one of the values."""
        if self.choices:
            return value in self.choices
        low, high = self.ends
        return isinstance(value, int if self.whole else float) and low <= value <= high

    @property
    def count(self) -> float:
        """How many values there are; inf where there is no counting them."""
        if self.choices:
            return len(self.choices)
        low, high = self.ends
        return high - low + 1 if self.whole else math.inf

    def _bent(self, value: float) -> float:
        match self.scale:
            case "linear":
                return value
            case "log10":
                return math.log10(value)
            case "log10(1 - x)":
                return math.log10(1 - value)


class SearchSpec(Strict):
    """What a tuning looks through for one method, and with how many trials."""

    method: str
    spaces: dict[str, Space]
    """By setting, such as "loss.lambda_"."""
    own: dict[str, Scalar]
    """The values of the study's tables: the paper's, unless the study says otherwise."""
    trials: int

    @property
    def trains(self) -> bool:
        """Whether a trial is a training; if not, it is a CRF on top of one."""
        return not all(name.startswith("crf.") for name in self.spaces)


def _significant(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")

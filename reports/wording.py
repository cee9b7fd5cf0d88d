"""Words and numbers as reports print them: headings, units, estimates, lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.spec import Scalar
from bench.titles import metric_name
from reports.sentences import notes
from reports.statistics.stats import Estimate

UNITS = {"ms": "ms", "s": "s", "mb": "MB"}
DASH = "\N{EN DASH}"
PLUS_MINUS = "\N{PLUS-MINUS SIGN}"
MINUS = "\N{MINUS SIGN}"
DAGGER = "\N{DAGGER}"
FEW = 3
"""Largest number of rows that a headline names."""


def unit(key: str) -> str:
    """Return the unit of a column's values, such as " (ms)"; scores are in percent."""
    last = key.rpartition("_")[2]
    return f" ({UNITS[last]})" if last in UNITS else " (%)"


def header(key: str) -> str:
    """Return a column's heading, such as "mIoU (%)", "infer (ms)" or "pixel_accuracy (%)"."""
    if key == "miou_image":
        return "mIoU per image (%)"
    name, _, last = key.rpartition("_")
    return f"{name if last in UNITS else metric_name(key)}{unit(key)}"


def mean_and_spread(
    value: Estimate, *, decimals: int | None = None, signed: bool = False
) -> tuple[str, str]:
    """Return a mean and its interval as printed: ("52.14", "± 0.80"), or "" without an interval.

    A range of seeds, and an interval that is not symmetric, stand in parentheses: "(40.1–42.0)".

    Args:
        value: The estimate.
        decimals: Digits after the point; None for those that the interval allows.
        signed: Print a plus sign before a positive mean, as for gains.
    """
    places = digits(value.half_width) if decimals is None else decimals
    mean, spread = _number(value.mean, places), value.half_width
    mean = mean if signed else mean.removeprefix("+")
    if spread is None or value.low is None or value.high is None:
        return mean, ""
    if value.spread == "range" or abs(value.low + value.high - 2 * value.mean) > 1e-9:
        ends = [_number(end, places).removeprefix("+") for end in (value.low, value.high)]
        return mean, "" if ends == [mean, mean] else f"({DASH.join(ends)})"
    return mean, f"{PLUS_MINUS} {spread:.{places}f}"


def estimate_text(value: Estimate, *, signed: bool = False) -> str:
    """Return a mean and its interval in one text: "52.14 ± 0.80"."""
    return " ".join(mean_and_spread(value, signed=signed)).strip()


def digits(spread: float | None) -> int:
    """Return the number of digits after the point that an interval's half-width allows."""
    return 1 if spread is not None and spread >= 0.995 else 2


def points(value: float, spread: float | None) -> str:
    """Return a number with the digits that its half-width allows: "9.1"; "0.42" below 1."""
    return signed_points(value, spread).removeprefix("+")


def signed_points(value: float, spread: float | None) -> str:
    """Return the same with a sign: "+9.1"."""
    return _number(value, digits(spread))


def interval_ends(low: float, high: float) -> tuple[str, str]:
    """Return the ends of an interval with their signs: ("−3.6", "+21.8").

    They have the digits that their half-width allows, and more where an end would round to zero:
    the reader has to see on which side of zero it lies.
    """
    places = digits((high - low) / 2)
    while places < 5 and any(end and round(end, places) == 0 for end in (low, high)):
        places += 1
    return _number(low, places), _number(high, places)


def _number(value: float, places: int) -> str:
    # Adding zero turns a rounded -0.0 into 0.0.
    return f"{round(value, places) + 0.0:+.{places}f}".replace("-", MINUS)


def interval_text(mean: float, low: float, high: float, *, signed: bool = False) -> str:
    """Return a number with the ends of its interval: "+1.25 (+0.50 to +2.00)"."""
    texts = [f"{v:{'+' if signed else ''}.2f}".replace("-", MINUS) for v in (mean, low, high)]
    return texts[0] if low == high else f"{texts[0]} ({texts[1]} to {texts[2]})"


def signed(points: float) -> str:
    """Return percentage points with their sign: "+0.42"."""
    return f"{points:+.2f}".replace("-", MINUS)


def setting(value: Scalar) -> str:
    """Return the value of a setting, numbers without trailing zeros."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def seeds(n: int) -> str:
    """Return the number of seeds for a title: "one seed", "3 seeds"."""
    return "one seed" if n == 1 else f"{n} seeds"


def population(
    covers_images: bool, groups: int | None = None, *, folds: bool = False, metric: str = "mIoU"
) -> str:
    """Return the sentence that says which other experiments the intervals of gains cover.

    Args:
        covers_images: Whether they cover other images.
        groups: Number of groups of the images; None if images stand alone.
        folds: Whether each seed holds out another fold.
        metric: Name of the metric whose gains cover other images.
    """
    if folds:
        return notes.COVERS_FOLDS
    if not covers_images:
        return (
            notes.COVERS_SEEDS if groups is None else notes.COVERS_FEW_GROUPS.format(groups=groups)
        )
    if groups is None:
        return notes.COVERS_IMAGES.format(metric=metric)
    return notes.COVERS_GROUPS.format(metric=metric, groups=groups)


def joined(names: Iterable[str], word: str = "and") -> str:
    """Return names as a sentence lists them: "a, b and c"."""
    *rest, last = names
    return f"{', '.join(rest)} {word} {last}" if rest else last


def listed(names: Sequence[str], *, most: int = 12, between: str = ", ") -> str:
    """Return names as a list that is cut after ``most``: "a, b and 3 more"."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return between.join(names[:most]) + more


def open_rows(labels: Sequence[str]) -> str:
    """Return the rows from which a leader is open, as a headline names them."""
    return joined(labels) if len(labels) <= FEW else f"{len(labels)} other rows"

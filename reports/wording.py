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


def mean_and_spread(value: Estimate, *, decimals: int = 2, signed: bool = False) -> tuple[str, str]:
    """Return a mean and its interval as printed: ("52.14", "± 0.80"), or "" without an interval.

    Args:
        value: The estimate.
        decimals: Digits after the point.
        signed: Print a plus sign before a positive mean, as for gains.
    """
    mean = f"{value.mean:{'+' if signed else ''}.{decimals}f}".replace("-", MINUS)
    spread = value.half_width
    return mean, "" if spread is None else f"{PLUS_MINUS} {spread:.{decimals}f}"


def estimate_text(value: Estimate, *, signed: bool = False) -> str:
    """Return a mean and its interval in one text: "52.14 ± 0.80"."""
    return " ".join(mean_and_spread(value, signed=signed)).strip()


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


def joined(names: Iterable[str]) -> str:
    """Return names as a sentence lists them: "a, b and c"."""
    *rest, last = names
    return f"{', '.join(rest)} and {last}" if rest else last


def listed(names: Sequence[str], *, most: int = 12, between: str = ", ") -> str:
    """Return names as a list that is cut after ``most``: "a, b and 3 more"."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return between.join(names[:most]) + more

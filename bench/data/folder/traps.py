"""The usual traps in labels of one's own, in one line each. No torch here."""

from __future__ import annotations

from collections.abc import Sequence

from bench.data_spec import DataSpec
from bench.errors import DataError
from bench.iou import IGNORED

BACKGROUND = ("background", "bg", "void", "unlabelled", "unlabeled", "other", "others", "none")
ZERO_SHARE = 0.5
"""Share of the pixels above which label 0 looks like a background."""


def traps(spec: DataSpec, pixels: Sequence[int]) -> list[str]:
    """Return a line for each thing about the labels that is legal and often a mistake.

    Args:
        spec: The data set.
        pixels: Number of pixels with the label 0, 1, … 255, over all splits.
    """
    count = len(spec.classes)
    labelled = sum(pixels[:count])
    lines = []
    if problem := unlearnable(spec, pixels):
        lines.append(problem)
    absent = [name for name, found in zip(spec.classes, pixels, strict=False) if not found]
    if absent and labelled:
        lines.append(f"classes without a pixel: {', '.join(absent)}")
    if labelled and not pixels[0] and spec.encoding == "index" and not spec.label_map:
        lines.append(
            "label 0 never occurs: if labels count from 1, write reduce_zero_label = true and name "
            "the class of label 1 first"
        )
    named = spec.classes[0].lower() in BACKGROUND if count else True
    if labelled and not named and pixels[0] > ZERO_SHARE * labelled:
        lines.append(
            f"label 0 is {spec.classes[0]!r} and covers {pixels[0] / labelled:.0%} of the pixels: "
            "if it means background, name it so; if it means not labelled, write "
            "reduce_zero_label = true"
        )
    return lines


def unlearnable(spec: DataSpec, pixels: Sequence[int]) -> str:
    """Return why nothing can be learnt from these labels; "" if something can."""
    count = len(spec.classes)
    present = [name for name, found in zip(spec.classes, pixels, strict=False) if found]
    if len(present) > 1 or count < 2:
        return "" if present else "every pixel is ignored: no label is a class"
    ignored = pixels[IGNORED]
    if not present:
        return "every pixel is ignored: no label is a class"
    if ignored and spec.ignore_index == IGNORED and not spec.label_map:
        return (
            f"masks hold {present[0]!r} and {IGNORED} only, and {IGNORED} is ignored: if it is the "
            f"object, write label_map = [[{IGNORED}, 1]]"
        )
    return f"every labelled pixel is {present[0]!r}: there is nothing to tell apart"


def refuse_unlearnable(spec: DataSpec, pixels: Sequence[int]) -> None:
    """Raise DataError if nothing can be learnt from training labels with these pixel counts."""
    if problem := unlearnable(spec, pixels):
        raise DataError(f"{' + '.join(spec.train)}: {problem}")

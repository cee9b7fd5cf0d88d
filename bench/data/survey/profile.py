"""Write a profile for a folder of images and masks. No torch here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bench.data.dataset import evenly_spaced
from bench.data.folder.files import Pair, Tree, find_pairs
from bench.data.folder.labels import stored_labels
from bench.data.folder.pixels import DEEP, open_image
from bench.data.survey.layout import Layout, find_layout, spec_of
from bench.data.survey.measure import THIN_SAMPLE, Facts, measure, thin_labels
from bench.data.survey.text import Classes, classes_of, profile_text
from bench.errors import DataError, SpecError
from bench.files import write_whole

MOST_CLASSES = 255
INDEX_MODES = ("1", "L", "P", *DEEP)
THIN_BELOW = 0.2
"""A class that covers a larger share of the pixels is not looked at as thin."""


def write_profile(folder: Path, out: Path) -> str:
    """Look at a folder, write a profile that describes it, and return the profile's text.

    Args:
        folder: Holds the images and masks, in folders below it or itself.
        out: The profile to write.

    Raises:
        DataError: The folder is missing, or holds no images with masks.
        SpecError: ``out`` exists.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder")
    if out.exists():
        raise SpecError(f"{out} already exists; delete it, or name another file with --out")
    layout = find_layout(folder)
    lonely: list[Path] = []
    pairs = _pairs(folder, layout, lonely)
    facts = measure(pairs)
    facts.without_mask += [str(path.relative_to(folder)) for path in lonely]
    if not facts.pairs:
        raise DataError(facts.faults[0])
    _check_labels(folder / layout.masks, facts)
    classes = classes_of(facts)
    root = os.path.relpath(folder, out.parent.resolve())
    title = folder.resolve().name
    text = profile_text(
        title, root, layout, facts, classes, list(pairs), _thin(pairs, facts, classes)
    )
    try:
        write_whole(out, lambda path: path.write_text(text, "utf-8"))
    except (OSError, UnicodeEncodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "a name is not valid UTF-8"
        raise SpecError(f"{out}: cannot be written: {reason}; name another --out") from None
    return text


def _check_labels(masks: Path, facts: Facts) -> None:
    """Raise DataError if masks differ in kind, or hold one label or more than may be classes."""
    numbers = [mode for mode in facts.mask_modes if mode in INDEX_MODES]
    if facts.colours and numbers:
        raise DataError(
            f"{masks}: {sum(facts.mask_modes[mode] for mode in numbers)} masks hold labels "
            f"({', '.join(numbers)}), others hold colours; save all in one form"
        )
    found = [f"#{bytes(colour).hex()}" for colour in facts.colours] or list(facts.labels)
    if len(found) == 1:
        raise DataError(
            f"{masks}: every pixel of every mask has the value {found[0]}: there is nothing to "
            "tell apart; look whether these are the masks"
        )
    if len(found) > MOST_CLASSES:
        raise DataError(
            f"{masks}: the masks hold {len(found)} different values, at most {MOST_CLASSES} "
            "classes are supported; masks of objects must become masks of classes first"
        )


def _pairs(folder: Path, layout: Layout, without_mask: list[Path]) -> dict[str, Pair]:
    """Return the pairs of all splits; images without a mask are added to ``without_mask``."""
    tree, pairs = Tree(folder), {}
    spec = spec_of(layout, classes=("a", "b"))
    for split in layout.splits or ("all",):
        pairs |= find_pairs(spec, split, tree, without_mask)
    return pairs


def _thin(pairs: Mapping[str, Pair], facts: Facts, classes: Classes) -> list[str]:
    """Return the names of the classes whose objects are a few pixels wide."""
    total = sum(facts.labels.values())
    rare = {
        label: name
        for label, name in zip(classes.stored, classes.names, strict=False)
        if 0 < facts.labels[label] < THIN_BELOW * total
    }
    masks = []
    for pair in [list(pairs.values())[i] for i in evenly_spaced(len(pairs), THIN_SAMPLE)]:
        try:
            masks.append(np.asarray(stored_labels(open_image(pair.mask)[0], pair.mask)))
        except DataError:
            continue
    return [rare[label] for label in thin_labels(masks, rare)]

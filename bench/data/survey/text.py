"""The profile that describes a folder, with what was found and what to decide as comments."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bench.data.folder.dataset import distinct_colours
from bench.data.reading import some
from bench.data.survey.layout import Layout
from bench.data.survey.measure import Facts

TRAIN = ("train", "training", "trainval")
SCORED = ("test", "testing", "val", "valid", "validation", "dev")
SMALL = 100
"""Fewer images than this are scored in folds: one split of them would say little."""
FOLDS = 4
LARGE = 1024
"""Length in pixels from which the profile suggests a smaller image_size."""
PATTERNS = (r"^(.+)__", r"^(.*\d)[A-Za-z]+$", r"^(.+?)[_-]?\d+$")
"""Patterns of groups that are tried in order: a folder, the two sides of one number, a film."""


@dataclass(frozen=True)
class Classes:
    """The classes of a folder's masks, as the [data] section describes them."""

    names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...] = ()
    label_map: tuple[tuple[int, int], ...] = ()
    encoding: str = "index"
    questions: tuple[str, ...] = ()
    stored: tuple[int, ...] = ()
    """The stored label of each class, of index masks."""


def classes_of(facts: Facts) -> Classes:
    """Return the classes that the masks seem to have, with placeholders for their names."""
    if facts.colours:
        order = [colour for colour, _ in facts.colours.most_common()]
        names = tuple(f"class {k}" for k in range(len(order)))
        question = (
            "What are the classes called? A colour that is no class moves from colours to "
            "ignored_colours."
        )
        return Classes(names, tuple(order), encoding="colour", questions=(question,))
    used = sorted(facts.labels)
    if used in ([0, 1], [0, 255], [1]):
        pairs = ((255, 1),) if 255 in used else ()
        question = "Is label 0 background, and what is the object called?"
        if pairs:
            question = "Is 255 the object (as written here), or pixels to ignore? " + question
        return Classes(
            ("background", "object"), label_map=pairs, questions=(question,), stored=(0, *used[-1:])
        )
    labels = [label for label in used if label != 255]
    palette = tuple(facts.palette[k] for k in labels if k in facts.palette)
    if len(set(palette)) < len(labels):
        palette = ()
    gaps = labels != list(range(len(labels)))
    pairs = tuple((stored, k) for k, stored in enumerate(labels)) if gaps else ()
    questions = ["What are the classes called?"]
    if gaps:
        questions.append(f"Only these labels occur: {_runs(labels)}. Are others missing by chance?")
    elif labels[:1] == [0]:
        questions.append(
            "Is label 0 a class (as written here), or not labelled? Then: reduce_zero_label = true"
        )
    names = tuple(f"class {stored}" for stored in labels)
    return Classes(names, palette, pairs, questions=tuple(questions), stored=tuple(labels))


def group_pattern(ids: Sequence[str]) -> tuple[str, list[str]]:
    """Return a pattern by which images seem to belong together, and the names of the groups.

    The first pattern with more than FOLDS groups, else the first with several; else no group.
    """
    few: tuple[str, list[str]] = ("", [])
    for pattern in PATTERNS:
        found = Counter(m[1] if (m := re.search(pattern, id)) else id for id in ids)
        if FOLDS < len(found) <= len(ids) / 2:
            return pattern, list(found)
        if 1 < len(found) <= len(ids) / 2 and not few[1]:
            few = pattern, list(found)
    return few


def profile_text(
    title: str,
    data_root: str,
    layout: Layout,
    facts: Facts,
    classes: Classes,
    ids: Sequence[str],
    thin: Sequence[str],
) -> str:
    """Return the text of a profile.

    Args:
        title: Words for the data in every title.
        data_root: The folder, relative to the profile.
        layout: How the files are arranged.
        facts: What the files hold.
        classes: The classes of the masks.
        ids: The ids of all images.
        thin: Names of the classes whose objects are a few pixels wide.
    """
    split_lines, seeds = _splits(layout, ids)
    questions = [*classes.questions, *_questions(layout, facts)]
    lines = [
        f"# What segloss data init found in {_printable(data_root)}:",
        *(f"#   {_printable(line)}" for line in _found(layout, facts, classes)),
        "# What it could not know:",
        *(f"#   {number}. {_printable(text)}" for number, text in enumerate(questions, 1)),
        f"title = {_quoted(title)}",
        'metric = "miou"',
        f"seeds = {seeds}",
        f"data_root = {_quoted(data_root)}",
        "",
        "[data]",
        'name = "folder"',
        f"images = {_quoted(layout.images)}",
        f"masks = {_quoted(layout.masks)}",
    ]
    for key in ("image_suffix", "mask_suffix", "lists"):
        if value := getattr(layout, key):
            lines.append(f"{key} = {_quoted(value)}")
    lines += _class_lines(layout, classes)
    if facts.deep and facts.deep[0] < facts.deep[1]:
        lines.append(f"image_range = [{facts.deep[0]:.6g}, {facts.deep[1]:.6g}]")
    if facts.levels.any():
        lines += [f"mean = {list(facts.mean)}", f"std = {list(facts.std)}"]
    height, width = max(facts.sizes)
    if len(facts.sizes) == 1 and max(height, width) > LARGE:
        lines.append(f"# image_size = [{height // 2}, {width // 2}]  # smaller images train faster")
    if thin:
        lines.append(f"thin_classes = [{', '.join(map(_quoted, thin))}]  # a few pixels wide")
    lines += split_lines
    lines += _recipe(facts)
    return "\n".join(lines) + "\n"


def _found(layout: Layout, facts: Facts, classes: Classes) -> list[str]:
    heights, widths = zip(*facts.sizes, strict=True)
    size = f"{min(heights)} x {min(widths)}"
    if len(facts.sizes) > 1:
        size += f" to {max(heights)} x {max(widths)}"
    lines = [
        f"{facts.pairs} pairs of image and mask"
        + (f" in {', '.join(layout.splits)}" if layout.splits else ""),
        f"images: {size} pixels (height x width), {_counted(facts.modes)}",
        f"masks: {_counted(facts.mask_modes)}; shares of the pixels: {_shares(facts, classes)}",
    ]
    if facts.rotated:
        lines.append(f"{facts.rotated} images are rotated by EXIF, which is applied")
    return lines


def _shares(facts: Facts, classes: Classes) -> str:
    total = sum(facts.colours.values()) or sum(facts.labels.values())
    if facts.colours:
        named = [
            (f"class {k} #{bytes(colour).hex()}", count)
            for k, (colour, count) in enumerate(facts.colours.most_common())
        ]
    else:
        named = [(str(label), count) for label, count in sorted(facts.labels.items())]
    shown = [f"{name}: {100 * count / total:.1f} %" for name, count in named[:20]]
    return ", ".join(shown) + (", …" if len(named) > 20 else "")


def _questions(layout: Layout, facts: Facts) -> list[str]:
    found = [
        f"The images have other masks too. Are these meant? {other}" for other in layout.others
    ]
    if layout.classes:
        found.append(f"Does {layout.classes} name the classes? Then: classes = its path")
    if count := len(facts.without_mask):
        images = "image has" if count == 1 else "images have"
        found.append(
            f"{count} {images} no mask: {some(facts.without_mask)}. Add it or move the image: "
            "until then segloss data check refuses the folder"
        )
    if facts.unequal:
        found.append(
            f"{len(facts.unequal)} masks have another size than their image, such as "
            f"{facts.unequal[0]}: which is right?"
        )
    found += [f"Damaged: {fault}" for fault in facts.faults[:5]]
    found.append("Are steps, crop_size and lr right for these images? They fit a small study.")
    return found


def _class_lines(layout: Layout, classes: Classes) -> list[str]:
    lines = [f"classes = [{', '.join(map(_quoted, classes.names))}]"]
    colours = classes.colours or tuple(distinct_colours(len(classes.names)))
    lines.append(f"colours = [{', '.join(_quoted('#' + bytes(c).hex()) for c in colours)}]")
    if classes.encoding == "colour":
        lines.append('encoding = "colour"')
    if classes.label_map:
        lines.append(f"label_map = {[list(pair) for pair in classes.label_map]}")
    return lines


def _splits(layout: Layout, ids: Sequence[str]) -> tuple[list[str], int]:
    """Return the lines that say which images are scored, and the number of seeds."""
    lines = []
    pattern, groups = group_pattern(ids)
    if len(groups) > FOLDS:
        lines = [f"# {len(groups)} groups of images that seem to belong together, and are kept so:"]
        lines.append(f"groups = {_quoted(pattern)}")
    elif groups:
        names = _printable(", ".join(groups))
        lines = [
            f"# Are these {len(groups)} films or patients: {names}? If so, keep each together:"
        ]
        lines.append(f"# groups = {_quoted(pattern)}")
    train = [name for name in layout.splits if name.lower() in TRAIN]
    scored = [name for word in SCORED for name in layout.splits if name.lower() == word]
    if train and scored:
        tuning = scored[1:2]
        lines += [f"train = [{_quoted(train[0])}]", f"evaluate = {_quoted(scored[0])}"]
        if tuning:
            return [*lines, "", "[tuning]", f"evaluate = {_quoted(tuning[0])}"], 3
        return lines, 3
    if len(ids) < SMALL:
        lines.append(f"folds = {FOLDS}  # seed 0 scores the first fourth, and so on")
        if 0 < len(groups) < FOLDS:
            lines.append(
                f"# {len(groups)} groups need folds = {len(groups)} and seeds = {len(groups)}"
            )
        return lines, FOLDS
    lines.append("splits = { train = 0.7, val = 0.1, test = 0.2 }")
    return [*lines, 'evaluate = "test"', "", "[tuning]", 'evaluate = "val"'], 3


def _recipe(facts: Facts) -> list[str]:
    height = min(height for height, _ in facts.sizes)
    width = min(width for _, width in facts.sizes)
    crop = [min(256, max(32, side // 32 * 32)) for side in (height, width)]
    return [
        "",
        "[model]",
        'backbone = "tf_efficientnet_lite0"',
        'head = "deeplabv3plus"',
        "head_channels = 128",
        "atrous_rates = [3, 6, 9]",
        "separable = true",
        "",
        "[recipe]",
        "steps = 800",
        "batch_size = 4",
        f"crop_size = {crop}",
        "lr = 0.1",
        "head_lr_multiplier = 2.0",
        "warmup_steps = 20",
    ]


def _counted(modes: Counter[str]) -> str:
    return ", ".join(f"{count} {mode}" for mode, count in modes.most_common())


def _runs(labels: Sequence[int]) -> str:
    return ", ".join(map(str, labels[:12])) + (", …" if len(labels) > 12 else "")


def _quoted(text: str) -> str:
    """Return a TOML string."""
    if "\\" in text and "'" not in text and text.isprintable():
        return f"'{text}'"
    # JSON escapes like TOML does, all but this one character.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _printable(text: str) -> str:
    """Return the text for a comment, in which TOML allows no control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)

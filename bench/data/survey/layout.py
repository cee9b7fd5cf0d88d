"""Where a folder keeps its images and masks: folders, splits, the ends of names, list files.

No torch here.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from bench.data.folder.dataset import open_folder
from bench.data.folder.files import Tree
from bench.data_spec import DataSpec
from bench.errors import DataError

SPLITS = ("training", "train", "validation", "valid", "val", "testing", "test", "trainval", "dev")
MASK_WORDS = re.compile(
    "mask|label|annot|gt|ground.?truth|seg|manual|1st|target|ann_dir|mark", re.IGNORECASE
)
SAMPLE = 300
"""Number of files of a folder that are compared to find out how they pair."""
NAMES_FILES = ("classes", "labels", "class_dict", "codes", "id2label", "names", "label_names")


@dataclass(frozen=True)
class Layout:
    """How the files of a folder pair up, in the words of a DataSpec."""

    images: str
    masks: str
    image_suffix: str = ""
    mask_suffix: str = ""
    lists: str | None = None
    splits: tuple[str, ...] = ()
    """Names of the splits that were found; none if nothing tells them apart."""
    others: tuple[str, ...] = ()
    """Other ends of names, or folders, that would do as masks."""
    classes: str | None = None
    """A file, relative to the folder, that may name the classes."""


@dataclass
class _Place:
    """The image files of one folder template, each by its path below the folder."""

    template: str
    files: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)


def find_layout(root: Path) -> Layout:
    """Return how the images and masks below ``root`` are arranged.

    Raises:
        DataError: There are no images, or no masks that pair with them.
    """
    files = Tree(root).files(root)
    if not files:
        raise DataError(f"{root}: has no image file, in none of its folders")
    places = _places(files)
    best: tuple[tuple[float, ...], Layout] | None = None
    for images in places:
        for masks in places:
            for found in _pairings(images, masks):
                if best is None or found[0] > best[0]:
                    best = found
    if best is None:
        raise DataError(f"{root}: no masks pair with the images by name; {_other_way(root)}")
    layout = _with_lists(root, replace(best[1], classes=_names_file(root)))
    return replace(layout, others=_others(places, layout))


def _other_way(root: Path) -> str:
    """Return what to do where a folder has no masks: look at the folder above if that has some."""
    here = root.resolve()
    beside = [path.name for path in sorted(here.parent.iterdir()) if path.is_dir()]
    if found := [name for name in beside if MASK_WORDS.search(name) and name != here.name]:
        return f"{found[0]} lies beside it: segloss data init {here.parent}"
    return "write data.images, data.masks and their suffixes by hand"


def _places(files: Iterable[str]) -> list[_Place]:
    places: dict[str, _Place] = {}
    for file in files:
        template, split, rest = _template(file)
        place = places.setdefault(template, _Place(template))
        place.files.append(rest)
        if split and split not in place.splits:
            place.splits.append(split)
    return _merged(list(places.values()))


def _merged(places: list[_Place]) -> list[_Place]:
    """Return the places with numbered folders, such as one for each patient, taken together."""
    families: dict[str, list[_Place]] = {}
    for place in places:
        families.setdefault(re.sub(r"\d+$", "", place.template), []).append(place)
    found = []
    for family in families.values():
        if len(family) < 3:
            found += family
            continue
        parent = str(PurePosixPath(family[0].template).parent)
        files = [f"{PurePosixPath(p.template).name}/{file}" for p in family for file in p.files]
        if beside := next((place for place in places if place.template == parent), None):
            beside.files += files
        else:
            found.append(_Place(parent, files))
    return found


def _template(file: str) -> tuple[str, str | None, str]:
    """Return the folder with {split} for a split's name, that name, and the rest of the path."""
    folder, _, name = file.rpartition("/")
    head, split, below = _folder_template(folder)
    return head, split, "/".join([*below, name])


@lru_cache
def _folder_template(path: str) -> tuple[str, str | None, list[str]]:
    """Return the same of a folder: head, split, and the folders below the one that names it."""
    folders = path.split("/") if path else []
    for depth, folder in enumerate(folders):
        for split in SPLITS:
            part = re.search(rf"(?<![a-zA-Z]){split}(?![a-z])|^{split}(?=annot|_|-)", folder)
            if part:
                end = part.end()
                marked = folder[: part.start()] + "{split}" + folder[end:]
                head = "/".join([*folders[:depth], marked])
                return head, part[0], folders[depth + 1 :]
    return path or ".", None, []


def _pairings(images: _Place, masks: _Place) -> list[tuple[tuple[float, ...], Layout]]:
    """Return the ways in which the files of two places pair, each with its rank."""
    same = images is masks
    if not same and bool(images.splits) != bool(masks.splits):
        return []
    found = []
    for (image_end, mask_end), count in _endings(images.files, masks.files, same).items():
        share = count / min(len(images.files), SAMPLE)
        if count < 1 or share < 0.2:
            continue
        looks = bool(MASK_WORDS.search(masks.template if not same else mask_end))
        wrong = bool(MASK_WORDS.search(images.template if not same else image_end))
        by_extension = "/" not in mask_end and mask_end.startswith(".")
        rank = (
            looks - wrong,
            round(share, 1),
            not same,
            mask_end.lower().endswith(".png"),
            by_extension,
            -len(mask_end),
        )
        layout = Layout(
            images.template,
            masks.template,
            "" if image_end.startswith(".") and not same else image_end,
            "" if by_extension else mask_end,
            splits=tuple(images.splits),
        )
        if looks or not wrong:
            found.append((rank, layout))
    return found


def _endings(images: Sequence[str], masks: Sequence[str], same: bool) -> Counter[tuple[str, str]]:
    """Return how often an image and a mask have the same name up to these two ends."""
    found: Counter[tuple[str, str]] = Counter()
    ordered = sorted(masks)
    for image in images[:: max(1, len(images) // SAMPLE)][:SAMPLE]:
        ends = set()
        for mask, length in _alike(image, ordered):
            image_end, mask_end = image[length:], mask[length:]
            if same and len(image_end) >= len(mask_end):
                continue
            if _is_end(image_end) and _is_end(mask_end):
                ends.add((image_end, mask_end))
        found.update(ends)
    return found


def _alike(image: str, ordered: Sequence[str]) -> list[tuple[str, int]]:
    """Return the masks whose names begin most like an image's, and the length of that beginning."""
    stem = _stem(image)
    at = bisect_left(ordered, stem)
    # Names that begin alike are neighbours in the order.
    near = [(mask, _shared(stem, _stem(mask))) for mask in ordered[max(0, at - 3) : at + 8]]
    longest = max((length for _, length in near), default=0)
    ends_in_mark = stem[longest - 1 : longest] in ("_", "-", " ", ".")
    return [(mask, length - ends_in_mark) for mask, length in near if 0 < length == longest]


def _stem(file: str) -> str:
    return file[: len(file) - len(PurePosixPath(file).suffix)]


def _shared(a: str, b: str) -> int:
    """Return the number of letters that two names begin with in common."""
    return next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )


def _is_end(end: str) -> bool:
    """Return whether this may be the end of every name: it begins where a word or number does."""
    return bool(re.match(r"[._ -]|[A-Za-z]+\.", end)) and not re.match(r"[._ -]?\d+\.", end)


def _with_lists(root: Path, layout: Layout) -> Layout:
    """Return the layout with a list file for each split, if folders do not tell splits apart."""
    if layout.splits:
        return layout
    for path in sorted(root.rglob("*.txt")):
        if path.stem in SPLITS and _lists_images(path, root, layout):
            folder = path.parent.relative_to(root)
            others = [name for name in SPLITS if (path.parent / f"{name}.txt").is_file()]
            return replace(layout, lists=str(folder / "{split}.txt"), splits=tuple(others))
    return layout


def _lists_images(path: Path, root: Path, layout: Layout) -> bool:
    lists = str(path.relative_to(root).parent / "{split}.txt")
    splits = {"train": (path.stem,), "evaluate": "-"}
    spec = spec_of(replace(layout, lists=lists), classes=("a", "b"), **splits)
    try:
        return bool(open_folder(spec, root).entries(path.stem))
    except DataError:
        return False


def spec_of(layout: Layout, **fields: Any) -> DataSpec:
    """Return the DataSpec of a layout, with more of its fields."""
    return DataSpec(
        name="folder",
        images=layout.images,
        masks=layout.masks,
        image_suffix=layout.image_suffix,
        mask_suffix=layout.mask_suffix,
        lists=layout.lists,
        **fields,
    )


def _names_file(root: Path) -> str | None:
    for path in sorted(root.iterdir()):
        if path.suffix.lower() in (".txt", ".csv", ".json") and path.stem.lower() in NAMES_FILES:
            return path.name
    return None


def _others(places: Sequence[_Place], layout: Layout) -> tuple[str, ...]:
    """Return other folders or ends of names that pair with the images and look like masks."""
    (images,) = (place for place in places if place.template == layout.images)
    found = []
    for masks in places:
        for _, other in _pairings(images, masks):
            same = (other.masks, other.mask_suffix) == (layout.masks, layout.mask_suffix)
            if not same and other.images == layout.images:
                found.append(f"masks = {other.masks!r}, mask_suffix = {other.mask_suffix!r}")
    return tuple(dict.fromkeys(found))

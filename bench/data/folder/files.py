"""Image and mask files of a split: by folder and name, or from a list file. No torch here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from bench.data.reading import some
from bench.data_spec import DataSpec
from bench.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm")
"""Ends of the names of image files, in lower case."""


LONGEST_ID = 220
"""Longest id in bytes: a run names its predictions after it, and a file system allows 255."""


class Pair(NamedTuple):
    """An image and its mask."""

    image: Path
    mask: Path


@dataclass
class Tree:
    """The image files below a data root; each folder is listed once, and hidden files left out."""

    root: Path | None
    listed: dict[Path, list[str]] = field(default_factory=dict)
    hidden: set[Path] = field(default_factory=set)
    """Hidden image files, such as the ._a.png that macOS writes beside a.png."""

    def folder(self, name: str) -> Path:
        """Return a folder below the root; raises DataError if it is missing."""
        if self.root is None:
            raise DataError(
                "no data folder is given; name it with --data-root, or write data_root into the "
                "profile"
            )
        path = self.root / name
        if _holds(Path.is_dir, path):
            return path
        fault = "is a file, no folder" if _holds(Path.is_file, path) else "the folder is missing"
        raise DataError(f"{path}: {fault}; check data.images, data.masks and the data root")

    def files(self, folder: Path) -> list[str]:
        """Return the paths of image files relative to ``folder``, sub-folders included, sorted."""
        if folder not in self.listed:
            try:
                files = sorted(_walk(folder))
            except OSError as error:
                raise DataError(
                    f"{error.filename}: cannot be listed ({error.strerror}); check its permissions"
                ) from None
            self.listed[folder] = [file for file in files if not _is_hidden(file)]
            self.hidden.update(folder / file for file in files if _is_hidden(file))
        return self.listed[folder]


def find_pairs(
    spec: DataSpec, split: str, tree: Tree, without_mask: list[Path] | None = None
) -> dict[str, Pair]:
    """Return the image and the mask of each id of a split, sorted by id, or in the list's order.

    The id of an image is its path below the folder of images without ``image_suffix``, with "__"
    between folder and name. Images without a mask go into ``without_mask``; None refuses them.

    Raises:
        DataError: A folder, a list, or one of a pair is missing, or two images have one id.
    """
    images, masks = (
        tree.folder(template.replace("{split}", split)) for template in (spec.images, spec.masks)
    )
    if spec.lists is not None:
        return _listed(spec, split, tree, images, masks)
    image_of = _by_id(images, _images(spec, tree, images, masks), spec.image_suffix)
    mask_of = _by_id(masks, _masks(spec, tree, images, masks), spec.mask_suffix)
    if not image_of:
        raise DataError(f"{images}: has no image{_ending(spec.image_suffix)}")
    absent = [id for id in image_of if id not in mask_of]
    if absent and (without_mask is None or len(absent) == len(image_of)):
        raise DataError(_no_mask(spec, images, masks, image_of, mask_of, absent))
    if without_mask is not None:
        without_mask += [images / image_of[id] for id in absent]
    paired = sorted(image_of.keys() - absent)
    return {id: Pair(images / image_of[id], masks / mask_of[id]) for id in paired}


def unused_masks(spec: DataSpec, split: str, tree: Tree) -> list[str]:
    """Return the masks of a split that belong to no image; none where a list names the pairs."""
    if spec.lists is not None:
        return []
    images, masks = (
        tree.folder(template.replace("{split}", split)) for template in (spec.images, spec.masks)
    )
    image_of = _by_id(images, _images(spec, tree, images, masks), spec.image_suffix)
    mask_of = _by_id(masks, _masks(spec, tree, images, masks), spec.mask_suffix)
    return [file for id, file in mask_of.items() if id not in image_of]


def _walk(folder: Path) -> Iterator[str]:
    def fail(error: OSError) -> None:
        raise error

    for place, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        folders[:] = [
            name
            for name in folders
            if not name.startswith((".", "__MACOSX")) and not _is_loop(Path(place, name))
        ]
        below = "" if place == str(folder) else f"{Path(place).relative_to(folder).as_posix()}/"
        for name in names:
            if name.lower().endswith(SUFFIXES):
                yield below + name


def _is_hidden(file: str) -> bool:
    return file.rpartition("/")[2].startswith(".")


def _is_loop(place: Path) -> bool:
    """Return whether a folder is a link to one that holds it."""
    return place.is_symlink() and place.resolve() in {above.resolve() for above in place.parents}


def _images(spec: DataSpec, tree: Tree, images: Path, masks: Path) -> list[str]:
    """Return the image files; in a folder that holds both, masks end in ``mask_suffix``."""
    files = [file for file in tree.files(images) if file.endswith(spec.image_suffix)]
    if images == masks and spec.mask_suffix:
        files = [file for file in files if not file.endswith(spec.mask_suffix)]
    return files


def _masks(spec: DataSpec, tree: Tree, images: Path, masks: Path) -> list[str]:
    files = [file for file in tree.files(masks) if file.endswith(spec.mask_suffix)]
    if images == masks and not spec.mask_suffix:
        raise DataError(
            f"{images}: images and masks are in one folder; give data.mask_suffix, the end of a "
            "mask's name"
        )
    return files


def _by_id(folder: Path, files: list[str], suffix: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in files:
        id = _checked(_id(file, suffix), folder, file)
        if id in found:
            raise DataError(
                f"{folder / file}: the same name as {found[id]}; rename or delete one of them"
            )
        found[id] = file
    twins: dict[str, str] = {}
    for id in found:
        if (other := twins.setdefault(id.lower(), id)) != id:
            raise DataError(
                f"{folder / found[id]}: differs from {found[other]} in upper and lower case alone, "
                "which many file systems cannot tell apart; rename one of them"
            )
    return found


def _checked(id: str, folder: Path, file: str) -> str:
    """Return the id; raises DataError if no file of a run can be named after it."""
    try:
        length = len(id.encode())
    except UnicodeEncodeError:
        shown = str(folder / file).encode(errors="backslashreplace").decode()
        raise DataError(f"{shown}: the name is not valid UTF-8; rename it") from None
    if length > LONGEST_ID:
        raise DataError(
            f"{folder / file}: the name has {length} bytes below its folder, at most "
            f"{LONGEST_ID} are supported; shorten it"
        )
    return id


def _id(file: str, suffix: str) -> str:
    """Return the id of a file: its relative path without the suffix, else without the extension."""
    name, dot, end = file.rpartition(".")
    if suffix or not dot or "/" in end:
        name = file.removesuffix(suffix)
    return name.replace("/", "__")


def _ending(suffix: str) -> str:
    return f" whose name ends in {suffix!r}" if suffix else f" file ({', '.join(SUFFIXES)})"


def _no_mask(
    spec: DataSpec,
    images: Path,
    masks: Path,
    image_of: dict[str, str],
    mask_of: dict[str, str],
    absent: list[str],
) -> str:
    first = image_of[absent[0]]
    wanted = absent[0] + (spec.mask_suffix or ".png")
    hint = ""
    if mask_of and not spec.mask_suffix and len(absent) == len(image_of):
        hint = f"; masks are called {some(list(mask_of.values()))}: data.mask_suffix says how"
    return (
        f"{masks}: no mask {wanted} for the image {images / first} ({len(absent)} of "
        f"{len(image_of)} images have none){hint or '; add it, or move the image elsewhere'}"
    )


def _listed(spec: DataSpec, split: str, tree: Tree, images: Path, masks: Path) -> dict[str, Pair]:
    """Return the pairs of a list file: an image's name, or image and mask, on each line."""
    assert spec.lists is not None
    assert tree.root is not None
    path = tree.root / spec.lists.replace("{split}", split)
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise DataError(
            f"{path}: the list of {split!r} cannot be read ({reason}); check data.lists"
        ) from None
    pairs: dict[str, Pair] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        image, mask = _pair_on(
            line.strip().replace("\\", "/"), spec, tree.root, images, masks, place
        )
        id = _checked(_id(_relative(image, images), spec.image_suffix), image.parent, image.name)
        if id in pairs:
            raise DataError(f"{place}: {id} is listed twice; delete one of the lines")
        pairs[id] = Pair(image, mask)
    if not pairs:
        raise DataError(f"{path}: the list is empty; write the name of an image on each line")
    return pairs


def _pair_on(
    line: str, spec: DataSpec, root: Path, images: Path, masks: Path, place: str
) -> tuple[Path, Path]:
    for between in ("\t", ",", " "):
        # A name may hold spaces: every one of them may end the image's path.
        for end in (index for index, letter in enumerate(line) if letter == between):
            image = _existing(line[:end].strip(), (root, images))
            mask = _existing(line[end + 1 :].strip(), (root, masks))
            if image and mask:
                return image, mask
    name = line.lstrip("/")
    image = _named(name, spec.image_suffix, (images, root))
    if image is None:
        shown = line if len(line) < 100 else f"{line[:97]}…"
        raise DataError(
            f"{place}: {shown!r} names no image in {images}; correct or delete the line"
        )
    id = _relative(image, images)
    id = id.removesuffix(spec.image_suffix) if spec.image_suffix else str(Path(id).with_suffix(""))
    mask = _named(id, spec.mask_suffix, (masks,))
    if mask is None:
        raise DataError(
            f"{place}: no mask {id}{spec.mask_suffix or '.png'} in {masks}; add it, or delete the "
            "line"
        )
    return image, mask


def _existing(name: str, places: tuple[Path, ...]) -> Path | None:
    """Return the file of that path below one of the places."""
    found = (place / name.lstrip("/") for place in places if name)
    return next((path for path in found if _holds(Path.is_file, path)), None)


def _holds(test: Callable[[Path], bool], path: Path) -> bool:
    """Return whether the test holds of a path; a name that is too long names nothing."""
    try:
        return test(path)
    except OSError:
        return False


def _named(name: str, suffix: str, places: tuple[Path, ...]) -> Path | None:
    """Return the file of that name, with or without its suffix, in one of the places."""
    if found := _existing(name, places):
        return found
    for ending in (suffix,) if suffix else (*SUFFIXES, *(s.upper() for s in SUFFIXES)):
        if found := _existing(name + ending, places):
            return found
    return None


def _relative(path: Path, folder: Path) -> str:
    """Return the path below ``folder``; its name if it lies elsewhere."""
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name

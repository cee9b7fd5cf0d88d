"""Read image files and masks; a message names every fault. No torch here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from bench.errors import DataError
from bench.iou import IGNORED

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def by_stem(folder: Path, suffixes: tuple[str, ...], owner: str) -> dict[str, Path]:
    """Return the files of a folder by stem, in order; raises DataError for none or a duplicate."""
    if not folder.is_dir():
        raise DataError(f"{folder}: the folder is missing; put {owner}'s files for it there")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in suffixes or path.name.startswith("."):
            continue
        if path.stem in files:
            raise DataError(f"{path}: the same name as {files[path.stem].name}; delete one of them")
        files[path.stem] = path
    if not files:
        raise DataError(f"{folder}: has no {', '.join(suffixes)} file; put {owner}'s files there")
    return files


def decode(path: Path) -> Image.Image:
    """Return the decoded image in its own mode; raises DataError if the file is damaged."""
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be decoded ({error}); fetch the file again") from None


def read_image(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """Return the pixels as RGB; raises DataError for a damaged file or an unusual mode."""
    image = decode(path)
    if image.mode not in ("RGB", "RGBA", "L", "P"):
        raise DataError(f"{path}: colour mode {image.mode} is not supported; save it as RGB")
    return np.array(image.convert("RGB"))


def check_sizes(
    image: UInt8[np.ndarray, "h w 3"],
    image_path: Path,
    label: UInt8[np.ndarray, "h2 w2"],
    path: Path,
) -> None:
    """Raise DataError if an image and the label in ``path`` differ in size."""
    if image.shape[:2] != label.shape:
        (height, width), (tall, wide) = label.shape, image.shape[:2]
        raise DataError(
            f"{path}: {width} x {height} pixels, its image {image_path.name} has {wide} x {tall}; "
            "resize one to the other"
        )


def check_labels(stored: UInt8[np.ndarray, "h w"], path: Path, last: int, hint: str = "") -> None:
    """Raise DataError if a value is neither 0 to ``last`` nor 255; ``hint`` ends the message."""
    wrong = (stored > last) & (stored != IGNORED)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise DataError(
            f"{path}: label {stored[row, column]} at row {row}, column {column} "
            f"({wrong.sum()} pixels like it); allowed are 0 to {last} and {IGNORED} (ignored){hint}"
        )


def resized(
    pixels: UInt8[np.ndarray, "*shape"], size: tuple[int, int] | None, method: Image.Resampling
) -> UInt8[np.ndarray, "*other_shape"]:
    """Return the pixels at ``size`` (height, width); unchanged if it is None."""
    if size is None or pixels.shape[:2] == size:
        return pixels
    height, width = size
    # PIL widens its filter where it shrinks, so a bilinear image is antialiased.
    return np.array(Image.fromarray(pixels).resize((width, height), method))


def some(names: list[str]) -> str:
    """Return the first three names, with an ellipsis if there are more."""
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")

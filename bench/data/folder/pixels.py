"""Image files of any usual form as RGB: grey, RGBA, 16 bits, TIFF, EXIF-rotated. No torch here."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from bench.errors import DataError

EIGHT_BIT = ("RGB", "RGBA", "L", "LA", "P", "PA", "1", "RGBX", "RGBa")
DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")
"""PIL's modes of one channel with more than 8 bits."""
ORIENTATION = 0x0112
"""EXIF's tag for how a camera was held."""


def open_image(path: Path) -> tuple[Image.Image, Image.Image]:
    """Return an image as its EXIF orientation shows it, and as it is stored.

    Raises DataError if the file is damaged.
    """
    return decoded(path, path)


def decoded(source: Path | io.BytesIO, path: Path) -> tuple[Image.Image, Image.Image]:
    """Return the same of a file or of its bytes; ``path`` names it in the message."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(source) as opened:
                opened.load()
                stored = opened
            shown = stored
            if stored.getexif().get(ORIENTATION, 1) != 1:
                shown = ImageOps.exif_transpose(stored)
            return shown, stored
    except (OSError, SyntaxError, ValueError, TypeError, Image.DecompressionBombError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(f"{path}: cannot be decoded ({reason}); replace the file") from None


def oriented_as(shown: Image.Image, stored: Image.Image, size: tuple[int, ...]) -> Image.Image:
    """Return the image as shown, or as stored if only that has the mask's (height, width).

    Most annotation tools show an image as its EXIF orientation says; a few ignore it.
    """
    if shown.size[::-1] != size and stored.size[::-1] == size:
        return stored
    return shown


def to_rgb(
    image: Image.Image, path: Path, levels: tuple[float, float] | None
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the pixels as RGB; transparency is dropped.

    Args:
        image: The decoded image.
        path: Its file, for the message.
        levels: Values that become 0 and 255 in an image with more than 8 bits per channel; None:
            0 and 65535.

    Raises:
        DataError: The colour mode is not supported.
    """
    if image.mode in DEEP:
        low, high = levels or (0.0, 65535.0)
        grey = (np.asarray(image, np.float32) - low) * (255.0 / (high - low))
        return np.repeat(np.clip(np.rint(grey), 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode not in EIGHT_BIT:
        raise DataError(f"{path}: colour mode {image.mode} is not supported; save it as RGB")
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")  # PIL warns if a palette with transparency becomes RGB
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))

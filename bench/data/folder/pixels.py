"""Image files of any usual form as RGB: grey, RGBA, 16 bits, TIFF, EXIF-rotated. No torch here."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from threading import Lock

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from bench.data.reading import refuse_special
from bench.errors import DataError, format_error

EIGHT_BIT = ("RGB", "RGBA", "L", "LA", "P", "PA", "1", "RGBX", "RGBa")
DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")
"""PIL's modes of one channel with more than 8 bits."""
ORIENTATION = 0x0112
"""EXIF's tag for how a camera was held."""
_FILTERS = Lock()
"""Held where warnings are switched off, which is not safe in several threads at once."""


def open_image(path: Path) -> tuple[Image.Image, Image.Image]:
    """Return an image as its EXIF orientation shows it, and as it is stored.

    Raises DataError if the file is damaged.
    """
    return decoded(path, path)


def decoded(source: Path | io.BytesIO, path: Path) -> tuple[Image.Image, Image.Image]:
    """Return the same of a file or of its bytes; ``path`` names it in the message."""
    try:
        with _opened(source) as opened:
            opened.load()
            return _as_shown(opened), opened
    except DataError:
        raise
    except Image.DecompressionBombError:
        raise DataError(
            f"{path}: says that it has more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels, the "
            "limit; cut it into parts"
        ) from None
    except UnidentifiedImageError:
        empty = isinstance(source, Path) and not source.stat().st_size
        reason = "the file is empty" if empty else "no image format is recognised"
        raise DataError(f"{path}: cannot be decoded ({reason}); replace the file") from None
    except OSError as error:
        if error.errno is not None:
            raise DataError(_unreadable(path, error)) from None
        raise DataError(f"{path}: cannot be decoded ({error}); replace the file") from None
    except Exception as error:  # the decoders raise errors of many kinds for damaged files
        raise DataError(
            f"{path}: cannot be decoded ({format_error(error)}); replace the file"
        ) from None


def _opened(source: Path | io.BytesIO) -> Image.Image:
    if isinstance(source, Path):
        refuse_special(source)
    # PIL warns of large images and of odd metadata, and neither decides the pixels.
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Image.open(source)


def _as_shown(stored: Image.Image) -> Image.Image:
    """Return the image as its EXIF orientation shows it; damaged EXIF data say nothing."""
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if stored.getexif().get(ORIENTATION, 1) == 1:
                return stored
            shown = ImageOps.exif_transpose(stored)
        except Exception:  # EXIF data are parsed without care for damage
            return stored
    shown.format = stored.format
    return shown


def _unreadable(path: Path, error: OSError) -> str:
    if path.is_symlink() and not path.exists():
        return f"{path}: is a link to {path.readlink()}, which is missing; mend or delete it"
    return f"{path}: cannot be read ({error.strerror}); check the file and its permissions"


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
        DataError: The colour mode is not supported, or floats have no ``levels``.
    """
    if image.mode in DEEP:
        stored = np.asarray(image, np.float32)
        if not np.isfinite(stored).all():
            raise DataError(f"{path}: holds values that are no numbers; replace the file")
        if image.mode == "F" and levels is None:
            raise DataError(
                f"{path}: stores floats, {stored.min():g} to {stored.max():g}; write "
                "data.image_range = [LOW, HIGH], the values that become black and white"
            )
        low, high = levels or (0.0, 65535.0)
        grey = (stored - low) * (255.0 / (high - low))
        return np.repeat(np.clip(np.rint(grey), 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode not in EIGHT_BIT:
        raise DataError(f"{path}: colour mode {image.mode} is not supported; save it as RGB")
    return np.asarray(without_alpha(image))


def without_alpha(image: Image.Image) -> Image.Image:
    """Return an image of 8 bits in mode RGB."""
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")  # PIL warns if a palette with transparency becomes RGB
    return image if image.mode == "RGB" else image.convert("RGB")

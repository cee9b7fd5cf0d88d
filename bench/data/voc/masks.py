"""VOC's masks as class indices: palette PNGs, and SBD's .mat files. No torch here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image

from bench.data.reading import check_labels, decode
from bench.errors import DataError

CLASSES = 21


def palette(count: int) -> UInt8[np.ndarray, "n 3"]:
    """Return the first ``count`` of VOC's 256 colours.

    Bit 3k + c of an index is bit 7 - k of channel c of its colour.
    """
    index = np.arange(count)
    channels = [sum(((index >> (3 * k + c)) & 1) << (7 - k) for k in range(3)) for c in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def read_mask(path: Path) -> UInt8[np.ndarray, "h w"]:
    """Return class indices 0 to 20, and 255 for ignored pixels; raises DataError for others."""
    return _read_mat(path) if path.suffix.lower() == ".mat" else _read_png(path)


def _read_png(path: Path) -> UInt8[np.ndarray, "h w"]:
    mask = decode(path)
    if mask.mode not in ("P", "L"):
        raise DataError(
            f"{path}: colour mode {mask.mode}, and VOC's masks are palette images of class "
            "indices; use the archive's file, not one that was opened as RGB and saved"
        )
    stored = np.array(mask)
    used = np.flatnonzero(np.bincount(stored.ravel()))
    check_labels(stored, path, CLASSES - 1, _grey_hint(used))
    if mask.mode == "P":
        _check_palette(mask, used, path)
    return stored


def _grey_hint(used: Int64[np.ndarray, " n"]) -> str:
    """Return a hint if all values are the greys of VOC's colours, else nothing."""
    greys = np.array(Image.fromarray(palette(256)[None]).convert("L"))[0, [*range(CLASSES), 255]]
    if not np.isin(used, greys).all():
        return ""
    return '; these are the greys of a palette mask after convert("L"): use the original'


def _check_palette(mask: Image.Image, used: Int64[np.ndarray, " n"], path: Path) -> None:
    """Raise DataError if an index has the colour of another class: it was renumbered."""
    flat = mask.getpalette("RGB") or []
    colours: Int64[np.ndarray, "m 3"] = np.array(flat, np.int64).reshape(-1, 3)
    usual = {tuple(colour): k for k, colour in enumerate(palette(CLASSES).tolist())}
    for index in used[used < min(CLASSES, len(colours))].tolist():
        shown = usual.get(tuple(colours[index].tolist()), index)
        if shown != index:
            raise DataError(
                f"{path}: index {index} has the colour of class {shown}: the palette was "
                "rebuilt when the mask was saved; use the archive's file"
            )


def _read_mat(path: Path) -> UInt8[np.ndarray, "h w"]:
    from scipy.io import loadmat

    try:
        content = loadmat(path)
        stored = content["GTcls"][0]["Segmentation"][0] if "GTcls" in content else None
    except Exception as error:  # a damaged file may raise anything
        reason = str(error) or type(error).__name__
        raise DataError(f"{path}: cannot be read ({reason}); fetch the file again") from None
    if stored is None:
        found = ", ".join(name for name in content if not name.startswith("__")) or "nothing"
        raise DataError(f"{path}: holds {found}, not GTcls; SBD's class masks are in dataset/cls")
    check_labels(stored, path, CLASSES - 1)
    return stored.astype(np.uint8)

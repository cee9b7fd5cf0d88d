"""Images inside the page, at a size that keeps the page one file."""

from __future__ import annotations

import base64
import io

from reports.model import Gallery, Tile

BUDGET = 3_000_000
"""Bytes of all images together, so that a report stays below 5 MB."""
WIDTHS = (320, 160, 80)
"""Widths in pixels to try, largest first."""


def data_uris(shown: Gallery | None) -> dict[Tile, str]:
    """Return every tile as a data URI, all at the largest width within ``BUDGET``."""
    examples = shown.examples if shown else ()
    tiles = [t for e in examples for t in (*e.given, *(tile for pair in e.rows for tile in pair))]
    found: dict[Tile, str] = {}
    for width in WIDTHS:
        found = {tile: data_uri(tile, width) for tile in tiles}
        if sum(map(len, found.values())) <= BUDGET:
            break
    return found


def data_uri(tile: Tile, width: int) -> str:
    """Return the tile as a data URI: a photo as JPEG, labels as PNG.

    Args:
        tile: The image.
        width: Largest width in pixels. A wider image is reduced, labels without mixing colours.
    """
    from PIL import Image

    image = Image.fromarray(tile.pixels)
    if image.width > width:
        how = Image.Resampling.LANCZOS if tile.photo else Image.Resampling.NEAREST
        image = image.resize((width, round(image.height * width / image.width)), how)
    out = io.BytesIO()
    if tile.photo:
        image.save(out, "JPEG", quality=88)
    else:
        # Labels have few colours: a palette takes a third of the bytes and loses nothing.
        colours = image.getcolors(256)
        kept = image.convert("P", palette=Image.Palette.ADAPTIVE) if colours else image
        kept.save(out, "PNG", optimize=True)
    kind = "jpeg" if tile.photo else "png"
    return f"data:image/{kind};base64," + base64.b64encode(out.getvalue()).decode()

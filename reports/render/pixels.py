"""Pictures inside a page: small enough that a report with dozens stays one file."""

from __future__ import annotations

import base64
import io

from reports.gallery import Tile


def data_uri(tile: Tile, width: int) -> str:
    """The tile as a data URI, a photo as JPEG, labels as PNG.

    What is wider than ``width`` pixels is made smaller, labels without mixing their colours.
    """
    from PIL import Image

    picture = Image.fromarray(tile.pixels)
    if picture.width > width:
        how = Image.Resampling.LANCZOS if tile.photo else Image.Resampling.NEAREST
        picture = picture.resize((width, round(picture.height * width / picture.width)), how)
    out = io.BytesIO()
    if tile.photo:
        picture.save(out, "JPEG", quality=88)
    else:
        # Labels have few colours: a palette is a third of the size and loses nothing.
        colours = picture.getcolors(256)
        kept = picture.convert("P", palette=Image.Palette.ADAPTIVE) if colours else picture
        kept.save(out, "PNG", optimize=True)
    kind = "jpeg" if tile.photo else "png"
    return f"data:image/{kind};base64," + base64.b64encode(out.getvalue()).decode()

"""Predictions side by side: the same images for every method, by a rule and not by hand."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.manifest import Table
from bench.rundir import read_json
from bench.tracking import fetch_artifact

if TYPE_CHECKING:
    import pandas as pd

IMAGES = 4
WIDTH = 320
"""Pixels; larger pictures are made smaller, labels without mixing their colours."""
BUDGET = 3_000_000
"""Bytes of all pictures together, so that a report stays below 5 MB."""


@dataclass(frozen=True)
class Tile:
    """One picture: what it shows, and its PNG as a data URI."""

    caption: str
    uri: str


@dataclass(frozen=True)
class Strip:
    """One image of the data set: itself, its truth, each method's prediction."""

    image_id: str
    tiles: tuple[Tile, ...]


def gallery(uri: str, frame: pd.DataFrame, table: Table, seed: int) -> list[Strip]:
    """The first images that the store holds, predicted by each row of ``table`` at ``seed``."""
    folders: dict[str, Path] = {}
    for row in table.rows:
        runs = frame.loc[(frame["label"] == row.label) & (frame["seed"] == seed), :]
        if runs["status"].iloc[0] == "finished":
            folder = fetch_artifact(uri, runs["mlflow_run_id"].iloc[0], "predictions")
            if folder is not None:
                folders[row.label] = folder
    if not folders:
        return []
    first = next(iter(folders.values()))
    ids = [file.name.removesuffix(".truth.png") for file in sorted(first.glob("*.truth.png"))]
    strips: list[Strip] = []
    for image_id in ids[:IMAGES]:
        pictures = {
            "Image": first / f"{image_id}.image.png",
            "Truth": first / f"{image_id}.truth.png",
        }
        pictures |= {label: path / f"{image_id}.prediction.png" for label, path in folders.items()}
        tiles = [Tile(name, _data_uri(path)) for name, path in pictures.items() if path.exists()]
        strips.append(Strip(image_id, tuple(tiles)))
        if sum(len(tile.uri) for strip in strips for tile in strip.tiles) > BUDGET:
            return strips[:-1]
    return strips


def legend(uri: str, frame: pd.DataFrame) -> dict[str, str]:
    """The colour of each class in the predictions, "#rrggbb"; empty where no run has finished."""
    for run in frame.loc[frame["status"] == "finished", "mlflow_run_id"]:
        file = fetch_artifact(uri, run, "result.json")
        result = read_json(file) if file else None
        if result:
            colours = ("#" + bytes(colour).hex() for colour in result.get("palette", ()))
            return dict(zip(result["classes"], colours, strict=False))
    return {}


def _data_uri(file: Path) -> str:
    from PIL import Image

    with Image.open(file) as opened:
        picture = opened.convert("RGB")
    if picture.width > WIDTH:
        photo = file.name.endswith(".image.png")
        how = Image.Resampling.LANCZOS if photo else Image.Resampling.NEAREST
        picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), how)
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()

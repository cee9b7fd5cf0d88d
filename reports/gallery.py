"""The paper's Figure 2: predictions side by side, for images chosen by a rule and not by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from bench.files import read_json
from bench.manifest import Row, TableSpec
from bench.store.reading import fetch_artifact
from bench.store.sqlite import local_file
from reports.statistics.image_counts import ImageCounts
from reports.statistics.scores import Scores
from reports.tables import base_row
from reports.wording import MINUS

if TYPE_CHECKING:
    import pandas as pd

IMAGES = 4
GAINED, LOST, BOTH = "#0077BB", "#EE7733", "#BBBBBB"
DIFFERENCES = {
    "{base} wrong, this right": GAINED,
    "{base} right, this wrong": LOST,
    "both wrong": BOTH,
}
COLOUR_NAMES = {GAINED: "blue", LOST: "orange", BOTH: "grey"}
Pixels = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True, eq=False)
class Tile:
    """One picture and what it shows; ``photo`` says that its colours may be mixed."""

    caption: str
    pixels: Pixels
    photo: bool = False


@dataclass(frozen=True)
class Strip:
    """One image of the data set: itself and its truth, each row's prediction and difference."""

    image_id: str
    remark: str
    """Why it is here: its gain, and where that lies among all images."""
    given: tuple[Tile, ...]
    rows: tuple[tuple[Tile, Tile], ...]
    """Prediction and difference, by row of the table."""


@dataclass(frozen=True)
class Gallery:
    """The strips, the rule that chose them, and what the colours mean."""

    rule: str
    strips: tuple[Strip, ...]
    legend: dict[str, str]
    """Colour of each class, "#rrggbb"."""
    differences: dict[str, str]

    @property
    def colour_names(self) -> tuple[str, ...]:
        """The differences' colours in words."""
        return tuple(f"{COLOUR_NAMES[colour]} {what}" for what, colour in self.differences.items())


@dataclass(frozen=True)
class _Kept:
    row: Row
    run_id: str
    folder: Path


def gallery(uri: str, scores: Scores, table: TableSpec) -> Gallery | None:
    """What the runs of ``table`` predicted; None where no finished run kept a prediction."""
    for seed in scores.manifest.seeds:
        kept = _kept(uri, scores.frame, table, seed)
        if kept:
            return _gallery(uri, scores, kept, seed)
    return None


def gain_by_image(ours: ImageCounts | None, base: ImageCounts | None) -> dict[str, float]:
    """Percentage points of each image's own mIoU that one run gains over another, lowest first.

    Empty where one of the two kept no matrices, or of other images.
    """
    if ours is None or base is None or ours.ids != base.ids:
        return {}
    gains = dict(zip(ours.ids, 100 * (ours.of_images - base.of_images), strict=True))
    known = {image: float(gain) for image, gain in gains.items() if np.isfinite(gain)}
    return dict(sorted(known.items(), key=lambda pair: (pair[1], pair[0])))


def choose(ids: Sequence[str], count: int) -> list[str]:
    """``count`` of the ``ids`` at even quantiles, the first and the last among them."""
    if len(ids) <= count:
        return [*ids]
    places = np.linspace(0, len(ids) - 1, count).round().astype(int)
    return [ids[int(place)] for place in places]


def difference_map(truth: Pixels, base: Pixels, ours: Pixels) -> Pixels:
    """White where both are right or the truth is ignored (white), else by DIFFERENCES."""
    scored = (truth != 255).any(-1)
    wrong_base, wrong_ours = ((picture != truth).any(-1) & scored for picture in (base, ours))
    found = np.full_like(truth, 255)
    found[wrong_base & ~wrong_ours] = _rgb(GAINED)
    found[wrong_ours & ~wrong_base] = _rgb(LOST)
    found[wrong_base & wrong_ours] = _rgb(BOTH)
    return found


def _gallery(uri: str, scores: Scores, kept: list[_Kept], seed: int) -> Gallery:
    base = _base(kept)
    hero = _leader(scores, [k for k in kept if k is not base]) or base
    first = kept[0].folder
    ids = [file.name.removesuffix(".truth.png") for file in sorted(first.glob("*.truth.png"))]
    ids = [i for i in ids if all((k.folder / f"{i}.prediction.png").exists() for k in kept)]
    counts = scores.images.runs
    gains = gain_by_image(counts.get(hero.run_id), counts.get(base.run_id))
    ranked = [image for image in gains if image in ids]
    if hero is base or not ranked:
        rule = f"The first of the {len(ids)} images that every run keeps, at seed {seed}."
        remarks = dict.fromkeys(ids[:IMAGES], "")
    else:
        rule = (
            f"Every run keeps its predictions of {len(ids)} fixed images, evenly spaced over the "
            f"split. Shown are those at even quantiles of the gain in per-image mIoU of "
            f"{hero.row.label} over {base.row.label} at seed {seed}, lowest first. Beside each "
            f"stands its gain and its place among all {len(gains)} images."
        )
        order = list(gains)
        remarks = {
            image: f"{_signed(gains[image])} points, {order.index(image) + 1} of {len(gains)}"
            for image in choose(ranked, IMAGES)
        }
    strips = []
    for image, remark in remarks.items():
        try:
            strips.append(_strip(image, remark, kept, base))
        except OSError as error:
            rule += f" {image} is not shown: {error}."
    return Gallery(
        rule=rule,
        strips=tuple(strips),
        legend=legend(uri, scores.frame),
        differences={k.format(base=base.row.label): v for k, v in DIFFERENCES.items()},
    )


def _strip(image_id: str, remark: str, kept: list[_Kept], base: _Kept) -> Strip:
    first = kept[0].folder
    truth = _read(first / f"{image_id}.truth.png")
    predictions = {k.row.label: _read(k.folder / f"{image_id}.prediction.png") for k in kept}
    rows = []
    under, name = predictions[base.row.label], base.row.label
    for label, prediction in predictions.items():
        what = f"Errors of {label}" if label == name else f"{label} against {name}"
        rows.append((Tile(label, prediction), Tile(what, difference_map(truth, under, prediction))))
    photo = first / f"{image_id}.image.png"
    given = [Tile("Image", _read(photo), photo=True)] if photo.exists() else []
    return Strip(image_id, remark, (*given, Tile("Truth", truth)), tuple(rows))


def _kept(uri: str, frame: pd.DataFrame, table: TableSpec, seed: int) -> list[_Kept]:
    """The rows of ``table`` whose finished run at ``seed`` kept predictions."""
    found = []
    for row in {row.label: row for row in table.rows}.values():
        runs = frame.loc[(frame["label"] == row.label) & (frame["seed"] == seed), :]
        if runs["status"].iloc[0] != "finished":
            continue
        folder = _artifact(uri, runs.iloc[0], "predictions")
        if folder is not None and any(folder.glob("*.prediction.png")):
            found.append(_Kept(row, str(runs["run_id"].iloc[0]), folder))
    return found


def _base(kept: list[_Kept]) -> _Kept:
    row = base_row([k.row for k in kept])
    return next(k for k in kept if k.row is row)


def _leader(scores: Scores, kept: list[_Kept]) -> _Kept | None:
    found = [(scores.of(k.row.label, "miou").values(), k) for k in kept]
    means = [(fmean(values), k) for values, k in found if values]
    return max(means, key=lambda pair: pair[0])[1] if means else None


def legend(uri: str, frame: pd.DataFrame) -> dict[str, str]:
    """The colour of each class in the predictions, "#rrggbb"; empty where no run has finished."""
    for _, run in frame.loc[frame["status"] == "finished", :].iterrows():
        file = _artifact(uri, run, "result.json")
        result = read_json(file) if file else None
        if result:
            colours = ("#" + bytes(colour).hex() for colour in result.get("palette", ()))
            return dict(zip(result["classes"], colours, strict=False))
    return {}


def _artifact(uri: str, run: pd.Series, path: str) -> Path | None:
    place = str(run["artifact_uri"] or "")
    if place.startswith("file:"):
        return local_file(place, path)
    return fetch_artifact(uri, str(run["mlflow_run_id"]), path)


def _read(file: Path) -> Pixels:
    from PIL import Image

    with Image.open(file) as opened:
        return np.asarray(opened.convert("RGB"))


def _signed(gain: float) -> str:
    return f"{gain:+.2f}".replace("-", MINUS)


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))

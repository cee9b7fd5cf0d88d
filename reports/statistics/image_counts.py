"""What each run got right image by image, from its stored per-image confusion matrices."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64, Int64

from bench.errors import DataError
from bench.files import write_whole
from bench.iou import mean_known
from bench.store.client import StoreError
from bench.store.reading import fetch_artifact
from bench.store.sqlite import local_file
from reports.statistics.stats import Comparison, compare

if TYPE_CHECKING:
    import pandas as pd

FILE = "confusion.npz"
ROUNDED = 1.1e-5
"""The store keeps scores to five places."""


@dataclass(frozen=True, eq=False)
class ImageCounts:
    """Pixels of each image and class: rightly predicted, and true or predicted (their union)."""

    ids: tuple[str, ...]
    hits: Int64[np.ndarray, "images k"]
    unions: Int64[np.ndarray, "images k"]

    @cached_property
    def score(self) -> float:
        """The data set's mIoU in percent, as VOC has it: pixels of all images in one matrix."""
        return 100 * mean_known(self._iou)

    @cached_property
    def image_score(self) -> float:
        """Mean over images of the mIoU of the classes that an image shows, in percent."""
        return 100 * mean_known(self.of_images)

    @cached_property
    def influence(self) -> Float64[np.ndarray, " images"]:
        """By how many points each image moves ``score``, times their number; their mean is zero.

        The first term of the score's expansion (the infinitesimal jackknife).
        """
        known = ~np.isnan(self._iou)
        pull = self.hits[:, known] - self._iou[known] * self.unions[:, known]
        return 100 * len(self.ids) * (pull / self.unions[:, known].sum(0)).mean(1)

    @cached_property
    def image_influence(self) -> Float64[np.ndarray, " images"]:
        """The same for ``image_score``."""
        return 100 * np.nan_to_num(self.of_images - mean_known(self.of_images))

    @cached_property
    def _iou(self) -> Float64[np.ndarray, " k"]:
        return _ratio(self.hits.sum(0), self.unions.sum(0))

    @cached_property
    def of_images(self) -> Float64[np.ndarray, " images"]:
        """The mIoU of each image in 0..1; NaN where it shows no class."""
        shown = self.unions > 0
        total = np.nan_to_num(_ratio(self.hits, self.unions)).sum(1)
        return _ratio(total, shown.sum(1))


@dataclass(frozen=True)
class Images:
    """The counts of a study's finished runs by run id, and why some are not there."""

    runs: Mapping[str, ImageCounts] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def shared(self, run_ids: Iterable[str]) -> tuple[str, ...] | None:
        """The images that all of these runs have counts of; None where one has not, or others."""
        ids = {self.runs[run].ids if run in self.runs else None for run in run_ids}
        return ids.pop() if len(ids) == 1 else None


def compare_images(
    pairs: Sequence[tuple[Mapping[int, ImageCounts], Mapping[int, ImageCounts]]],
    seeds: Sequence[int],
    by_image: bool = False,
) -> Comparison | None:
    """Ours - theirs in the data set's mIoU, or in the mean of the images', as mean over ``pairs``.

    All counts must be of the same images; the interval speaks of others like them too.
    """
    if not seeds:
        return None
    score, pull = ("image_score", "image_influence") if by_image else ("score", "influence")

    def mean(name: str, side: int, seed: int) -> Any:
        return sum(getattr(pair[side][seed], name) for pair in pairs) / len(pairs)

    ours, theirs = ({seed: mean(score, side, seed) for seed in seeds} for side in (0, 1))
    influence = [mean(pull, 0, seed) - mean(pull, 1, seed) for seed in seeds]
    return compare(ours, theirs, np.stack(influence))


def read_images(uri: str, frame: pd.DataFrame, metric: str, cache: Path | None = None) -> Images:
    """The per-image counts of every finished run in ``frame``, for the data set's ``metric``.

    ``cache`` is a folder in which counts that came over a network are kept by digest. A run whose
    matrices are missing, torn, or do not add up to its own score is left out with a note.
    """
    runs: dict[str, ImageCounts] = {}
    faults: dict[str, list[str]] = {}
    finished = frame.loc[frame["status"] == "finished", :].drop_duplicates("run_id")
    for run in finished.to_dict("records"):
        try:
            counts = _read(uri, run, metric, cache)
            stored = run.get(f"final/{metric}")
            if stored is None or not abs(counts.score / 100 - stored) <= ROUNDED:
                raise DataError("its matrices do not add up to its score")
            runs[run["run_id"]] = counts
        except (DataError, StoreError) as error:
            faults.setdefault(str(error), []).append(f"{run['label']}, seed {run['seed']}")
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            why = f"{FILE} is torn"
            faults.setdefault(why, []).append(f"{run['label']}, seed {run['seed']}")
    return Images(
        runs,
        tuple(f"No per-image matrices of {_some(names)}: {why}." for why, names in faults.items()),
    )


def image_counts(
    ids: tuple[str, ...], matrices: Int64[np.ndarray, "images k k"], metric: str
) -> ImageCounts:
    """Counts from pixel counts [truth, prediction] of each image.

    A metric ``…_<n>`` is scored at pixels of the first n classes alone, as "miou_11" is.
    """
    given = re.search(r"_(\d+)$", metric)
    kept = min(int(given[1]), matrices.shape[-1]) if given else matrices.shape[-1]
    labelled = matrices[:, :kept, :].astype(np.int64)
    hits = np.diagonal(labelled, axis1=1, axis2=2)
    unions = labelled.sum(2) + labelled[:, :, :kept].sum(1) - hits
    return ImageCounts(ids, hits, unions)


def _read(uri: str, run: Mapping[str, Any], metric: str, cache: Path | None) -> ImageCounts:
    file = _file(uri, run, cache)
    if file is None:
        raise DataError(f"the store has no {FILE}")
    with np.load(file) as stored:
        ids, matrices = stored["ids"], stored["matrices"]
    if matrices.ndim != 3 or matrices.shape[1] != matrices.shape[2] or len(ids) != len(matrices):
        raise DataError(f"{FILE} holds no matrix for each image")
    return image_counts(tuple(map(str, ids)), matrices, metric)


def _file(uri: str, run: Mapping[str, Any], cache: Path | None) -> Path | None:
    place = str(run.get("artifact_uri") or "")
    if place.startswith("file:"):
        return local_file(place, FILE)
    digest = run.get("result")
    kept = cache / f"{digest}.npz" if cache and isinstance(digest, str) and digest else None
    if kept and kept.exists():
        return kept
    fetched = fetch_artifact(uri, run["mlflow_run_id"], FILE)
    if fetched and kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_whole(kept, lambda path: path.write_bytes(fetched.read_bytes()))
    return fetched


def _ratio(hits: np.ndarray, unions: np.ndarray) -> np.ndarray:
    return np.divide(hits, unions, out=np.full(hits.shape, np.nan), where=unions > 0)


def _some(names: list[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return "; ".join(names[:most]) + more

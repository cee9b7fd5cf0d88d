"""What a report knows of each run: its line in the runs frame, and its pixel counts per image.

The runs frame is a pandas frame with one line for each row and seed of a study. A run that never
started has a line too, with status "queued". Columns:

- label, method, seed, run_id; each setting under its own name, such as "loss.pooling";
- status, reason, role, updated (seconds since the epoch);
- mlflow_run_id, artifact_uri, result (digest of result.json);
- probed ("yes" if the run recorded how its parts behave); behaves (the parts, such as "loss", in
  which it behaves differently from the code at hand);
- final/<metric> and iou/<class>, in 0..1; cost/<cost>, in the cost's own unit;
- digest/<name>.

Scores and their comparison follow from the pixel counts of images.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64, Int64

from bench.files import read_json
from bench.iou import mean_known
from bench.store.sqlite import local_file
from reports.statistics.stats import Comparison, compare, percent

if TYPE_CHECKING:
    import pandas as pd

# Digests in which the runs of one seed, of the study, and of one loss must agree.
PER_SEED = ("init", "order", "augment")
PER_STUDY = ("train_data", "data", "code", "env")
PER_LOSS = ("plugin",)


@dataclass(frozen=True)
class Check:
    """Whether the runs of one seed, or of the whole study, agree in one digest."""

    name: str
    seed: int | None
    """None where all runs of the study must agree."""
    value: str | None
    """The digest that most runs have; None where no run has one."""
    odd: tuple[tuple[str, int], ...]
    """Label and seed of each run that differs."""
    values: tuple[str, ...] = ()
    """The digests of those runs."""
    details: tuple[str, ...] = ()
    """The difference in words, where it is known: "torch 2.11.0 against 2.15.0"."""


def values(frame: pd.DataFrame, label: str, column: str) -> dict[int, float]:
    """Return by seed what the finished runs of row ``label`` have in ``column``, as stored."""
    if column not in frame:
        return {}
    ours = (frame["label"] == label) & (frame["status"] == "finished") & frame[column].notna()
    rows = frame.loc[ours, :]
    return {int(seed): float(v) for seed, v in zip(rows["seed"], rows[column], strict=True)}


def class_names(frame: pd.DataFrame) -> list[str]:
    """Return the names of the classes on which any run was scored."""
    return [column.removeprefix("iou/") for column in frame if column.startswith("iou/")]


def checks(frame: pd.DataFrame) -> list[Check]:
    """Return a check for each digest of a seed, of the study and of a loss."""
    found = []
    for name in PER_SEED:
        for seed in sorted(frame["seed"].unique()):
            found.append(_check(frame.loc[frame["seed"] == seed, :], name, int(seed)))
    found += [_check(frame, name, None) for name in PER_STUDY]
    losses = [rows for _, rows in frame.groupby("loss.name")] if "loss.name" in frame else []
    found += [_check(rows, name, None) for rows in losses for name in PER_LOSS]
    found = [check for check in found if check.name not in PER_LOSS or check.value]
    return [*found, *_behaviour_check(frame)]


def _behaviour_check(frame: pd.DataFrame) -> list[Check]:
    """Return the runs that behave differently from the code at hand; nothing without one."""
    if "behaves" not in frame:
        return []
    odd = frame.loc[frame["behaves"].notna(), :]
    if odd.empty:
        return []
    rows = tuple((label, int(s)) for label, s in zip(odd["label"], odd["seed"], strict=True))
    details = tuple(f"of the {parts} is not that of the code at hand" for parts in odd["behaves"])
    return [Check("behaviour", None, None, rows, tuple(map(str, odd["run_id"])), details)]


def environment_difference(artifact_uri: str | None, other: str | None) -> str:
    """Return in words how the environments of two runs differ; "" where that is not known.

    Args:
        artifact_uri: Folder of one run's artifacts.
        other: Folder of the other run's artifacts.
    """
    ours, theirs = _environment(artifact_uri), _environment(other)
    keys = [key for key in dict.fromkeys([*ours, *theirs]) if ours.get(key) != theirs.get(key)]
    return ", ".join(f"{key} {ours.get(key)} against {theirs.get(key)}" for key in keys)


def _environment(artifact_uri: str | None) -> dict[str, object]:
    file = local_file(artifact_uri or "", "env.json")
    facts = read_json(file) if file else None
    if not isinstance(facts, dict):
        return {}
    packages = facts.get("packages")
    named = ("python", "machine", "device", "threads")
    return {key: facts.get(key) for key in named} | (packages if isinstance(packages, dict) else {})


def _check(rows: pd.DataFrame, name: str, seed: int | None) -> Check:
    column = f"digest/{name}"
    known = rows.loc[rows[column].notna(), :] if column in rows else rows.iloc[:0, :]
    if known.empty:
        return Check(name, seed, None, ())
    # Each run counts once, however many rows show it.
    value = known.drop_duplicates(["run_id"])[column].mode().iloc[0]
    odd = known.loc[known[column] != value, :]
    details: tuple[str, ...] = ()
    if name == "env" and len(odd) and "artifact_uri" in known:
        usual = known.loc[known[column] == value, "artifact_uri"].iloc[0]
        details = tuple(environment_difference(uri, usual) for uri in odd["artifact_uri"])
    return Check(
        name=name,
        seed=seed,
        value=str(value),
        odd=tuple((label, int(s)) for label, s in zip(odd["label"], odd["seed"], strict=True)),
        values=tuple(map(str, odd[column])),
        details=details if all(details) else (),
    )


@dataclass(frozen=True, eq=False)
class ImageCounts:
    """Pixel counts of one run for each image and class."""

    ids: tuple[str, ...]
    hits: Int64[np.ndarray, "images k"]
    """Pixels of the class that were predicted as the class."""
    unions: Int64[np.ndarray, "images k"]
    """Pixels that are of the class or were predicted as it."""

    @cached_property
    def score(self) -> float:
        """The data set's mIoU in percent, as VOC defines it: all images in one matrix."""
        return percent(mean_known(self._iou))

    @cached_property
    def image_score(self) -> float:
        """Mean over images of each image's own mIoU, in percent."""
        return percent(mean_known(self.of_images))

    @cached_property
    def influence(self) -> Float64[np.ndarray, " images"]:
        """How much each image moves ``score``, in percentage points times the number of images.

        This is the first term of the score's expansion (the infinitesimal jackknife); its mean is
        zero.
        """
        known = ~np.isnan(self._iou)
        pull = self.hits[:, known] - self._iou[known] * self.unions[:, known]
        return 100 * len(self.ids) * (pull / self.unions[:, known].sum(0)).mean(1)

    @cached_property
    def image_influence(self) -> Float64[np.ndarray, " images"]:
        """The same as ``influence`` for ``image_score``."""
        return percent(np.nan_to_num(self.of_images - mean_known(self.of_images)))

    @cached_property
    def of_images(self) -> Float64[np.ndarray, " images"]:
        """The mIoU of each image over the classes that it shows, in 0..1; NaN without a class."""
        shown = self.unions > 0
        total = np.nan_to_num(_ratio(self.hits, self.unions)).sum(1)
        return _ratio(total, shown.sum(1))

    @cached_property
    def _iou(self) -> Float64[np.ndarray, " k"]:
        return _ratio(self.hits.sum(0), self.unions.sum(0))


@dataclass(frozen=True)
class StudyCounts:
    """The counts of a study's finished runs."""

    runs: Mapping[str, ImageCounts] = field(default_factory=dict)
    """By run id."""
    notes: tuple[str, ...] = ()
    """Which runs have no counts, and why."""

    def shared_ids(self, run_ids: Iterable[str]) -> tuple[str, ...] | None:
        """Return the image ids that all of these runs have counts of; None where they differ."""
        ids = {self.runs[run].ids if run in self.runs else None for run in run_ids}
        return ids.pop() if len(ids) == 1 else None


def image_counts(
    ids: tuple[str, ...], matrices: Int64[np.ndarray, "images k k"], metric: str
) -> ImageCounts:
    """Return the counts of one run from its confusion matrices.

    Args:
        ids: Id of each image.
        matrices: Pixel counts [truth, prediction] of each image.
        metric: The metric of the data set. "miou_<n>" scores the pixels of the first n classes
            alone, any other name those of all classes.
    """
    given = re.search(r"_(\d+)$", metric)
    kept = min(int(given[1]), matrices.shape[-1]) if given else matrices.shape[-1]
    labelled = matrices[:, :kept, :].astype(np.int64)
    hits = np.diagonal(labelled, axis1=1, axis2=2)
    unions = labelled.sum(2) + labelled[:, :, :kept].sum(1) - hits
    return ImageCounts(ids, hits, unions)


def compare_images(
    pairs: Sequence[tuple[Mapping[int, ImageCounts], Mapping[int, ImageCounts]]],
    seeds: Sequence[int],
    by_image: bool = False,
) -> Comparison | None:
    """Return ours - theirs in mIoU, with an interval that covers other images too.

    Args:
        pairs: Counts by seed, (ours, theirs) for each pair of rows; the result is the mean over
            the pairs. All counts must be of the same images.
        seeds: The seeds to pair by; every mapping must hold them.
        by_image: Compare the mean of the images' own mIoU instead of the data set's.

    Returns:
        The comparison in percentage points; None without a seed.
    """
    if not seeds:
        return None

    def mean(value: Callable[[ImageCounts], Any], side: int, seed: int) -> Any:
        return sum(value(pair[side][seed]) for pair in pairs) / len(pairs)

    def score(counts: ImageCounts) -> float:
        return counts.image_score if by_image else counts.score

    def influence(counts: ImageCounts) -> Float64[np.ndarray, " images"]:
        return counts.image_influence if by_image else counts.influence

    ours, theirs = ({seed: mean(score, side, seed) for seed in seeds} for side in (0, 1))
    moved = [mean(influence, 0, seed) - mean(influence, 1, seed) for seed in seeds]
    return compare(ours, theirs, np.stack(moved))


def gain_by_image(ours: ImageCounts | None, base: ImageCounts | None) -> dict[str, float]:
    """Return the gain of one run over another in each image's own mIoU, lowest first.

    Args:
        ours: Counts of our run; None where it has none.
        base: Counts of the other run; None where it has none.

    Returns:
        Percentage points by image id; empty where a run has no counts, or of other images.
    """
    if ours is None or base is None or ours.ids != base.ids:
        return {}
    gains = dict(zip(ours.ids, percent(ours.of_images - base.of_images), strict=True))
    known = {image: float(gain) for image, gain in gains.items() if np.isfinite(gain)}
    return dict(sorted(known.items(), key=lambda pair: (pair[1], pair[0])))


def _ratio(hits: np.ndarray, unions: np.ndarray) -> np.ndarray:
    return np.divide(hits, unions, out=np.full(hits.shape, np.nan), where=unions > 0)

"""What a report reads from the store: the runs frame, training curves, and files that runs left."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import DataError, nearest
from bench.files import read_json, write_whole
from bench.manifest import IMPORTED, Manifest, Row, TableSpec
from bench.store.client import StoreError
from bench.store.reading import (
    RunRecord,
    StudyRecord,
    fetch_artifact,
    read_histories,
    read_runs,
    read_study,
    study_names,
)
from bench.store.sqlite import local_file
from reports.figures.gallery import Predictions
from reports.runs import ImageCounts, StudyCounts, image_counts
from reports.sentences.notes import NO_MATRICES
from reports.statistics.scores import Scores
from reports.wording import listed

if TYPE_CHECKING:
    import pandas as pd

GROUPS = ("final/", "iou/", "cost/")
Histories = dict[tuple[str, str], list[tuple[int, float]]]
"""(step, value) pairs by MLflow's run id and the metric's name."""
MATRICES = "confusion.npz"
COUNTS = "counts.npz"
"""Holds the images of an imported run, for which the store has no matrices."""
ROUNDED = 1.1e-5
"""Tolerance between a stored score and its matrices: the store keeps scores to five places."""


def read_frame(uri: str, study: str, profile: str) -> tuple[StudyRecord, pd.DataFrame]:
    """Return the study's record in the store and its runs frame.

    Args:
        uri: Address of the store.
        study: Name of the study.
        profile: Name of the profile that it ran on.

    Raises:
        StoreError: The store does not hold the study.
    """
    record = read_study(uri, study, profile)
    if record is None:
        raise StoreError(_missing_study(uri, study, profile))
    return record, frame_of(record.manifest, read_runs(uri, record))


def read_scores(
    uri: str, study: str, profile: str, *, cache: Path | None = None
) -> tuple[StudyRecord, Scores]:
    """Return the study's record in the store and its scores, with per-image counts.

    Args:
        uri: Address of the store.
        study: Name of the study.
        profile: Name of the profile that it ran on.
        cache: Folder that keeps, by digest, the files that came over a network.

    Raises:
        StoreError: The store does not hold the study.
    """
    record, frame = read_frame(uri, study, profile)
    imported = record.manifest.role == IMPORTED
    counts = (
        read_imported_counts(uri, frame, cache)
        if imported
        else read_counts(uri, frame, record.manifest.metric, cache)
    )
    return record, Scores(record.manifest, frame, counts)


def read_training(
    uri: str, frame: pd.DataFrame, table: TableSpec, keys: Sequence[str]
) -> Histories:
    """Return the curves of the metrics ``keys`` for every training in a table's rows."""
    labels = [row.label for row in table.rows]
    runs = frame.loc[frame["label"].isin(labels) & frame["role"].isin(["train", "tune"]), :]
    return read_histories(uri, list(runs["mlflow_run_id"]), keys)


def frame_of(manifest: Manifest, runs: list[RunRecord]) -> pd.DataFrame:
    """Return the runs frame of a manifest, filled from the runs in the store."""
    import pandas as pd

    by_id = {run.run_id: run for run in runs}
    lines = []
    for row in manifest.rows.values():
        for seed, run_id in zip(manifest.seeds, row.run_ids, strict=True):
            line = {"label": row.label, "method": row.method, "seed": seed, "run_id": run_id}
            lines.append(line | _outcome(by_id.get(run_id)) | row.settings)
    frame = pd.DataFrame(lines)
    scored = [f"iou/{name}" for name in _class_order(runs) if f"iou/{name}" in frame]
    return frame.loc[:, [column for column in frame if column not in scored] + scored]


def _missing_study(uri: str, study: str, profile: str) -> str:
    known = study_names(uri)
    hint = "run it first"
    if f"{study}/{profile}" in known:
        hint = "its files are missing from the store; segloss sync writes them again"
    elif near := nearest(f"{study}/{profile}", known):
        other, _, its_profile = near.rpartition("/")
        hint = f"did you mean {other!r} on {its_profile!r}?"
    return f"no study {study!r} on profile {profile!r} in {uri}; {hint}"


def _class_order(runs: list[RunRecord]) -> list[str]:
    names = (json.loads(run.tags.get("segloss.classes", "[]")) for run in runs)
    return list(dict.fromkeys(name for some in names for name in some))


def _outcome(run: RunRecord | None) -> dict[str, object]:
    if run is None:
        unknown = (
            *("mlflow_run_id", "artifact_uri", "result", "role", "reason", "updated"),
            *("probed", "behaves"),
        )
        return {**dict.fromkeys(unknown), "status": "queued"}
    digests = {
        f"digest/{key.removeprefix('segloss.digest.')}": value
        for key, value in run.tags.items()
        if key.startswith("segloss.digest.")
    }
    metrics = {key: value for key, value in run.metrics.items() if key.startswith(GROUPS)}
    return {
        "mlflow_run_id": run.mlflow_run_id,
        "artifact_uri": run.artifact_uri,
        "result": run.tags.get("segloss.result"),
        "role": run.role,
        "status": run.status,
        "reason": run.reason,
        "updated": float(run.tags.get("segloss.updated", "nan")),
        "probed": run.tags.get("segloss.probed"),
        "behaves": run.tags.get("segloss.kept") or None,
        **metrics,
        **digests,
    }


def read_predictions(
    uri: str, frame: pd.DataFrame, rows: Sequence[Row], seed: int
) -> list[Predictions]:
    """Return the kept predictions of each of ``rows`` whose run at ``seed`` has finished."""
    found = []
    for row in rows:
        run = frame.loc[(frame["label"] == row.label) & (frame["seed"] == seed), :].iloc[0]
        if run["status"] != "finished":
            continue
        folder = _artifact(uri, run, "predictions")
        if folder is not None and any(folder.glob("*.prediction.png")):
            found.append(Predictions(row, str(run["run_id"]), folder))
    return found


def class_colours(uri: str, frame: pd.DataFrame) -> dict[str, str]:
    """Return the colour of each class in predictions, "#rrggbb"; empty if no run has finished."""
    for _, run in frame.loc[frame["status"] == "finished", :].iterrows():
        file = _artifact(uri, run, "result.json")
        result = read_json(file) if file else None
        if result:
            colours = ("#" + bytes(colour).hex() for colour in result.get("palette", ()))
            return dict(zip(result["classes"], colours, strict=False))
    return {}


def read_environments(uri: str, frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return the content of env.json for each environment of the finished runs, by its digest."""
    if "digest/env" not in frame:
        return {}
    done = frame.loc[frame["digest/env"].notna(), :].drop_duplicates("digest/env")
    found = {}
    for run in done.to_dict("records"):
        file = _artifact(uri, run, "env.json")
        facts = read_json(file) if file else None
        if isinstance(facts, dict):
            found[str(run["digest/env"])] = facts
    return found


def read_counts(
    uri: str, frame: pd.DataFrame, metric: str, cache: Path | None = None
) -> StudyCounts:
    """Return the per-image counts of every finished run in ``frame``.

    A run whose matrices are missing, damaged, or do not add up to its own score is left out, and a
    note names it.

    Args:
        uri: Address of the store.
        frame: The runs frame.
        metric: The metric of the data set, such as "miou_11".
        cache: Folder that keeps, by digest, the files that came over a network.
    """
    runs: dict[str, ImageCounts] = {}
    faults: dict[str, list[str]] = {}
    finished = frame.loc[frame["status"] == "finished", :].drop_duplicates("run_id")
    for run in finished.to_dict("records"):
        try:
            counts = _counts(uri, run, metric, cache)
            stored = run.get(f"final/{metric}")
            if stored is None or not abs(counts.score / 100 - stored) <= ROUNDED:
                raise DataError("its matrices do not add up to its score")
            runs[run["run_id"]] = counts
        except (DataError, StoreError) as error:
            faults.setdefault(str(error), []).append(f"{run['label']}, seed {run['seed']}")
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            why = f"{MATRICES} is damaged"
            faults.setdefault(why, []).append(f"{run['label']}, seed {run['seed']}")
    notes = (
        NO_MATRICES.format(runs=listed(names, most=6, between="; "), why=why)
        for why, names in faults.items()
    )
    return StudyCounts(runs, tuple(notes))


def read_imported_counts(uri: str, frame: pd.DataFrame, cache: Path | None = None) -> StudyCounts:
    """Return the per-image counts of the imported runs in ``frame``; nothing without images.

    Args:
        uri: Address of the store.
        frame: The runs frame.
        cache: Folder that keeps, by digest, the files that came over a network.
    """
    runs: dict[str, ImageCounts] = {}
    finished = frame.loc[frame["status"] == "finished", :]
    for run in finished.to_dict("records"):
        if file := _kept_file(uri, run, COUNTS, cache):
            with np.load(file) as stored:
                runs[run["run_id"]] = ImageCounts(
                    ids=tuple(map(str, stored["ids"])),
                    hits=stored["hits"],
                    unions=stored["unions"],
                    groups=tuple(map(str, stored["groups"])) if "groups" in stored else None,
                )
    return StudyCounts(runs)


def _counts(uri: str, run: Mapping[str, Any], metric: str, cache: Path | None) -> ImageCounts:
    file = _kept_file(uri, run, MATRICES, cache)
    if file is None:
        raise DataError(f"the store has no {MATRICES}")
    with np.load(file) as stored:
        ids, matrices = tuple(map(str, stored["ids"])), stored["matrices"]
        groups = tuple(map(str, stored["groups"])) if "groups" in stored else None
    if matrices.ndim != 3 or matrices.shape[1] != matrices.shape[2] or len(ids) != len(matrices):
        raise DataError(f"{MATRICES} holds no matrix for each image")
    return image_counts(ids, matrices, metric, groups)


def _kept_file(uri: str, run: Mapping[str, Any], name: str, cache: Path | None) -> Path | None:
    digest = run.get("result")
    kept = cache / f"{digest}.npz" if cache and isinstance(digest, str) and digest else None
    if _is_local(run) or kept is None:
        return _artifact(uri, run, name)
    if kept.exists():
        return kept
    fetched = _artifact(uri, run, name)
    if fetched:
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_whole(kept, lambda path: path.write_bytes(fetched.read_bytes()))
    return fetched


def _artifact(uri: str, run: Mapping[str, Any] | pd.Series, path: str) -> Path | None:
    """Return a file or folder that a run left: in place if it is local, else fetched."""
    if _is_local(run):
        return local_file(str(run["artifact_uri"]), path)
    return fetch_artifact(uri, str(run["mlflow_run_id"]), path)


def _is_local(run: Mapping[str, Any] | pd.Series) -> bool:
    return str(run.get("artifact_uri") or "").startswith("file:")

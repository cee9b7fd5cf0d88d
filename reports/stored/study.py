"""A study's runs as the store holds them: the runs frame and the curves of training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import nearest
from bench.manifest import Manifest, TableSpec
from bench.store.client import StoreError
from bench.store.reading import (
    RunRecord,
    StudyRecord,
    read_histories,
    read_runs,
    read_study,
    study_names,
)
from reports.statistics.scores import Scores
from reports.stored.artifacts import read_counts

if TYPE_CHECKING:
    import pandas as pd

GROUPS = ("final/", "iou/", "cost/")
Histories = dict[tuple[str, str], list[tuple[int, float]]]
"""(step, value) pairs by MLflow's run id and the metric's name."""


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
    counts = read_counts(uri, frame, record.manifest.metric, cache)
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
    if near := nearest(f"{study}/{profile}", known):
        other, _, its_profile = near.rpartition("/")
        hint = f"did you mean {other!r} on {its_profile!r}?"
    return f"no study {study!r} on profile {profile!r} in {uri}; {hint}"


def _class_order(runs: list[RunRecord]) -> list[str]:
    names = (json.loads(run.tags.get("segloss.classes", "[]")) for run in runs)
    return list(dict.fromkeys(name for some in names for name in some))


def _outcome(run: RunRecord | None) -> dict[str, object]:
    if run is None:
        unknown = ("mlflow_run_id", "artifact_uri", "result", "role", "reason", "updated")
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
        **metrics,
        **digests,
    }

"""The runs frame: one line for each row and seed of a study, read from the store."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.errors import nearest
from bench.files import read_json
from bench.manifest import Manifest
from bench.store.client import StoreError
from bench.store.reading import RunRecord, StudyRecord, read_runs, read_study, study_names
from bench.store.sqlite import local_file

if TYPE_CHECKING:
    import pandas as pd

GROUPS = ("final/", "iou/", "cost/")
# Runs of one seed must agree in these, runs of a study in those, runs of one loss in the last.
PER_SEED = ("init", "order", "augment")
PER_STUDY = ("train_data", "data", "code", "env")
PER_LOSS = ("plugin",)


@dataclass(frozen=True)
class Check:
    """What the runs of one seed (or of all, where ``seed`` is None) say about one digest."""

    name: str
    seed: int | None
    value: str | None
    """The digest that most runs have; None where no run has one."""
    odd: tuple[tuple[str, int], ...]
    """(label, seed) of the runs that differ from it."""
    values: tuple[str, ...] = ()
    """What those runs have instead."""
    details: tuple[str, ...] = ()
    """The same in words, where it is known: "torch 2.11.0 against 2.15.0"."""


def read_frame(uri: str, study: str, profile: str) -> tuple[StudyRecord, pd.DataFrame]:
    """The study's record in the store and its runs frame; raises StoreError where it is not there.

    Lines follow the manifest (a run that never started is there too, as "queued"). Columns: label,
    method, seed, run_id, mlflow_run_id, artifact_uri, result (its digest), role, status, reason,
    updated (seconds since the epoch); each setting under its own name ("loss.pooling");
    final/<metric> and iou/<class> in 0..1; cost/<cost>; digest/<name>.
    """
    record = read_study(uri, study, profile)
    if record is None:
        raise StoreError(_no_study(uri, study, profile))
    return record, frame_of(record.manifest, read_runs(uri, record))


def _no_study(uri: str, study: str, profile: str) -> str:
    known = study_names(uri)
    hint = "run it first"
    if near := nearest(f"{study}/{profile}", known):
        other, _, held = near.rpartition("/")
        hint = f"did you mean {other!r} on {held!r}?"
    return f"no study {study!r} on profile {profile!r} in {uri}; {hint}"


def runs_frame(uri: str, study: str, profile: str) -> tuple[Manifest, pd.DataFrame]:
    """The study's manifest and its runs frame, as ``read_frame``."""
    record, frame = read_frame(uri, study, profile)
    return record.manifest, frame


def frame_of(manifest: Manifest, runs: list[RunRecord]) -> pd.DataFrame:
    """The runs frame of a manifest, filled from ``runs``; see ``read_frame``."""
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


def values(frame: pd.DataFrame, label: str, column: str) -> dict[int, float]:
    """The value in ``column`` of each finished run of row ``label``, by seed."""
    if column not in frame:
        return {}
    ours = (frame["label"] == label) & (frame["status"] == "finished") & frame[column].notna()
    rows = frame.loc[ours, :]
    return {int(seed): float(v) for seed, v in zip(rows["seed"], rows[column], strict=True)}


def classes(frame: pd.DataFrame) -> list[str]:
    """Names of the classes that any run was scored on."""
    return [column.removeprefix("iou/") for column in frame if column.startswith("iou/")]


def checks(frame: pd.DataFrame) -> list[Check]:
    """Whether what must be equal is: a check for each digest of a seed, a study or a loss."""
    found = []
    for name in PER_SEED:
        for seed in sorted(frame["seed"].unique()):
            found.append(_check(frame.loc[frame["seed"] == seed, :], name, int(seed)))
    found += [_check(frame, name, None) for name in PER_STUDY]
    losses = [rows for _, rows in frame.groupby("loss.name")] if "loss.name" in frame else []
    found += [_check(rows, name, None) for rows in losses for name in PER_LOSS]
    return [check for check in found if check.name not in PER_LOSS or check.value]


def environments_differ(place: str | None, other: str | None) -> str:
    """What two runs' environments differ in, by their artifact URIs; "" where that is not known."""
    ours, theirs = _environment(place), _environment(other)
    keys = [key for key in dict.fromkeys([*ours, *theirs]) if ours.get(key) != theirs.get(key)]
    return ", ".join(f"{key} {ours.get(key)} against {theirs.get(key)}" for key in keys)


def _environment(place: str | None) -> dict[str, object]:
    file = local_file(place or "", "env.json")
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
    pairs = tuple((label, int(s)) for label, s in zip(odd["label"], odd["seed"], strict=True))
    details: tuple[str, ...] = ()
    if name == "env" and len(odd) and "artifact_uri" in known:
        usual = known.loc[known[column] == value, "artifact_uri"].iloc[0]
        details = tuple(environments_differ(place, usual) for place in odd["artifact_uri"])
    return Check(
        name,
        seed,
        str(value),
        pairs,
        tuple(map(str, odd[column])),
        details if all(details) else (),
    )

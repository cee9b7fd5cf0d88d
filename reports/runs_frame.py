"""The runs frame: a pandas frame with one line for each row and seed of a study.

A run that never started has a line too, with status "queued". Columns:

- label, method, seed, run_id; each setting under its own name, such as "loss.pooling";
- status, reason, role, updated (seconds since the epoch);
- mlflow_run_id, artifact_uri, result (digest of result.json);
- final/<metric> and iou/<class>, in 0..1; cost/<cost>, in the cost's own unit;
- digest/<name>.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.files import read_json
from bench.store.sqlite import local_file

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
    return [check for check in found if check.name not in PER_LOSS or check.value]


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

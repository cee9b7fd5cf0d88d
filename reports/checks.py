"""Conditions in which the runs of a study must agree, and the runs that differ in one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.files import read_json
from bench.store.sqlite import local_file
from reports.sentences.conditions import OTHER_BEHAVIOUR

if TYPE_CHECKING:
    import pandas as pd

# Digests in which the runs of one seed, of the study, and of one loss must agree.
PER_SEED = ("init", "order", "augment")
PER_STUDY = ("train_data", "data", "code", "env")
PER_FOLD = ("train_data", "data")
"""Those of PER_STUDY that the seeds of a study with folds differ in: each holds out another."""
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
    """The difference of each of those runs: "torch 2.11.0 against 2.15.0"; "" where unknown.

    Empty for digests that say everything.
    """


def checks(frame: pd.DataFrame, *, folds: bool = False) -> list[Check]:
    """Return a check for each digest of a seed, of the study and of a loss.

    Args:
        frame: The runs frame.
        folds: Whether each seed holds out another fold.
    """
    found = []
    for name in (*PER_SEED, *(PER_FOLD if folds else ())):
        for seed in sorted(frame["seed"].unique()):
            found.append(_check(frame.loc[frame["seed"] == seed, :], name, int(seed)))
    found += [_check(frame, name, None) for name in PER_STUDY if not (folds and name in PER_FOLD)]
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
    details = tuple(OTHER_BEHAVIOUR.format(parts=parts) for parts in odd["behaves"])
    return [Check("behaviour", None, None, rows, tuple(map(str, odd["run_id"])), details)]


def environment_difference(artifact_uri: str | None, other: str | None) -> str:
    """Return in words how the environments of two runs differ; "" where that is not known.

    Args:
        artifact_uri: Folder of one run's artifacts.
        other: Folder of the other run's artifacts.
    """
    ours, theirs = _environment(artifact_uri), _environment(other)
    if not ours or not theirs:
        return ""
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
        others = known.loc[known[column] == value, "artifact_uri"]
        usual = next(filter(_environment, others), None)
        details = tuple(environment_difference(uri, usual) for uri in odd["artifact_uri"])
    return Check(
        name=name,
        seed=seed,
        value=str(value),
        odd=tuple((label, int(s)) for label, s in zip(odd["label"], odd["seed"], strict=True)),
        values=tuple(map(str, odd[column])),
        details=details,
    )

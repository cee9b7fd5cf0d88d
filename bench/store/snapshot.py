"""The content of run directories at one moment, in the form of the store.

The mirror writes it into MLflow. A folder of run directories is also read as a store of its own, by
the address "runs:<path>": the numbers are those that the mirror would have written.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.files import parse, read_json
from bench.manifest import IMPORTED, Manifest
from bench.runs.rundir import RunDir, State, run_dir
from bench.spec import digest
from bench.store.sqlite import PERCENT

PLACES = 5
"""Decimal places of a number in the store: the width of MLflow's table."""
IMPORTED_PLACES = 12
"""The same for imported runs, whose numbers a reader may compute again from their file."""
PERCENT_PLACES = 2
"""Decimal places of a score in percent, as in the report."""
SCORES = {"final": "metrics", "iou": "class_iou"}
"""Groups of scores in result.json, by the beginning of their names in the store."""
GROUPS = {**SCORES, "cost": "cost"}

SCHEME = "runs:"

Numbers = dict[tuple[str, int], tuple[float, int]]
"""Value and timestamp in ms of each (metric, step)."""
Number = tuple[tuple[str, int], tuple[float, int]]
Points = list[tuple[int, float]]


@dataclass(frozen=True)
class RunSnapshot:
    """What the store shows of a run directory."""

    state: State
    step: int
    started: float
    """Start of the run in seconds since the epoch."""
    numbers: Numbers
    tags: dict[str, str]
    """Facts about the result; empty where there is none."""
    scores: dict[str, float] = field(default_factory=dict)
    """The final scores in [0, 1]; empty without a result."""
    digests: dict[str, str] = field(default_factory=dict)
    """Digests of what the result was made from; empty without a result."""
    commit: str | None = None
    """Git commit of the code that ran; None where that was not recorded."""

    @classmethod
    def read(cls, directory: RunDir, places: int = PLACES) -> RunSnapshot:
        """Return everything that is mirrored, with the final numbers rounded to ``places``."""
        state, lines, result = directory.state(), directory.metrics(), directory.result()
        numbers, tags = dict(_history(lines)), {}
        if result is not None:
            numbers |= dict(_final(result, state, places))
            tags["segloss.result"] = digest(result)
            # MLflow keeps no order of metrics; tables need the data set's order of classes.
            tags["segloss.classes"] = json.dumps(result["classes"])
            tags |= {f"segloss.digest.{k}": str(v) for k, v in result["digests"].items()}
        if directory.probes.exists():
            tags["segloss.probed"] = "yes"
        facts = read_json(directory.path / "env.json")
        return cls(
            state,
            lines[-1]["step"] if lines else -1,
            _started(state, lines, result),
            numbers,
            tags,
            scores=result["metrics"] if result else {},
            digests=result["digests"] if result else {},
            commit=facts.get("commit") if isinstance(facts, dict) else None,
        )


def milliseconds(seconds: float) -> int:
    """Return a time in seconds since the epoch as MLflow counts it."""
    return int(seconds * 1000)


def _started(state: State, lines: list[dict[str, Any]], result: dict[str, Any] | None) -> float:
    """Return the recorded start; of a run of an older version the best estimate.

    An older finished run began at least as long before its end as its measured work took.
    """
    if state.started is not None:
        return state.started
    first = lines[0]["time"] if lines else state.updated
    if result is None:
        return first
    # The cost of an evaluation repeats the seconds of the training that it scores.
    work = ("train_s", "evaluate_s") if lines else ("evaluate_s",)
    return min(first, state.updated - sum(result["cost"].get(key) or 0.0 for key in work))


def _history(lines: Iterable[dict[str, Any]]) -> Iterator[Number]:
    """Yield every number in the lines of a metrics.jsonl."""
    for line in lines:
        for key, value in line.items():
            if key not in ("step", "time") and isinstance(value, int | float):
                yield (key, line["step"]), (_rounded(value), milliseconds(line["time"]))


def _final(result: dict[str, Any], state: State, places: int) -> Iterator[Number]:
    """Yield the numbers of a finished run, all at step 0, which MLflow draws as bars.

    Scores are there twice: in [0, 1], as reports read them, and in percent, as people do.
    """
    ended = milliseconds(state.updated)
    found = [(p, k, v) for p, g in GROUPS.items() for k, v in result[g].items() if v is not None]
    for prefix, key, value in found:
        if prefix in SCORES:
            yield (percent_name(prefix, key), 0), (_rounded(100 * value, PERCENT_PLACES), ended)
    for prefix, key, value in found:
        yield (f"{prefix}/{key}", 0), (_rounded(value, places), ended)


def percent_name(prefix: str, key: str) -> str:
    """Return the name of a score in percent: "percent/miou", "percent/iou/road"."""
    return f"{PERCENT}{key}" if prefix == "final" else f"{PERCENT}{prefix}/{key}"


def _rounded(value: float, places: int = PLACES) -> float:
    """Return the rounded value; inf, which no chart shows, becomes nan."""
    return round(float(value), places) if math.isfinite(value) else math.nan


def address(root: Path) -> str:
    """Return the address of a folder that holds runs/ and studies/."""
    return f"{SCHEME}{root.resolve()}"


def folder_of(uri: str) -> Path | None:
    """Return the folder of such an address; None for any other store."""
    return Path(uri.removeprefix(SCHEME)) if uri.startswith(SCHEME) else None


def study_names_in(root: Path) -> list[str]:
    """Return the "study/profile" of every study in the folder."""
    paths = sorted((root / "studies").glob("*.json"))
    found = (parse(Manifest, read_json(path), where=str(path)) for path in paths)
    return [f"{manifest.study}/{manifest.profile}" for manifest in found]


def snapshots(root: Path, manifest: Manifest) -> dict[str, RunSnapshot]:
    """Return what the mirror would write of each run that ever started, by its id."""
    places = IMPORTED_PLACES if manifest.role == IMPORTED else PLACES
    ids = dict.fromkeys(run_id for row in manifest.rows.values() for run_id in row.run_ids)
    found = {run_id: RunSnapshot.read(run_dir(root, run_id), places) for run_id in ids}
    return {run_id: one for run_id, one in found.items() if one.state.status != "queued"}


def role_of(manifest: Manifest, directory: RunDir) -> str:
    """Return the role of a run, as the mirror tags it."""
    if manifest.role == "train" and not directory.spec().trains:
        return "evaluate"
    return manifest.role


def curves_of(root: Path, run_ids: list[str], keys: list[str]) -> dict[tuple[str, str], Points]:
    """Return the curve of each (run, metric) that was recorded: (step, value) pairs by step."""
    curves: dict[tuple[str, str], Points] = {}
    for run_id in run_ids:
        numbers = RunSnapshot.read(run_dir(root, run_id)).numbers
        for (key, step), (value, _) in sorted(numbers.items()):
            if key in keys:
                curves.setdefault((run_id, key), []).append((step, value))
    return curves

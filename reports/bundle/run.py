"""A run as one JSON file of a bundle: made of its run directory, and made into one again."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from bench.errors import SeglossError
from bench.files import Scalar, Strict, parse, read_json, write_json, write_whole
from bench.runs.rundir import RunDir, State
from bench.spec import RunSpec
from reports.bundle.counts import Counts, leave_counts
from reports.bundle.files import BundleError

DEPTH = 3
"""Depth to which the values of a run's file are sealed, as in "result.metrics.miou"."""
ENDED = ("finished", "diverged", "failed")
"""Statuses of the runs that are published; any other run may still become anything."""
CURVE_STEPS = 200
"""Largest number of recorded steps of a curve that is kept; a figure is narrower than that."""
EVALUATED = "eval/"
"""Beginning of the scores on the way, which are kept at every step: sentences depend on them."""
PLACES = 5
"""Decimal places of a curve, those of the store."""
REASON_LENGTH = 2000
LAST_TIME = 1e11
"""Latest time that is read, in seconds since the epoch; dates end in the year 9999."""
MOST_STEPS = 10**9
LONGEST_FACT = 1000
MOST_COST = 1e12
"""Largest cost that is read, in its unit; sums and squares of such costs stay finite."""


class Result(Strict):
    """The content of a result.json, which readers of a bundle take from a stranger."""

    run_id: str
    metrics: dict[str, float | None]
    class_iou: dict[str, float | None]
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...] = ()
    digests: dict[str, str]
    cost: dict[str, float]
    device: str | None = None
    fitted: dict[str, tuple[float, ...]] | None = None
    settings: dict[str, Scalar] | None = None
    images: str | None = None
    """Of an imported run: digest of its images."""


class Imported(Strict):
    """The content of an import.json."""

    file: str


def run_record(directory: RunDir) -> dict[str, Any] | None:
    """Return what a bundle holds of a run, without its counts; None unless the run has ended.

    Raises:
        SeglossError: A file of the run directory cannot be read.
    """
    state, result = directory.state(), directory.result()
    if state.status not in ENDED or (state.status == "finished" and result is None):
        return None
    reason = state.reason and _printable(state.reason[:REASON_LENGTH])
    known = state.model_copy(update={"lease": None, "activity": None, "reason": reason})
    record = {
        "run_id": directory.run_id,
        "spec": read_json(directory.path / "spec.json"),
        "imported": read_json(directory.imported),
        "state": known.model_dump(mode="json"),
        "result": result if state.status == "finished" else None,
        "environment": _without(read_json(directory.path / "env.json"), "host"),
        "probes": read_json(directory.probes),
        "curves": _curves(directory.metrics()),
    }
    check_record(record, directory.run_id, str(directory.path))
    return record


def _without(facts: Any, key: str) -> Any:
    """Return facts without one: the name of a machine belongs to no published result."""
    return {k: v for k, v in facts.items() if k != key} if isinstance(facts, dict) else facts


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)


def _curves(lines: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return the lines of a metrics.jsonl by column, thinned to about CURVE_STEPS steps."""
    every = math.ceil(len(lines) / CURVE_STEPS) or 1
    kept = [
        line
        for i, line in enumerate(lines)
        if (i + 1) % every == 0 or i in (0, len(lines) - 1) or any(map(_evaluated, line))
    ]
    keys = dict.fromkeys(key for line in kept for key in line)
    return {key: [_rounded(key, line.get(key)) for line in kept] for key in keys}


def _evaluated(key: str) -> bool:
    return key.startswith(EVALUATED)


def _rounded(key: str, value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return round(value, 1 if key == "time" else PLACES) if math.isfinite(value) else value


def check_record(record: dict[str, Any], run_id: str, where: str) -> None:
    """Raise BundleError unless a record is that of ``run_id`` and each part has its form."""
    try:
        if record.get("run_id") != run_id:
            raise BundleError(
                f"run_id is {record.get('run_id')!r}, the file's name says {run_id!r}"
            )
        if record.get("imported") is not None:
            parse(Imported, record["imported"], where="imported")
        elif parse(RunSpec, record.get("spec"), where="spec").run_id != run_id:
            raise BundleError(f"spec is not that of run {run_id}: some setting was changed")
        _check_state(record.get("state"), with_result=record.get("result") is not None)
        if record.get("result") is not None:
            _check_result(record["result"], run_id)
        if record.get("environment") is not None:
            _check_facts(record["environment"])
        if not isinstance(record.get("probes"), dict | None):
            raise BundleError("probes is not a JSON object")
        _check_curves(record.get("curves"))
    except SeglossError as error:
        raise BundleError(f"{where}: {error}") from None


def _check_state(state: Any, *, with_result: bool) -> None:
    found = parse(State, state, where="state")
    if found.status not in ENDED or found.lease is not None:
        raise BundleError(f"state.status is {found.status!r}, the run of a bundle has ended")
    if (found.status == "finished") != with_result:
        raise BundleError(f"state.status is {found.status!r}, which contradicts its result")
    for name, time in (("updated", found.updated), ("started", found.started or 0.0)):
        if not 0 <= time <= LAST_TIME:
            raise BundleError(f"state.{name} is {time}, which is not a time")


def _check_facts(facts: Any, name: str = "environment") -> None:
    """Raise BundleError unless the facts of a run are scalars, or records of scalars."""
    if not isinstance(facts, dict):
        raise BundleError(f"{name} is not a JSON object")
    for key, value in facts.items():
        if isinstance(value, dict) and name == "environment":
            _check_facts(value, f"{name}.{key}")
        elif not isinstance(value, Scalar | None) or len(str(value)) > LONGEST_FACT:
            raise BundleError(f"{name}.{key} is not a short text, number or null")


def _check_result(result: Any, run_id: str) -> None:
    found = parse(Result, result, where="result")
    if found.run_id != run_id:
        raise BundleError(f"result.run_id is {found.run_id!r}, not {run_id!r}")
    if len(set(found.classes)) < len(found.classes):
        raise BundleError("result.classes names a class twice")
    for name, value in (*found.metrics.items(), *found.class_iou.items()):
        if not (value is None or math.isnan(value) or 0 <= value <= 1):
            raise BundleError(f"result: {name} is {value}; a score is between 0 and 1")
    for name, value in found.cost.items():
        if not 0 <= value <= MOST_COST:
            raise BundleError(
                f"result.cost.{name} is {value}; a cost is between 0 and {MOST_COST:g}"
            )


def _check_curves(curves: Any) -> None:
    if not isinstance(curves, dict) or not all(isinstance(c, list) for c in curves.values()):
        raise BundleError("curves is not an object of lists")
    if curves and not {"step", "time"} <= curves.keys():
        raise BundleError("curves has no step or no time")
    if len({len(column) for column in curves.values()}) > 1:
        raise BundleError("curves has columns of different lengths")
    for key, column in curves.items():
        for value in column:
            if not (_is_number(value) or (value is None and key not in ("step", "time"))):
                raise BundleError(f"curves.{key} holds {str(value)[:40]!r}, which is not a number")
    if not all(type(step) is int and 0 <= step <= MOST_STEPS for step in curves.get("step", ())):
        raise BundleError(f"curves.step holds a number that is not a step, 0..{MOST_STEPS:,}")
    if not all(0 <= time <= LAST_TIME for time in curves.get("time", ())):
        raise BundleError("curves.time holds a number that is not a time")


def _is_number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) <= LAST_TIME)


def leave_run(
    record: dict[str, Any], counts: Counts | None, directory: RunDir, made_by: str
) -> None:
    """Write a checked record into a new run directory, as a session leaves it.

    Args:
        record: The record.
        counts: Its counts, or None.
        directory: The run directory.
        made_by: The version that wrote the bundle.
    """
    directory.path.mkdir(parents=True)
    files = {
        "spec.json": record["spec"],
        "import.json": record.get("imported"),
        "result.json": record["result"],
        "env.json": record.get("environment"),
        "probes.json": record.get("probes"),
        "published.json": {"made_by": made_by},
        "state.json": record["state"],
    }
    if counts is not None:
        leave_counts(counts, directory)
    for name, content in files.items():
        if content is not None:
            write_json(directory.path / name, content)
    curves: dict[str, list[Any]] = record["curves"]
    lines = [
        {key: value for key, value in zip(curves, values, strict=True) if value is not None}
        for values in zip(*curves.values(), strict=True)
    ]
    if lines:
        text = "".join(json.dumps(line) + "\n" for line in lines)
        write_whole(directory.path / "metrics.jsonl", lambda path: path.write_text(text))

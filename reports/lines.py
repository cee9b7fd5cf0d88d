"""The lists at the end of a page: a line for each digest, and for each run."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from bench.iou import HEADLINE
from bench.manifest import base_row
from reports.model import DigestLine, RunLine
from reports.statistics.scores import Scores


def digest_lines(scores: Scores) -> tuple[DigestLine, ...]:
    """Return a line for each digest: its values, and the runs that differ."""
    lines = []
    for name in dict.fromkeys(check.name for check in scores.checks):
        mine = [check for check in scores.checks if check.name == name]
        odd = tuple(f"{label}, seed {seed}" for check in mine for label, seed in check.odd)
        values = dict.fromkeys(check.value for check in mine if check.value)
        lines.append(DigestLine(name, tuple(values), odd, scores.imported))
    return tuple(lines)


def run_lines(scores: Scores) -> tuple[RunLine, ...]:
    """Return a line for each run of a study, whatever its status."""
    found = {label: scores.of(label, HEADLINE) for label in scores.manifest.rows}
    base = found[base_row(scores.manifest.tables[0].rows).label]
    compared = {} if scores.manifest.search else base
    runs = scores.frame.to_dict("records")
    return tuple(_run_line(run, found[run["label"]], compared) for run in runs)


def _run_line(
    run: Mapping[Hashable, Any], scores: Mapping[int, float], base: Mapping[int, float]
) -> RunLine:
    seed, score = run["seed"], scores.get(run["seed"])
    return RunLine(
        label=run["label"],
        seed=seed,
        status=run["status"],
        reason=run["reason"] if isinstance(run["reason"], str) else "",
        run_id=run["run_id"],
        mlflow_run_id=run["mlflow_run_id"] if isinstance(run["mlflow_run_id"], str) else None,
        score=score,
        gain=score - base[seed] if score is not None and seed in base else None,
    )

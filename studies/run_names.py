"""Runs by the names that people have for them: an id, the start of one, or a row's label."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from bench.errors import SpecError, nearest
from bench.files import read_json
from bench.manifest import Manifest, manifests
from bench.runs.rundir import run_dir

LISTED = 8


@dataclass(frozen=True)
class Named:
    """A run and what it is called."""

    run_id: str
    label: str
    seed: int
    also: tuple[str, ...] = ()
    """Labels of other rows that share it."""

    @property
    def labels(self) -> tuple[str, ...]:
        """All of its labels."""
        return (self.label, *self.also)

    def __str__(self) -> str:
        return f"{self.label}, seed {self.seed}"


def named_runs(root: Path) -> dict[str, Named]:
    """Every run of the root by its id; raises RootError where there is no study."""
    rows = rows_of(manifests(root))
    return rows | others(root, rows)


def rows_of(found: list[Manifest]) -> dict[str, Named]:
    """The runs of all rows; one that is in several is called as in the first."""
    named: dict[str, Named] = {}
    for manifest in found:
        for row in manifest.rows.values():
            for seed, run_id in zip(manifest.seeds, row.run_ids, strict=True):
                run = named.setdefault(run_id, Named(run_id, row.label, seed))
                if row.label not in run.labels:
                    named[run_id] = replace(run, also=(*run.also, row.label))
    return named


def others(root: Path, known: dict[str, Named]) -> dict[str, Named]:
    """Run directories of no row, such as a training that only feeds an evaluation."""
    folders = (root / "runs").iterdir() if (root / "runs").is_dir() else ()
    found = {}
    for run_id in sorted({folder.name for folder in folders} - known.keys()):
        spec = read_json(run_dir(root, run_id).path / "spec.json")
        if isinstance(spec, dict):
            loss = spec.get("loss") or {}
            found[run_id] = Named(run_id, str(loss.get("name", "?")), int(spec.get("seed", 0)))
    return found


def find_run(runs: dict[str, Named], text: str, seed: int | None = None) -> Named:
    """The one run that ``text`` names; raises SpecError for none or several."""
    if text in runs:
        return runs[text]
    wanted = [run for run in runs.values() if seed is None or run.seed == seed]
    found = [run for run in wanted if text in run.labels]
    lower = text.lower()
    found = found or [run for run in wanted if lower in map(str.lower, run.labels)]
    found = found or [run for run in wanted if text and run.run_id.startswith(text)]
    if len(found) > 1:
        raise SpecError(_several(text, found))
    if not found:
        raise SpecError(_unknown(runs, text, seed))
    return found[0]


def _several(text: str, found: list[Named]) -> str:
    listed = "; ".join(f"{run} [{run.run_id}]" for run in found[:LISTED])
    more = f"; and {len(found) - LISTED} more" if len(found) > LISTED else ""
    way = (
        "--seed"
        if any(text.lower() == label.lower() for label in found[0].labels)
        else "more of the id"
    )
    return f"{text!r} names {len(found)} runs: {listed}{more}. Give {way}"


def _unknown(runs: dict[str, Named], text: str, seed: int | None) -> str:
    labels = dict.fromkeys(label for run in runs.values() for label in run.labels)
    if seed is not None and text in labels:
        seeds = sorted({run.seed for run in runs.values() if text in run.labels})
        return f"{text} has no seed {seed}; it has {', '.join(map(str, seeds[:LISTED]))}"
    known = {name.lower(): name for name in [*runs, *labels]}
    if near := nearest(text.lower(), known):
        return f"unknown run {text!r}; did you mean {known[near]!r}?"
    listed = ", ".join(list(labels)[:LISTED])
    return f"unknown run {text!r}; rows are {listed}{', …' if len(labels) > LISTED else ''}"

"""Manifest: the tables a study asked for and the runs that fill them.

The scheduler writes it into the store beside the runs, so that a report needs nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from bench.errors import RootError
from bench.files import read_json, write_json
from bench.records import Strict, parse
from bench.search_space import SearchSpec
from bench.spec import Scalar


class Row(Strict):
    """One row of a table: a method at its settings, and its run for each seed."""

    label: str
    """Unique within the study, such as "CE & CRF-5" or "RMI pooling=avg downsample_factor=2"."""
    method: str
    """The row's name as printed in the first column, such as "RMI"."""
    settings: dict[str, Scalar]
    """In full: "loss.name", "loss.<option>" for every option of the loss, "crf.<parameter>"."""
    run_ids: tuple[str, ...]
    """One run per seed, in the order of ``Manifest.seeds``."""


class TableSpec(Strict):
    """One table of a study, and the curve that it draws."""

    key: str
    title: str
    paper: str | None = None
    """Key of the published table it repeats, in reports/published.toml."""
    columns: tuple[str, ...]
    """Settings ("loss.pooling") and metrics ("miou", "infer_ms"), left to right."""
    rows: tuple[Row, ...]
    x: str | None = None
    """The numeric setting on the x axis of the table's curve; None draws none."""


class JobRecord(Strict):
    """The work of one worker process: one training, or the evaluations of one pass."""

    pass_id: str
    """``RunSpec.pass_id`` of its runs."""
    run_ids: tuple[str, ...]
    source: str | None = None
    """The training whose weights the evaluations score; None for a training."""


class Manifest(Strict):
    """A study on a profile, fully written out."""

    study: str
    profile: str
    title: str
    scale: str
    """One sentence for every title: which data, how many images and steps."""
    role: Literal["train", "tune"] = "train"
    """What its trainings are for: tables, or the search for a value."""
    metric: str
    """The metric that a "miou" column shows, such as "miou_11"."""
    seeds: tuple[int, ...]
    comparison_key: str
    settings: dict[str, Scalar | None]
    """What is held equal, flat: "data.name", "model.backbone", "recipe.steps", …"""
    tables: tuple[TableSpec, ...]
    jobs: tuple[JobRecord, ...] = ()
    """Every job of the study; older versions wrote none: see ``studies.job_records``."""
    search: tuple[SearchSpec, ...] = ()
    """Of a tuning, in the order of ``tables``: each table holds the trials of one method."""

    @property
    def name(self) -> str:
        """Study and profile in one word, as used for folders and experiments."""
        return f"{self.study}-{self.profile}"

    @property
    def rows(self) -> dict[str, Row]:
        """Every distinct row by its label, in order of first appearance."""
        return {row.label: row for table in self.tables for row in table.rows}


def remember(root: Path, manifest: Manifest) -> None:
    """Keep the manifest in ``root`` for status, sync and the pages of MLflow."""
    path = root / "studies" / f"{manifest.name}.json"
    write_json(path, manifest.model_dump(mode="json"))


def recall(root: Path, study: str, profile: str) -> Manifest | None:
    """What was kept of one study, or None."""
    path = root / "studies" / f"{study}-{profile}.json"
    data = read_json(path)
    return None if data is None else parse(Manifest, data, where=str(path))


def manifests(root: Path) -> list[Manifest]:
    """Every study that was ever run on ``root``; raises RootError where there is none."""
    paths = sorted((root / "studies").glob("*.json"))
    if not paths:
        raise RootError(
            f"{root}: no study was run here; start one with segloss run, or give --root"
        )
    found = {path: read_json(path) for path in paths}
    for path, data in found.items():
        if data is None:
            raise RootError(f"{path} cannot be read: delete it and run its study again")
    return [parse(Manifest, data, where=str(path)) for path, data in found.items()]

"""Manifest: the tables that a study defines, the runs that fill them, and the names of both.

The scheduler writes it to the store beside the runs, so that a report needs the store only. Names,
colours and settings of its rows are the same in every page that shows them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer

from bench.errors import RootError
from bench.files import Strict, parse, read_json, write_json
from bench.published.tables import PublishedTable
from bench.search_space import SearchSpec
from bench.spec import Scalar, digest

IMPORTED = "imported"
"""Role of a study whose runs were made elsewhere, and the name of its profile by default."""


class Row(Strict):
    """One row of a table: a method at its settings, and its run for each seed."""

    label: str
    """Unique within the study, such as "CE & CRF-5" or "RMI pooling=avg downsample_factor=2"."""
    method: str
    """The row's name as printed in the first column, such as "RMI"."""
    settings: dict[str, Scalar]
    """All settings: "loss.name", "loss.<option>" for every option, "crf.<parameter>".

    A sum of losses has "loss.<term>.weight" and "loss.<term>.<option>"; a study in which some
    method has a recipe of its own has "recipe.<field>" for each such field.
    """
    run_ids: tuple[str, ...]
    """One run per seed, in the order of ``Manifest.seeds``."""
    trials: int | None = None
    """Number of trials that tuned its recipe; None: the study gives it, or the profile."""


class TableSpec(Strict):
    """One table of a study, and the curve that it draws."""

    key: str
    title: str
    paper: str | None = None
    """Key of the published table that it repeats, in reports/published.toml or the study's own."""
    published: PublishedTable | None = None
    """That table, if it is the study's own."""
    columns: tuple[str, ...]
    """Settings ("loss.pooling") and metrics ("miou", "infer_ms"), left to right."""
    rows: tuple[Row, ...]
    x: str | None = None
    """The numeric setting on the x axis of the table's curve; None draws none."""

    @model_serializer(mode="wrap")
    def _without_empty(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out ``published`` where there is none: an older manifest keeps its digest."""
        fields = write(self)
        return {k: v for k, v in fields.items() if k != "published" or v is not None}


class JobRecord(Strict):
    """The work of one worker process: one training, or the evaluations of one pass."""

    pass_id: str
    """``RunSpec.pass_id`` of its runs."""
    run_ids: tuple[str, ...]
    source: str | None = None
    """The training whose weights the evaluations score; None for a training."""


class Manifest(Strict):
    """A study on a profile: all tables, rows and runs."""

    study: str
    profile: str
    title: str
    scale: str
    """Words for every title: the data and the length of the training."""
    role: Literal["train", "tune", "imported"] = "train"
    """Purpose of its trainings: the tables, or a search for values; or its runs were imported."""
    metric: str
    """The metric that a "miou" column shows, such as "miou_11"."""
    seeds: tuple[int, ...]
    comparison_key: str
    settings: dict[str, Scalar | None]
    """Fixed settings, flat: "data.name", "model.backbone", "recipe.steps", …"""
    tables: tuple[TableSpec, ...]
    jobs: tuple[JobRecord, ...] = ()
    """Every job of the study; empty in files of older versions: see ``studies.jobs``."""
    search: tuple[SearchSpec, ...] = ()
    """Search of a tuning for each of ``tables``, which hold the trials of one method each."""

    @property
    def name(self) -> str:
        """Study and profile joined by a hyphen, as used for folders and experiments."""
        return f"{self.study}-{self.profile}"

    @property
    def rows(self) -> dict[str, Row]:
        """Every distinct row by its label, in order of first appearance."""
        return {row.label: row for table in self.tables for row in table.rows}


def remember(root: Path, manifest: Manifest) -> None:
    """Write the manifest to ``root``, for status, sync and the pages of MLflow.

    Raises:
        RootError: the root holds a study of this name that was imported where this one is trained,
            or the other way round.
    """
    check_role(root, manifest)
    path = root / "studies" / f"{manifest.name}.json"
    write_json(path, manifest.model_dump(mode="json"))


def check_role(root: Path, manifest: Manifest) -> None:
    """Raise RootError if imported runs would replace trained ones, or trained ones imported."""
    path = root / "studies" / f"{manifest.name}.json"
    old = read_json(path)
    role = old.get("role", "train") if isinstance(old, dict) else manifest.role
    if (role == IMPORTED) != (manifest.role == IMPORTED):
        made = "imported" if role == IMPORTED else "trained"
        raise RootError(
            f"{manifest.study} on {manifest.profile} was {made} in {root}; choose another name for "
            "this study or its profile, or another --root"
        )


def recall(root: Path, study: str, profile: str) -> Manifest | None:
    """Return the manifest of one study; None if it was never run on ``root``."""
    path = root / "studies" / f"{study}-{profile}.json"
    data = read_json(path)
    return None if data is None else parse(Manifest, data, where=str(path))


def manifests(root: Path) -> list[Manifest]:
    """Return the manifest of every study that was run on ``root``; raises RootError for none."""
    paths = sorted((root / "studies").glob("*.json"))
    if not paths:
        raise RootError(
            f"{root}: no study was run here; start one with segloss run, or give --root"
        )
    records = {path: read_json(path) for path in paths}
    for path, data in records.items():
        if data is None:
            raise RootError(f"{path} cannot be read: delete it and run its study again")
    return [parse(Manifest, data, where=str(path)) for path, data in records.items()]


OWN = "each row's own"
"""Stands among the fixed settings for a field of the recipe that methods have of their own."""
ABSENT = "-"
"""Stands for a setting that a row does not have, such as ``loss.pooling`` of cross entropy."""

INK = "#000000"
"""Colour of the row that gains are measured against, of lines and of text. A page that may be dark
prints it in the colour of its own text."""
COLOURS = ("#3b95f9", "#f56816", "#00a574", "#5e3cfd", "#cf69a0", "#c91214")
"""Colours of the other methods.

Any two, and each and the ink, lie at least 15 apart (CIEDE2000) for normal sight, deuteranopia and
protanopia. Each has a contrast of 3 to a white and to a dark page.
"""


def base_row(rows: Sequence[Row]) -> Row:
    """Return the row that gains are measured against: plain cross entropy, else the first row."""
    plain = (
        r for r in rows if r.settings.get("loss.name") == "ce" and "crf.steps" not in r.settings
    )
    return next(plain, rows[0])


def distinct_rows(table: TableSpec) -> list[Row]:
    """Return a table's rows without repetitions: the paper's Table 3a prints one row twice."""
    return list({row.label: row for row in table.rows}.values())


def method_colours(manifest: Manifest) -> dict[str, str]:
    """Return a hex colour of each method: ink for the base row's, then ``COLOURS``, then again."""
    base = base_row(manifest.tables[0].rows).method
    methods = dict.fromkeys(row.method for row in manifest.rows.values() if row.method != base)
    others = {method: COLOURS[i % len(COLOURS)] for i, method in enumerate(methods)}
    return {base: INK, **others}


def row_colour(manifest: Manifest, row: Row) -> str:
    """Return a row's colour in the first table that has it, as in that table's figures.

    It is the colour of the row's method; where some method has several rows, each row has its own.
    """
    table = next(t for t in manifest.tables if any(row.label == r.label for r in t.rows))
    rows = list({r.label: r for r in table.rows}.values())
    if len({r.method for r in rows}) == len(rows):
        return method_colours(manifest)[row.method]
    base = base_row(rows).label
    others = [r.label for r in rows if r.label != base]
    return INK if row.label == base else COLOURS[others.index(row.label) % len(COLOURS)]


def slug(key: str) -> str:
    """Return ``key`` in lower-case letters, digits and hyphens; different keys stay different."""
    plain = re.sub(r"[^a-z0-9]+", "-", key.lower()).strip("-")
    return plain if plain == key else f"{plain[:40]}-{digest(key)[:6]}".lstrip("-")


def varying(rows: Sequence[Row]) -> list[str]:
    """Return the settings with several values in ``rows``, in order of first appearance.

    A row without a setting does not count as another value.
    """
    values: dict[str, set[str]] = {}
    for row in rows:
        for key, value in row.settings.items():
            values.setdefault(key, set()).add(repr(value))
    return [key for key, seen in values.items() if len(seen) > 1]


def grouping_keys(manifest: Manifest) -> list[str]:
    """Return the settings to group and filter by: those that vary, and those that a table shows."""
    rows = list(manifest.rows.values())
    shown = [key for table in manifest.tables for key in (*table.columns, table.x) if key]
    known = {key for row in rows for key in row.settings}
    own = sorted(key for key in known if key.startswith("recipe."))
    keys = ("loss.name", "crf.steps", *varying(rows), *shown, *own)
    return list(dict.fromkeys(key for key in keys if key in known))


def run_name(manifest: Manifest, row: Row, seed: int) -> str:
    """Return a short name of a run, such as "RMI-avg-df4-rs3-s0".

    Between method and seed stands every setting that varies among the method's rows.
    """
    same = [other for other in manifest.rows.values() if other.method == row.method]
    factors = [
        _short(key, row.settings[key]) for key in sorted(varying(same)) if key in row.settings
    ]
    return "-".join([row.method, *factors, f"s{seed}"])


def _short(key: str, value: Scalar) -> str:
    if isinstance(value, str):
        return value
    words = re.split(r"[._]", key.partition(".")[2])
    return "".join(word[:1] for word in words) + f"{value}"

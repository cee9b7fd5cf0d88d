"""The page: one file that needs no network and runs no script but its own, images included."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.manifest import IMPORTED, slug
from bench.spec import digest
from bench.store.pages import runs_url
from reports.model import Cell, Figure, Gallery, Report, RunLine, Table, TableRow, Tile
from reports.render.conditions import fixed_settings
from reports.render.latex import latex
from reports.render.reading import notes_under, reading
from reports.render.sheets import sheet
from reports.render.svg import svg
from reports.render.text import VERDICTS, mean_and_interval, p_value, rows_csv
from reports.sentences.conditions import TRUST
from reports.wording import seeds, signed

TEMPLATES = Path(__file__).parents[1] / "templates"
BUDGET = 3_000_000
"""Bytes of all images together, so that a report stays below 5 MB."""
WIDTHS = (320, 160, 80)
"""Widths in pixels to try, largest first."""
DIGESTS = {
    "init": "initial weights",
    "order": "order of samples",
    "augment": "augmentation",
    "train_data": "training data",
    "data": "scored data",
    "env": "environment",
    "plugin": "own loss",
}


def page(report: Report) -> str:
    """Return the report as HTML; all text from outside is escaped."""
    from jinja2 import Environment, FileSystemLoader
    from markupsafe import Markup

    manifest, links = report.manifest, Links(report)
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(slug=slug, signed=signed)
    environment.globals.update(
        mean_and_interval=mean_and_interval,
        p_value=p_value,
        sheet_of=sheet,
        notes_under=notes_under,
        reading=reading(report.tables),
        verdicts=VERDICTS,
        links=links,
        is_new=lambda cell: _is_new(cell, report),
        images=data_uris(report.gallery),
        table_number={table.key: i + 1 for i, table in enumerate(report.tables)},
        figure_number=figure_numbers(report),
        digest_name=digest_name,
    )
    script = (TEMPLATES / "report.js").read_text()
    return environment.get_template("report.html.j2").render(
        report=report,
        manifest=manifest,
        seeds=seeds(len(manifest.seeds)),
        figures=[(figure, *map(Markup, _drawings(figure))) for figure in report.figures],
        settings=fixed_settings(manifest),
        style=Markup((TEMPLATES / "report.css").read_text()),
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data=Markup(_inert({slug(table.key): _copies(table) for table in report.tables})),
        trust=TRUST if manifest.role == IMPORTED else "",
        study_digest=digest(manifest.model_dump(mode="json")),
    )


@dataclass(frozen=True)
class Links:
    """Where links lead: from a number to the list of runs on the page, from there to MLflow."""

    report: Report

    @cached_property
    def rows(self) -> dict[str, list[RunLine]]:
        """The runs by the label of their row."""
        found: dict[str, list[RunLine]] = {}
        for run in self.report.runs:
            found.setdefault(run.label, []).append(run)
        return found

    @cached_property
    def _labels(self) -> dict[str | None, str]:
        """The label of each run by its id in MLflow; a run of several rows has the last one's."""
        return {run.mlflow_run_id: run.label for run in self.report.runs}

    def of_row(self, row: TableRow) -> str:
        """Return the address of a row's runs on the page, or ""."""
        return f"#{self.anchor(row.label)}" if row.label in self.rows else ""

    def of_cell(self, cell: Cell, row: TableRow) -> str:
        """Return the address of the runs behind a cell on the page, or ""."""
        if not cell.links:
            return ""
        label = row.label if row.label in self.rows else self._labels.get(cell.links[0], "")
        return f"#{self.anchor(label)}" if label else ""

    def anchor(self, label: str) -> str:
        """Return the id of the runs of a row on the page."""
        return f"runs-{slug(label)}"

    def base_run(self, run: RunLine) -> RunLine | None:
        """Return the base row's run at the same seed; None for that run itself."""
        if run.label == self.report.base:
            return None
        mine = self.rows.get(self.report.base, [])
        return next((other for other in mine if other.seed == run.seed), None)

    def in_mlflow(self, mlflow_run_id: str | None) -> str:
        """Return the address of a run in MLflow; "" where a reader could not reach it."""
        origin = self.report.origin
        if not origin.links or not origin.experiment_id or not mlflow_run_id:
            return ""
        return runs_url(origin.pages, origin.experiment_id, [mlflow_run_id])


def figure_numbers(report: Report) -> dict[str, int]:
    """Return the number of each figure by its key, in the order of the page."""
    lead = [f.key for f in report.figures if f.table == ""]
    under = [f.key for table in report.tables for f in report.figures if f.table == table.key]
    own = [f.key for f in report.figures if f.table is None]
    gallery = ["predictions"] if report.gallery else []
    return {key: i + 1 for i, key in enumerate([*lead, *under, *own, *gallery])}


def digest_name(name: str) -> str:
    """Return in words what a digest is of; on several profiles "training data on voc"."""
    head, on, profile = name.partition(" on ")
    return DIGESTS.get(head, head) + on + profile


def _drawings(figure: Figure) -> tuple[str, str]:
    """Return a figure as SVG for a page and for a phone."""
    return svg(figure.drawing.wide), svg(figure.drawing.narrow)


def _is_new(cell: Cell, report: Report) -> bool:
    return report.news is not None and not report.news.mlflow_run_ids.isdisjoint(cell.links)


def _copies(table: Table) -> dict[str, str]:
    """Return the texts that the buttons under a table copy."""
    return {"csv": rows_csv([table]), "latex": latex(table)}


def _inert(content: Mapping[str, Any]) -> str:
    """Return JSON for a script element: no tag inside the text can end the element."""
    text = json.dumps(content, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def data_uris(shown: Gallery | None) -> dict[Tile, str]:
    """Return every tile as a data URI, all at the largest width within ``BUDGET``."""
    examples = shown.examples if shown else ()
    tiles = [t for e in examples for t in (*e.given, *(tile for pair in e.rows for tile in pair))]
    found: dict[Tile, str] = {}
    for width in WIDTHS:
        found = {tile: data_uri(tile, width) for tile in tiles}
        if sum(map(len, found.values())) <= BUDGET:
            break
    return found


def data_uri(tile: Tile, width: int) -> str:
    """Return the tile as a data URI: a photo as JPEG, labels as PNG.

    Args:
        tile: The image.
        width: Largest width in pixels. A wider image is reduced, labels without mixing colours.
    """
    from PIL import Image

    image = Image.fromarray(tile.pixels)
    if image.width > width:
        how = Image.Resampling.LANCZOS if tile.photo else Image.Resampling.NEAREST
        image = image.resize((width, round(image.height * width / image.width)), how)
    out = io.BytesIO()
    if tile.photo:
        image.save(out, "JPEG", quality=88)
    else:
        # Labels have few colours: a palette takes a third of the bytes and loses nothing.
        colours = image.getcolors(256)
        kept = image.convert("P", palette=Image.Palette.ADAPTIVE) if colours else image
        kept.save(out, "PNG", optimize=True)
    kind = "jpeg" if tile.photo else "png"
    return f"data:image/{kind};base64," + base64.b64encode(out.getvalue()).decode()

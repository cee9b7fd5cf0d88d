"""The page: one file that needs no network and runs no script but its own, images included."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.manifest import IMPORTED, Manifest, slug
from bench.spec import digest
from bench.store.pages import runs_url
from reports.model import Cell, Gallery, Origin, Report, RunLine, Table, Tile
from reports.render.latex import latex
from reports.render.text import VERDICTS, mean_and_interval, notes_of, p_value, rows_csv
from reports.sentences.conditions import TRUST
from reports.wording import seeds

TEMPLATES = Path(__file__).parents[1] / "templates"
BUDGET = 3_000_000
"""Bytes of all images together, so that a report stays below 5 MB."""
WIDTHS = (320, 160, 80)
"""Widths in pixels to try, largest first."""


def page(report: Report) -> str:
    """Return the report as HTML; all text from outside is escaped."""
    from jinja2 import Environment, FileSystemLoader
    from markupsafe import Markup

    manifest, origin = report.manifest, report.origin
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["slug"] = slug
    environment.globals.update(
        mean_and_interval=mean_and_interval,
        p_value=p_value,
        notes_of=notes_of,
        verdicts=VERDICTS,
        link=lambda cell: _link(cell, origin),
        is_new=lambda cell: _is_new(cell, report),
        images=data_uris(report.gallery),
    )
    script = (TEMPLATES / "report.js").read_text()
    return environment.get_template("report.html.j2").render(
        report=report,
        manifest=manifest,
        seeds=seeds(len(manifest.seeds)),
        figures=[
            (figure, Markup(figure.drawing.svg)) for figure in report.figures if figure.on_page
        ],
        settings=_grouped(manifest),
        runs=[(run, _run_link(run, origin)) for run in report.runs],
        style=Markup((TEMPLATES / "report.css").read_text()),
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data=Markup(_inert({slug(table.key): _copies(table) for table in report.tables})),
        trust=TRUST if manifest.role == IMPORTED else "",
        study_digest=digest(manifest.model_dump(mode="json")),
        study_link=_runs_link(origin, [origin.mlflow_run_id]),
    )


def _link(cell: Cell, origin: Origin) -> str:
    """Return the address of the runs behind a cell, or ""."""
    return _runs_link(origin, cell.links)


def _run_link(run: RunLine, origin: Origin) -> str:
    return _runs_link(origin, [run.mlflow_run_id])


def _runs_link(origin: Origin, mlflow_run_ids: Sequence[str | None]) -> str:
    """Return the address of runs in MLflow; "" where there is none."""
    known = [run_id for run_id in mlflow_run_ids if run_id]
    if not origin.experiment_id or not known:
        return ""
    return runs_url(origin.pages, origin.experiment_id, known)


def _is_new(cell: Cell, report: Report) -> bool:
    return report.news is not None and not report.news.mlflow_run_ids.isdisjoint(cell.links)


def _copies(table: Table) -> dict[str, str]:
    """Return the texts that the buttons under a table copy."""
    return {"csv": rows_csv([table]), "latex": latex(table)}


def _inert(content: Mapping[str, Any]) -> str:
    """Return JSON for a script element: no tag inside the text can end the element."""
    text = json.dumps(content, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _grouped(manifest: Manifest) -> dict[str, list[tuple[str, str]]]:
    """Return the fixed settings by their first word: {"data": [("name", "camvid"), …], …}."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for key, value in manifest.settings.items():
        group, _, name = key.partition(".")
        groups.setdefault(group, []).append((name or group, "" if value is None else str(value)))
    return groups


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

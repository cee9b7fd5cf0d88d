"""The page: one file that asks the network for nothing and runs no script but its own."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.manifest import Manifest
from bench.naming import slug
from bench.spec import digest
from bench.store.pages import runs_url
from reports.figures.collect import Figure
from reports.frame import Check, checks, values
from reports.gallery import Gallery, Tile
from reports.model import Cell, Table
from reports.news import News
from reports.published import find_published
from reports.render.latex import latex
from reports.render.pixels import data_uri
from reports.render.records import rows_csv
from reports.render.terminal import VERDICTS, chance, notes_of, parts
from reports.tables import CLASS_TABLES
from reports.wording import seeds

if TYPE_CHECKING:
    import pandas as pd

TEMPLATES = Path(__file__).parents[1] / "templates"
BUDGET = 3_000_000
"""Bytes of all pictures together, so that a report stays below 5 MB."""
WIDTHS = (320, 160, 80)


@dataclass(frozen=True)
class Origin:
    """Where a report comes from: its store's pages, and the command that makes it again."""

    pages: str
    experiment_id: str
    mlflow_run_id: str
    command: str


def page(
    manifest: Manifest,
    frame: pd.DataFrame,
    summary: str,
    tables: Sequence[Table],
    figures: Sequence[Figure],
    shown: Gallery | None,
    origin: Origin,
    news: News | None = None,
) -> str:
    """The whole report as HTML under ``summary``; all text that comes from outside is escaped."""
    from jinja2 import Environment, FileSystemLoader
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["slug"] = slug
    script = (TEMPLATES / "report.js").read_text()
    found = checks(frame)
    fresh = news.mlflow_run_ids if news else frozenset[str]()

    def link(cell: Cell) -> str:
        return runs_url(origin.pages, origin.experiment_id, cell.links) if cell.links else ""

    environment.globals.update(
        parts=parts,
        chance=chance,
        notes_of=notes_of,
        verdicts=VERDICTS,
        link=link,
        is_new=lambda cell: bool(fresh.intersection(cell.links)),
        pictures=_pictures(shown),
    )
    return environment.get_template("report.html.j2").render(
        manifest=manifest,
        seeds=seeds(len(manifest.seeds)),
        summary=summary,
        tables=tables,
        numbers=_numbers(manifest),
        figures=[(figure, Markup(figure.drawing.svg)) for figure in figures if figure.on_page],
        gallery=shown,
        news=news,
        settings=_grouped(manifest),
        fairness=[_fairness(name, found) for name in dict.fromkeys(c.name for c in found)],
        runs=_runs(manifest, frame, origin),
        style=Markup((TEMPLATES / "report.css").read_text()),
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data=Markup(_inert({slug(t.key): _copies(t) for t in tables})),
        study_digest=digest(manifest.model_dump(mode="json")),
        digests={check.name: check.value for check in found if check.name in ("code", "env")},
        origin=origin,
        study_link=runs_url(origin.pages, origin.experiment_id, [origin.mlflow_run_id]),
    )


def _numbers(manifest: Manifest) -> dict[str, str]:
    """The paper's number of each table that repeats one, such as "1b"."""
    head = str(manifest.settings.get("model.head"))
    classes = CLASS_TABLES.get(str(manifest.settings.get("data.name")))
    wanted = {table.key: table.paper for table in manifest.tables} | {"classes": classes}
    found = {key: find_published(name, head) for key, name in wanted.items() if name}
    numbers = {key: paper.key for key, paper in found.items() if paper}
    return numbers | {f"{number}-printed": number for number in numbers.values()}


def _copies(table: Table) -> dict[str, str]:
    return {"csv": rows_csv([table]), "latex": latex(table)}


def _inert(content: Mapping[str, Any]) -> str:
    """JSON that no tag inside it can end: it stands in a script element."""
    text = json.dumps(content, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _pictures(shown: Gallery | None) -> dict[Tile, str]:
    """Every tile as a data URI, all at the largest width that the budget allows."""
    strips = shown.strips if shown else ()
    tiles = [t for s in strips for t in (*s.given, *(tile for pair in s.rows for tile in pair))]
    found: dict[Tile, str] = {}
    for width in WIDTHS:
        found = {tile: data_uri(tile, width) for tile in tiles}
        if sum(map(len, found.values())) <= BUDGET:
            break
    return found


def _grouped(manifest: Manifest) -> dict[str, list[tuple[str, str]]]:
    """What is held equal by its first word: {"data": [("name", "camvid"), …], …}."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for key, value in manifest.settings.items():
        group, _, name = key.partition(".")
        groups.setdefault(group, []).append((name or group, "" if value is None else str(value)))
    return groups


def _fairness(name: str, found: Sequence[Check]) -> dict[str, Any]:
    """One line of the fairness table: the digests that all runs share, and the runs that differ."""
    mine = [check for check in found if check.name == name]
    odd = [f"{label}, seed {seed}" for check in mine for label, seed in check.odd]
    digests = [check.value for check in mine if check.value]
    return {"name": name, "digests": list(dict.fromkeys(digests)), "odd": odd}


def _runs(manifest: Manifest, frame: pd.DataFrame, origin: Origin) -> list[dict[str, Any]]:
    """Every run with its own score, for the list at the end."""
    lines = []
    for run in frame.to_dict(orient="records"):
        score = values(frame, run["label"], f"final/{manifest.metric}").get(run["seed"])
        why = run["reason"] if isinstance(run["reason"], str) else ""
        shown = "" if score is None else f"{100 * score:.2f}"
        known = isinstance(run["mlflow_run_id"], str)
        url = runs_url(origin.pages, origin.experiment_id, [run["mlflow_run_id"]]) if known else ""
        keys = ("label", "seed", "status", "run_id")
        line = {key: run[key] for key in keys}
        lines.append(line | {"reason": why, "score": shown, "url": url})
    return lines

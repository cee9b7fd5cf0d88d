"""One study as a page: tables, figures, predictions and the conditions they were made under."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.manifest import Manifest
from bench.manifest import Table as Wanted
from reports.figures import (
    curve_data,
    draw_curve,
    draw_gains,
    draw_training,
    gain_data,
    training_data,
)
from reports.frame import Check, checks, read_frame, values
from reports.gallery import gallery, legend
from reports.model import Table
from reports.render import (
    document,
    escape_markdown,
    latex,
    markdown,
    one_line,
    parts,
    rows_csv,
    tables_json,
    text,
)
from reports.tables import base_row, build_tables, class_tables
from reports.tuning import tuning_figures, tuning_summary
from reports.wording import seeds, summary

if TYPE_CHECKING:
    import pandas as pd

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class ReportFiles:
    """Where a report was written."""

    index: Path
    """The page: one file that needs nothing else."""
    markdown: Path
    latex: Path
    csv: Path
    json: Path
    figures: tuple[Path, ...]
    note: str
    """One sentence, then the tables in Markdown: for the store's own pages."""

    @property
    def all(self) -> tuple[Path, ...]:
        """Every file."""
        return (self.index, self.markdown, self.latex, self.csv, self.json, *self.figures)


@dataclass(frozen=True)
class Figure:
    """A figure on the page: ``alt`` says in words what it shows."""

    key: str
    svg: str
    caption: str
    alt: str
    table: str | None = None
    """Key of the table it stands under; None for a section of its own."""


def comparison_text(uri: str, study: str, profile: str) -> str:
    """The study's first table for a terminal, under one sentence that sums it up."""
    record, frame = read_frame(uri, study, profile)
    table = build_tables(record.manifest, frame)[0]
    return f"{one_line(_summary(record.manifest, frame, table))}\n\n{text(table)}"


def _summary(manifest: Manifest, frame: pd.DataFrame, table: Table) -> str:
    """What was found, in a few words: of a tuning never the luckiest trial."""
    return tuning_summary(manifest, frame) if manifest.search else summary(table)


def build_report(uri: str, study: str, profile: str, out_dir: Path) -> ReportFiles:
    """Write the study's report to ``out_dir`` from the store alone.

    Raises StoreError where the store does not hold the study. Works at any moment: runs that have
    not finished are listed with their reason.
    """
    record, frame = read_frame(uri, study, profile)
    manifest = record.manifest
    tables = [*build_tables(manifest, frame), *class_tables(manifest, frame)]
    figures = _figures(uri, manifest, frame)
    out_dir.mkdir(parents=True, exist_ok=True)
    found = escape_markdown(_summary(manifest, frame, tables[0]))
    page = _page(uri, manifest, frame, tables, figures)
    return ReportFiles(
        index=_write(out_dir / "index.html", page),
        markdown=_write(out_dir / "tables.md", document(tables, markdown)),
        latex=_write(out_dir / "tables.tex", document(tables, latex)),
        csv=_write(out_dir / "tables.csv", rows_csv(tables)),
        json=_write(out_dir / "tables.json", tables_json(tables)),
        figures=tuple(_write(out_dir / f"{f.key}.svg", f.svg) for f in figures),
        note=f"{found}\n\n{document(tables, markdown)}",
    )


def _figures(uri: str, manifest: Manifest, frame: pd.DataFrame) -> list[Figure]:
    figures = []
    score = f"{manifest.metric.replace('miou', 'mIoU')} (%)"
    for table in manifest.tables:
        data = curve_data(manifest, frame, table)
        if table.x and not data.empty:
            name = table.x.rpartition(".")[2]
            caption = f"{score} over {name}; bars are 95 % intervals over finished seeds."
            svg = draw_curve(data, name, score)
            alt = f"{caption} {_spoken(data)}"
            figures.append(Figure(f"curve-{_slug(table.key)}", svg, caption, alt, table.key))
    figures += [Figure(*drawn) for drawn in tuning_figures(manifest, frame)]
    main = manifest.tables[0]
    gains = gain_data(frame, main)
    if not gains.empty:
        caption = (
            f"Gain in IoU of each class over {_base(main)}, paired by seed; lines are 95 % "
            "intervals over finished seeds."
        )
        alt = f"{caption} The numbers are in tables.csv."
        figures.append(Figure("gains", draw_gains(gains, manifest, main), caption, alt))
    panels = {
        title: data
        for title, key in (("loss, each its own", "train/loss"), ("mIoU on train", "train/miou"))
        if not (data := training_data(uri, frame, main, key)).empty
    }
    if panels:
        caption = (
            "Training of each method: mean of its seeds within the band of all. "
            "Losses of different methods have different scales and do not compare."
        )
        svg = draw_training(panels, manifest, main)
        figures.append(Figure("training", svg, caption, caption))
    return figures


def _page(
    uri: str,
    manifest: Manifest,
    frame: pd.DataFrame,
    tables: Sequence[Table],
    figures: Sequence[Figure],
) -> str:
    from jinja2 import Environment, FileSystemLoader
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["slug"] = _slug
    environment.globals["parts"] = parts
    found = checks(frame)
    return environment.get_template("report.html.j2").render(
        manifest=manifest,
        seeds=seeds(len(manifest.seeds)),
        summary=_summary(manifest, frame, tables[0]),
        tables=tables,
        figures=[(figure, Markup(figure.svg)) for figure in figures],
        strips=gallery(uri, frame, manifest.tables[0], manifest.seeds[0]),
        legend=legend(uri, frame),
        settings=_grouped(manifest),
        fairness=[_fairness(name, found) for name in dict.fromkeys(c.name for c in found)],
        runs=_runs(manifest, frame),
    )


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


def _runs(manifest: Manifest, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Every run with its own score, for the list at the end."""
    lines = []
    for run in frame.to_dict(orient="records"):
        score = values(frame, run["label"], f"final/{manifest.metric}").get(run["seed"])
        why = run["reason"] if isinstance(run["reason"], str) else ""
        shown = "" if score is None else f"{100 * score:.2f}"
        keys = ("label", "seed", "status", "run_id")
        lines.append({**{key: run[key] for key in keys}, "reason": why, "score": shown})
    return lines


def _base(table: Wanted) -> str:
    return base_row(table.rows).label


def _spoken(data: pd.DataFrame) -> str:
    """A curve's points in words, for those who cannot see it."""
    points = zip(data["series"], data["x"], data["mean"], strict=True)
    return "; ".join(f"{series} at {x:g}: {mean:.2f}" for series, x, mean in points) + "."


def _slug(value: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-") or "x"


def _write(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path

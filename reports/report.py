"""One study as files: page, tables in every form, figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from bench.store.pages import pages_at
from bench.store.reading import StudyRecord
from reports.figures.collect import Figure, figures_of
from reports.figures.draw import draw_gallery
from reports.frame import read_frame
from reports.gallery import Gallery, gallery
from reports.model import Table
from reports.news import News, news
from reports.render import latex, markdown
from reports.render.page import Origin, page
from reports.render.records import rows_csv, tables_json
from reports.render.terminal import one_line, text
from reports.statistics.effects import effect_table, measure_table
from reports.statistics.image_counts import read_images
from reports.statistics.scores import Scores
from reports.tables import build_tables, class_tables
from reports.tuning.answer import tuning_summary
from reports.wording import summary

if TYPE_CHECKING:
    import pandas as pd


# What takes a second to import, and is imported where it is used.
LIBRARIES = (
    "pandas",
    "jinja2",
    "matplotlib.figure",
    "matplotlib.backends.backend_svg",
    "matplotlib.backends.backend_pdf",
)


def warm_up() -> None:
    """Import what building a report needs, while there is time."""
    for library in LIBRARIES:
        import_module(library)


@dataclass(frozen=True)
class ReportFiles:
    """A report that was written."""

    index: Path
    """The page: one file that needs nothing else."""
    others: tuple[Path, ...]
    """Tables and figures in every other form."""
    note: str
    """One sentence, then the tables in Markdown: for the store's own pages."""
    summary: str
    """One sentence, the first table, and what is new, for a terminal."""
    record: StudyRecord
    unfinished: int
    """How many runs of the study are still queued or running."""

    @property
    def all(self) -> tuple[Path, ...]:
        """Every file."""
        return (self.index, *self.others)

    def named(self, name: str) -> Path:
        """One of the files."""
        return next(file for file in self.all if file.name == name)


def build_report(
    uri: str,
    study: str,
    profile: str,
    out_dir: Path,
    *,
    command: str | None = None,
    since: datetime | None = None,
) -> ReportFiles:
    """Write the study's report to ``out_dir`` from the store alone.

    Raises StoreError where the store does not hold the study. Works at any moment: runs that have
    not finished are listed with their reason. ``command`` is what makes it again, for the page;
    with ``since`` the runs that finished later are listed and their cells marked.
    """
    record, frame = read_frame(uri, study, profile)
    manifest = record.manifest
    images = read_images(uri, frame, manifest.metric, cache=out_dir.parent / "cache")
    scores = Scores(manifest, frame, images)
    tables = build_tables(manifest, frame, images)
    if not manifest.search:
        tables += class_tables(manifest, frame)
        tables += filter(None, (measure_table(scores), effect_table(scores)))
    shown = None if manifest.search else gallery(uri, scores, manifest.tables[0])
    figures = [*figures_of(uri, manifest, frame), *_predictions(shown)]
    found = tuning_summary(manifest, frame) if manifest.search else summary(tables[0])
    fresh = news(manifest, frame, since) if since else None
    origin = Origin(
        pages=pages_at(uri),
        experiment_id=record.experiment_id,
        mlflow_run_id=record.mlflow_run_id,
        command=command or f"segloss report {study} --profile {profile}",
    )
    out_dir.mkdir(parents=True, exist_ok=True)
    return ReportFiles(
        index=_write(
            out_dir / "index.html",
            page(manifest, frame, found, tables, figures, shown, origin, fresh),
        ),
        others=(
            *_write_tables(out_dir, manifest.title, tables, figures),
            *(file for figure in figures for file in _write_figure(out_dir, figure)),
        ),
        note=f"{markdown.escape(found)}\n\n{markdown.document(tables)}",
        summary=_summary(found, tables[0], fresh),
        record=record,
        unfinished=_unfinished(frame),
    )


def _predictions(shown: Gallery | None) -> list[Figure]:
    """The predictions as a figure for a paper; the page has each picture by itself."""
    if shown is None or not shown.strips:
        return []
    drawing = draw_gallery("predictions", shown)
    colours = "; ".join(shown.colour_names)
    caption = f"{shown.rule} Under each prediction: {colours}."
    return [Figure("predictions", "Predictions", drawing, caption, caption, on_page=False)]


def _write_tables(
    out_dir: Path, title: str, tables: Sequence[Table], figures: Sequence[Figure]
) -> list[Path]:
    drawn = [(f"{figure.key}.pdf", figure.caption) for figure in figures]
    contents = {
        "tables.md": markdown.document(tables),
        "tables.tex": latex.document(tables),
        "macros.tex": latex.macros(tables),
        "paper.tex": latex.paper(title, drawn),
        "tables.csv": rows_csv(tables),
        "tables.json": tables_json(tables),
    }
    return [_write(out_dir / name, content) for name, content in contents.items()]


def _write_figure(out_dir: Path, figure: Figure) -> tuple[Path, Path]:
    pdf = out_dir / f"{figure.key}.pdf"
    pdf.write_bytes(figure.drawing.pdf)
    return _write(out_dir / f"{figure.key}.svg", figure.drawing.svg), pdf


def _summary(found: str, table: Table, fresh: News | None) -> str:
    lines = [one_line(found), "", text(table)]
    if fresh:
        lines += [f"New since {fresh.since}:", *map(one_line, fresh.lines or ("nothing",)), ""]
    return "\n".join(lines)


def _unfinished(frame: pd.DataFrame) -> int:
    waiting = frame["status"].isin(["queued", "running", "interrupted"])
    return int(frame.loc[waiting, "run_id"].nunique())


def _write(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path

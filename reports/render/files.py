"""A report as files: the page, its tables in every format, and its figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.files import read_json, write_json
from reports.figures.gallery import gallery_figure
from reports.model import Report
from reports.render import latex
from reports.render.numbers import macros
from reports.render.page import page
from reports.render.pdf import pdf
from reports.render.summary import summary_markdown
from reports.render.svg import svg
from reports.render.text import lead_markdown, markdown_document, rows_csv, tables_json

PAPER = "paper.tex"
WRITTEN = ".written.json"
"""File of a report's folder: the names of the files that it wrote there."""


def write_report(
    out_dir: Path, report: Report, *, with_pdf: bool = False
) -> tuple[Path, tuple[Path, ...]]:
    """Write a report into ``out_dir``; return its page, and its tables and figures.

    Files of an earlier report that are not written again are removed, so that no old figure stays
    beside new numbers. Files that no report wrote stay: the folder may be one of the user's.

    Args:
        out_dir: Folder for the files; made if it does not exist.
        report: The report.
        with_pdf: Write paper.tex and each figure as PDF as well.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    index = _write(out_dir / "index.html", page(report))
    files = _write_tables(out_dir, report)
    for figure in report.figures:
        files.append(_write(out_dir / f"{figure.key}.svg", svg(figure.drawing.wide)))
    files += _write_paper(out_dir, report) if with_pdf else []
    remove_earlier(out_dir, [index, *files])
    return index, tuple(files)


def remove_earlier(out_dir: Path, files: Sequence[Path]) -> None:
    """Remove figures and paper of an earlier report from a folder, and note the new files."""
    before = read_json(out_dir / WRITTEN)
    known = {str(name) for name in before} if isinstance(before, list) else set()
    for old in (*out_dir.glob("*.svg"), *out_dir.glob("*.pdf"), out_dir / PAPER):
        if old not in files and old.name in known:
            old.unlink(missing_ok=True)
    write_json(out_dir / WRITTEN, [file.name for file in files])


def _write_tables(out_dir: Path, report: Report) -> list[Path]:
    tables = report.tables
    contents = {
        "tables.md": f"{lead_markdown(report.lead)}\n{markdown_document(tables)}",
        "tables.tex": latex.document(tables),
        "macros.tex": macros(tables),
        "tables.csv": rows_csv(tables),
        "tables.json": tables_json(tables),
        "summary.md": summary_markdown(report),
    }
    return [_write(out_dir / name, content) for name, content in contents.items()]


def _write_paper(out_dir: Path, report: Report) -> list[Path]:
    """Write the document for LaTeX, and the figures that it includes."""
    shown = report.gallery
    figures = [*report.figures, *([gallery_figure(shown)] if shown and shown.examples else [])]
    for figure in figures:
        (out_dir / f"{figure.key}.pdf").write_bytes(pdf(figure.drawing.wide))
    drawn = [(f"{figure.key}.pdf", figure.caption) for figure in figures]
    paper = _write(out_dir / PAPER, latex.paper(report, drawn))
    return [paper, *(out_dir / name for name, _ in drawn)]


def _write(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path

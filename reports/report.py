"""One study's report as files: the page, its tables in every format, and its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from bench.iou import HEADLINE
from bench.runs.source_code import project_digest
from bench.store.pages import pages_at
from bench.store.reading import StudyRecord
from reports.figures.gallery import gallery, gallery_figure
from reports.figures.study import TRAINING, study_figures, training_figures
from reports.model import DigestLine, Figure, Gallery, News, Origin, Report, RunLine, Table
from reports.news import news
from reports.render import latex
from reports.render.page import page
from reports.render.text import (
    escape_markdown,
    markdown_document,
    one_line,
    rows_csv,
    tables_json,
    text,
)
from reports.statistics.scores import Scores, distinct_rows
from reports.stored import class_colours, read_predictions, read_scores, read_training
from reports.tables.build import build_tables
from reports.tables.further import class_tables, effect_table, measure_table
from reports.tables.sentences import summary
from reports.tuning.figures import tuning_figures
from reports.tuning.sentences import tuning_summary
from reports.wording import listed

if TYPE_CHECKING:
    import pandas as pd


# Libraries that take a second to import; they are imported where they are used.
LIBRARIES = (
    "pandas",
    "jinja2",
    "matplotlib.figure",
    "matplotlib.backends.backend_svg",
    "matplotlib.backends.backend_pdf",
)


def warm_up() -> None:
    """Import the libraries that building a report needs, and note the code, ahead of time."""
    project_digest()
    for library in LIBRARIES:
        import_module(library)


@dataclass(frozen=True)
class ReportFiles:
    """A report on disk."""

    index: Path
    """The page: one file that needs no other."""
    others: tuple[Path, ...]
    """Tables and figures in every other format."""
    note: str
    """One sentence, then the tables in Markdown: for MLflow's pages."""
    summary: str
    """One sentence, the first table and the news: for a terminal."""
    record: StudyRecord
    unfinished: int
    """Number of runs that are still queued or running."""

    @property
    def all(self) -> tuple[Path, ...]:
        """Every file."""
        return (self.index, *self.others)

    def named(self, name: str) -> Path:
        """Return the file with this name."""
        return next(file for file in self.all if file.name == name)


def build_report(
    uri: str,
    study: str,
    profile: str,
    out_dir: Path,
    *,
    command: str | None = None,
    since: datetime | None = None,
    stale: Mapping[str, str] | None = None,
    code: Sequence[str] = (),
) -> ReportFiles:
    """Write a study's report, from the store alone, and return its files.

    A report can be built at any moment: it lists the runs that have not finished, with the reason.

    Args:
        uri: Address of the store.
        study: Name of the study.
        profile: Name of the profile that it ran on.
        out_dir: Folder for the files; made if it does not exist.
        command: Command that builds the report again, printed on the page.
        since: Moment after which a finished run is news: listed, with its cells marked.
        stale: Parts in which runs behave differently from the code at hand, by run id; beside those
            that the store knows of.
        code: Lines about the code at hand, printed under Conditions.

    Raises:
        StoreError: The store does not hold the study.
    """
    record, scores = read_scores(uri, study, profile, cache=out_dir.parent / "cache")
    origin = Origin(
        pages=pages_at(uri),
        experiment_id=record.experiment_id,
        mlflow_run_id=record.mlflow_run_id,
        command=command or f"segloss report {study} --profile {profile}",
    )
    frame, known = scores.frame, dict(stale or {})
    frame["behaves"] = [
        known.get(run_id, kept)
        for run_id, kept in zip(frame["run_id"], frame["behaves"], strict=True)
    ]
    old = [] if scores.imported else _unprobed(frame)
    report = _report(uri, scores, origin, since, (*code, *old))
    index, others = write_report(out_dir, report)
    return ReportFiles(
        index=index,
        others=others,
        note=f"{escape_markdown(report.summary)}\n\n{markdown_document(report.tables)}",
        summary=_terminal_text(report.summary, report.tables[0], report.news),
        record=record,
        unfinished=_unfinished(scores.frame),
    )


def write_report(out_dir: Path, report: Report) -> tuple[Path, tuple[Path, ...]]:
    """Write a report into ``out_dir``; return its page, and its tables and figures."""
    out_dir.mkdir(parents=True, exist_ok=True)
    index = _write(out_dir / "index.html", page(report))
    drawn = (file for figure in report.figures for file in _write_figure(out_dir, figure))
    return index, (*_write_tables(out_dir, report), *drawn)


def _report(
    uri: str, scores: Scores, origin: Origin, since: datetime | None, code: tuple[str, ...]
) -> Report:
    manifest, frame = scores.manifest, scores.frame
    tables, shown = build_tables(scores), None
    if manifest.search:
        result, figures = tuning_summary(scores), tuning_figures(scores)
    else:
        tables += class_tables(scores)
        tables += filter(None, (measure_table(scores), effect_table(scores)))
        result, figures = summary(tables[0]), study_figures(scores)
        shown = _gallery(uri, scores)
    histories = read_training(uri, frame, manifest.tables[0], list(TRAINING.values()))
    figures += training_figures(manifest, frame, histories)
    if manifest.settings.get("evaluation.every"):
        drawn, said = _progress(uri, scores)
        figures, result = [*figures, *drawn], f"{result} {said}".strip()
    if shown and shown.examples:
        figures.append(gallery_figure(shown))
    return Report(
        manifest=manifest,
        summary=result,
        tables=tuple(tables),
        figures=tuple(figures),
        gallery=shown,
        news=news(scores, since) if since else None,
        digests=digest_lines(scores),
        code=code,
        runs=run_lines(scores),
        origin=origin,
    )


def _progress(uri: str, scores: Scores) -> tuple[list[Figure], str]:
    """Return the figure of the scores on the way, and the sentence about the ranking."""
    from reports.figures.progress import (
        metric_on_the_way,
        progress_data,
        progress_figures,
        sentence,
    )

    table = scores.manifest.tables[0]
    histories = read_training(uri, scores.frame, table, [metric_on_the_way(scores)])
    data = progress_data(scores, table, histories)
    return progress_figures(scores, data), "" if data.empty else sentence(data)


def _unprobed(frame: pd.DataFrame) -> list[str]:
    """Return the sentence about runs that recorded no behaviour; nothing without one."""
    old = frame.loc[frame["status"].isin(["finished", "diverged"]) & frame["probed"].isna(), :]
    if not (count := old["run_id"].nunique()):
        return []
    rows = listed(list(dict.fromkeys(old["label"])), most=6)
    runs = "1 run was" if count == 1 else f"{count} runs were"
    return [
        f"{runs} made by a version that did not record how its parts behave (unprobed): {rows}. "
        "Whether today's code would give the same numbers is not known."
    ]


def _gallery(uri: str, scores: Scores) -> Gallery | None:
    """Return the example images of the first seed at which a finished run kept predictions."""
    rows = distinct_rows(scores.manifest.tables[0])
    for seed in scores.manifest.seeds:
        if kept := read_predictions(uri, scores.frame, rows, seed):
            return gallery(scores, kept, seed, class_colours(uri, scores.frame))
    return None


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
    return tuple(
        RunLine(
            label=run["label"],
            seed=run["seed"],
            status=run["status"],
            reason=run["reason"] if isinstance(run["reason"], str) else "",
            run_id=run["run_id"],
            mlflow_run_id=run["mlflow_run_id"] if isinstance(run["mlflow_run_id"], str) else None,
            score=scores.of(run["label"], HEADLINE).get(run["seed"]),
        )
        for run in scores.frame.to_dict("records")
    )


def _write_tables(out_dir: Path, report: Report) -> list[Path]:
    tables: Sequence[Table] = report.tables
    drawn = [(f"{figure.key}.pdf", figure.caption) for figure in report.figures]
    contents = {
        "tables.md": markdown_document(tables),
        "tables.tex": latex.document(tables),
        "macros.tex": latex.macros(tables),
        "paper.tex": latex.paper(report.manifest.title, drawn),
        "tables.csv": rows_csv(tables),
        "tables.json": tables_json(tables),
    }
    return [_write(out_dir / name, content) for name, content in contents.items()]


def _write_figure(out_dir: Path, figure: Figure) -> tuple[Path, Path]:
    pdf = out_dir / f"{figure.key}.pdf"
    pdf.write_bytes(figure.drawing.pdf)
    return _write(out_dir / f"{figure.key}.svg", figure.drawing.svg), pdf


def _terminal_text(result: str, table: Table, fresh: News | None) -> str:
    lines = [one_line(result), "", text(table)]
    if fresh:
        lines += [f"New since {fresh.since}:", *map(one_line, fresh.lines or ("nothing",)), ""]
    return "\n".join(lines)


def _unfinished(frame: pd.DataFrame) -> int:
    waiting = frame["status"].isin(["queued", "running", "interrupted"])
    return int(frame.loc[waiting, "run_id"].nunique())


def _write(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path

"""One study's report as files: the page, its tables in every format, and its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from bench.manifest import base_row, distinct_rows
from bench.runs.source_code import project_digest
from bench.store.pages import LOCAL_PAGES, pages_at
from bench.store.reading import StudyRecord
from reports.environment import environments, work
from reports.figures.forest import forest_figures
from reports.figures.gallery import gallery
from reports.figures.study import TRAINING, study_figures, training_figures
from reports.lines import digest_lines, run_lines
from reports.model import Figure, Gallery, Lead, News, Origin, Report, Table
from reports.news import news
from reports.render.files import write_report
from reports.render.text import lead_markdown, lead_text, markdown_document, one_line, text
from reports.sentences import conditions
from reports.statistics.scores import Scores
from reports.stored import (
    class_colours,
    read_environments,
    read_predictions,
    read_scores,
    read_training,
)
from reports.tables.build import build_tables
from reports.tables.costs import cost_table
from reports.tables.further import class_tables, effect_table, measure_table
from reports.tables.lead import lead
from reports.tables.others import others_table
from reports.tables.pairs import pair_tables
from reports.tuning.figures import tuning_figures
from reports.tuning.sentences import tuning_lead
from reports.wording import listed

if TYPE_CHECKING:
    import pandas as pd


# Libraries that take a second to import; they are imported where they are used.
LIBRARIES = (
    "pandas",
    "jinja2",
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
    """The answer, then the tables in Markdown: for MLflow's pages."""
    summary: str
    """The answer, the first table and the news: for a terminal."""
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
    rerun: str | None = None,
    since: datetime | None = None,
    stale: Mapping[str, str] | None = None,
    code: Sequence[str] = (),
    with_pdf: bool = False,
    links: bool = False,
) -> ReportFiles:
    """Write a study's report, from the store alone, and return its files.

    A report can be built at any moment: it lists the runs that have not finished, with the reason.

    Args:
        uri: Address of the store.
        study: Name of the study.
        profile: Name of the profile that it ran on.
        out_dir: Folder for the files; made if it does not exist.
        command: Command that builds the report again, printed on the page.
        rerun: Command that runs the study, to which the answer adds a number of seeds.
        since: Moment after which a finished run is news: listed, with its cells marked.
        stale: Parts in which runs behave differently from the code at hand, by run id; beside those
            that the store knows of.
        code: Lines about the code at hand, printed under Conditions.
        with_pdf: Write paper.tex and each figure as PDF as well, which takes a few seconds.
        links: Link runs to MLflow's pages even if those are served on this machine alone.

    Raises:
        StoreError: The store does not hold the study.
    """
    record, scores = read_scores(uri, study, profile, cache=out_dir.parent / "cache")
    pages = pages_at(uri)
    origin = Origin(
        pages=pages,
        experiment_id=record.experiment_id,
        mlflow_run_id=record.mlflow_run_id,
        command=command or f"segloss report {study} --profile {profile}",
        links=links or pages != LOCAL_PAGES,
    )
    frame, known = scores.frame, dict(stale or {})
    frame["behaves"] = [
        known.get(run_id, kept)
        for run_id, kept in zip(frame["run_id"], frame["behaves"], strict=True)
    ]
    old = [] if scores.imported else _unprobed(frame)
    again = "" if scores.imported else rerun or f"segloss run {study} --profile {profile}"
    report = _report(uri, scores, origin, since, (*code, *old), again)
    index, others = write_report(out_dir, report, with_pdf=with_pdf)
    return ReportFiles(
        index=index,
        others=others,
        note=f"{lead_markdown(report.lead)}\n{markdown_document(report.tables)}",
        summary=_terminal_text(report.lead, report.tables[0], report.news),
        record=record,
        unfinished=_unfinished(scores.frame),
    )


def _report(
    uri: str,
    scores: Scores,
    origin: Origin,
    since: datetime | None,
    code: tuple[str, ...],
    rerun: str,
) -> Report:
    manifest, frame = scores.manifest, scores.frame
    tables, shown = build_tables(scores), None
    if manifest.search:
        result, figures = tuning_lead(scores), tuning_figures(scores)
    else:
        tables += class_tables(scores)
        further = (measure_table(scores), effect_table(scores), cost_table(scores))
        tables += filter(None, further)
        tables += [*pair_tables(scores), *filter(None, [others_table(manifest)])]
        result = lead(scores, rerun)
        figures = [*forest_figures(scores), *study_figures(scores)]
        shown = _gallery(uri, scores)
    histories = read_training(uri, frame, manifest.tables[0], TRAINING)
    figures += training_figures(manifest, frame, histories)
    if manifest.settings.get("evaluation.every"):
        drawn, said = _progress(uri, scores)
        figures += drawn
        result = result.adding(said) if said else result
    return Report(
        manifest=manifest,
        lead=result,
        tables=tuple(tables),
        figures=tuple(figures),
        gallery=shown,
        news=news(scores, since) if since else None,
        digests=digest_lines(scores),
        code=code,
        runs=run_lines(scores),
        origin=origin,
        environments=tuple(environments(read_environments(uri, frame), frame)),
        work=work(frame),
        base="" if manifest.search else base_row(manifest.tables[0].rows).label,
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
    text = conditions.UNPROBED_RUN if count == 1 else conditions.UNPROBED_RUNS
    return [text.format(count=count, rows=rows)]


def _gallery(uri: str, scores: Scores) -> Gallery | None:
    """Return the example images of the first seed at which a finished run kept predictions."""
    rows = distinct_rows(scores.manifest.tables[0])
    for seed in scores.manifest.seeds:
        if kept := read_predictions(uri, scores.frame, rows, seed):
            return gallery(scores, kept, seed, class_colours(uri, scores.frame))
    return None


def _terminal_text(result: Lead, table: Table, fresh: News | None) -> str:
    lines = [lead_text(result), "", text(table)]
    if fresh:
        lines += [f"New since {fresh.since}:", *map(one_line, fresh.lines or ("nothing",)), ""]
    return "\n".join(lines)


def _unfinished(frame: pd.DataFrame) -> int:
    waiting = frame["status"].isin(["queued", "running", "interrupted"])
    return int(frame.loc[waiting, "run_id"].nunique())

"""A study on several profiles as files: the page, its tables in every format, and its figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.errors import SpecError
from bench.manifest import IMPORTED, Manifest, slug
from bench.spec import Scalar, digest
from bench.store.pages import pages_at
from reports.lines import digest_lines, run_lines
from reports.model import DigestLine, Origin, Report, RunLine
from reports.profiles.answer import Answer, Side
from reports.profiles.figures import figures
from reports.profiles.sentences import profiles_lead
from reports.profiles.tables import all_tables
from reports.render.files import write_report
from reports.render.text import lead_text, text
from reports.stored import read_scores


@dataclass(frozen=True)
class ProfilesFiles:
    """The report on disk."""

    index: Path
    """The page."""
    others: tuple[Path, ...]
    """Tables and figures in every other format."""
    summary: str
    """One sentence and the tables, for a terminal."""


def build_profiles_report(
    uri: str,
    study: str,
    profiles: Sequence[str],
    folder: Path,
    command: str,
    out: Path | None = None,
    *,
    with_pdf: bool = False,
) -> ProfilesFiles:
    """Write the report of a study on several profiles, from the store alone.

    Args:
        uri: Address of the store.
        study: Name of the study.
        profiles: Names of two profiles or more.
        folder: Folder of all reports; the files go into one of its own in it.
        command: Command that builds the report again, printed on the page.
        out: Folder for the files instead.
        with_pdf: Write paper.tex and each figure as PDF as well.

    Raises:
        SpecError: There are fewer than two profiles, or one without a finished run.
        StoreError: The study did not run on one of the profiles.
    """
    answer = read_answer(uri, study, profiles, folder / "cache")
    report = _report(answer, uri, command)
    out_dir = out or folder / slug(f"{study}-on-{'-and-'.join(profiles)}")
    index, others = write_report(out_dir, report, with_pdf=with_pdf)
    lines = [lead_text(report.lead), "", *map(text, report.tables)]
    return ProfilesFiles(index, others, "\n".join(lines))


def read_answer(uri: str, study: str, profiles: Sequence[str], cache: Path) -> Answer:
    """Return a study on several profiles, as the store has it; raises as above."""
    if len(set(profiles)) < 2:
        raise SpecError(
            f"--profiles {' '.join(profiles)} names fewer than two profiles; name another, or give "
            "--profile for the report of one"
        )
    sides = []
    for profile in dict.fromkeys(profiles):
        _, scores = read_scores(uri, study, profile, cache=cache)
        if scores.manifest.search:
            raise SpecError(f"{study} on {profile} is a tuning; --profiles takes studies of tables")
        side = Side(scores)
        if all(side.mean(label) is None for label in scores.manifest.rows):
            raise SpecError(
                f"{study} on {profile} has no finished run; run it first, or leave {profile} out"
            )
        sides.append(side)
    return Answer(tuple(sides))


def _report(answer: Answer, uri: str, command: str) -> Report:
    tables = all_tables(answer)
    return Report(
        manifest=_manifest(answer),
        lead=profiles_lead(answer, tables[0]),
        tables=tables,
        figures=tuple(figures(answer, tables[0])),
        gallery=None,
        news=None,
        digests=tuple(line for side in answer.sides for line in _digests(side)),
        code=(),
        runs=tuple(line for side in answer.sides for line in _runs(side)),
        origin=Origin(pages_at(uri), None, None, command),
    )


def _manifest(answer: Answer) -> Manifest:
    """Return one manifest for the page's heads: what all profiles share, and where they differ."""
    sides = answer.sides
    first = sides[0].manifest
    metrics = {side.manifest.metric for side in sides}
    return first.model_copy(
        update={
            "profile": ", ".join(side.profile for side in sides),
            "scale": answer.scale,
            "role": IMPORTED if all(side.scores.imported for side in sides) else "train",
            "metric": first.metric if len(metrics) == 1 else "score",
            "seeds": tuple(sorted({seed for side in sides for seed in side.manifest.seeds})),
            "comparison_key": digest([side.manifest.comparison_key for side in sides]),
            "settings": _settings(sides),
        }
    )


def _settings(sides: Sequence[Side]) -> dict[str, Scalar | None]:
    """Return the fixed settings; where profiles differ, the value of each."""
    found: dict[str, Scalar | None] = {}
    for key in dict.fromkeys(key for side in sides for key in side.manifest.settings):
        values = {side.profile: side.manifest.settings.get(key) for side in sides}
        same = len(set(map(repr, values.values()))) == 1
        each = ", ".join(f"{value} ({profile})" for profile, value in values.items())
        found[key] = next(iter(values.values())) if same else each
    return found


def _digests(side: Side) -> list[DigestLine]:
    lines = digest_lines(side.scores)
    return [replace(line, name=f"{line.name} on {side.profile}") for line in lines]


def _runs(side: Side) -> list[RunLine]:
    """Return the runs of one profile, without links: each profile has a place of its own."""
    return [
        replace(line, label=f"{line.label} on {side.profile}", mlflow_run_id=None)
        for line in run_lines(side.scores)
    ]

"""The verb compare, and the check that a study names tables that were published."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bench.errors import SpecError, unknown
from bench.store.client import default_uri

if TYPE_CHECKING:
    from reports.tables.comparison import Side
    from studies.schema import Study


def print_comparison(
    ours: str, theirs: str, *, profile: str, root: Path, store: str | None
) -> None:
    """Print how the rows of A lie above those of B; raises where they measure different things."""
    from reports.render.terminal import text
    from reports.tables.comparison import compare_studies

    sides = [_side(name, profile, root, store) for name in (ours, theirs)]
    typer.echo(text(compare_studies(*sides)))


def check_papers(studies: Mapping[str, Study]) -> None:
    """Raise SpecError where a table says it repeats one that was never published."""
    from reports.published import published_keys

    known = published_keys()
    for name, study in studies.items():
        for key, table in study.tables.items():
            if table.paper is not None and table.paper not in known:
                what = unknown("published table", table.paper, known)
                raise SpecError(f"{name}: tables.{key}.paper: {what}")


def _side(name: str, profile: str, root: Path, store: str | None) -> Side:
    from reports.stored.study import read_scores
    from reports.tables.comparison import Side
    from studies.schema import profile_name, study_name

    folder, _, given = name.rpartition("/")
    study, _, held = given.partition("@")
    if not study:
        raise SpecError(f"{name!r} names no study: write [ROOT/]STUDY[@PROFILE]")
    uri = default_uri(Path(folder)) if folder else store or default_uri(root)
    _, scores = read_scores(uri, study_name(study), profile_name(held or profile))
    return Side(name, scores)

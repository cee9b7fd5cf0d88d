"""The verb compare, and the report on several profiles."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import (
    DEFAULT_PROFILE,
    DEFAULT_ROOT,
    ProfileOption,
    RootOption,
    StoreOption,
)
from bench.cli.views.text import say

if TYPE_CHECKING:
    from reports.tables.comparison import Side


def compare(
    a: Annotated[
        str, typer.Argument(metavar="A", help="[ROOT/]STUDY[@PROFILE], or the folder of a bundle.")
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="The study to compare it with.")],
    profile: ProfileOption = DEFAULT_PROFILE,
    root: RootOption = DEFAULT_ROOT,
    store: StoreOption = None,
) -> None:
    """Compare two studies, profiles or output folders row by row, and list what else differs."""
    from reports.render.text import text
    from reports.tables.comparison import compare_studies

    with ExitStack() as stack:
        sides = [_side(name, profile, root, store, stack) for name in (a, b)]
        say(text(compare_studies(*sides)))


def _side(name: str, profile: str, root: Path, store: str | None, stack: ExitStack) -> Side:
    from bench.cli.bundles.source import store_of, study_of
    from bench.errors import SpecError
    from bench.store.client import default_uri
    from reports.bundle.files import is_bundle
    from reports.stored import read_scores
    from reports.tables.comparison import Side
    from studies.schema import profile_name, study_name

    if is_bundle(Path(name)):
        uri = stack.enter_context(store_of(Path(name)))
        return Side(name, read_scores(uri, *study_of(Path(name)))[1])
    folder, _, rest = name.rpartition("/")
    study, _, own_profile = rest.partition("@")
    if not study:
        raise SpecError(f"{name!r} names no study: write [ROOT/]STUDY[@PROFILE]")
    own = stack.enter_context(store_of(Path(folder))) if folder else None
    uri = own or store or default_uri(root)
    _, scores = read_scores(uri, study_name(study), profile_name(own_profile or profile))
    return Side(name, scores)


def report_profiles(
    study: str,
    profiles: list[str],
    root: Path,
    store: str | None,
    out: Path | None = None,
    *,
    with_pdf: bool = False,
) -> None:
    """Build the report of a study on several profiles, and print its summary and address."""
    from bench.files import check_place
    from bench.store.client import default_uri
    from reports.profiles.build import build_profiles_report

    root = root.resolve()
    command = f"segloss report {study} --profiles {' '.join(profiles)} --root {root}"
    uri = store or default_uri(root)
    check_place(out or root / "reports", "give another folder with --out")
    files = build_profiles_report(
        uri, study, profiles, root / "reports", command, out, with_pdf=with_pdf
    )
    say(files.summary)
    say(f"report: {files.index}")

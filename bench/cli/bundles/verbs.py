"""The verbs publish and verify, and the report of a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import (
    DEFAULT_PROFILE,
    DEFAULT_ROOT,
    ProfileOption,
    RootOption,
    ScaleOption,
    StepsOption,
    Study,
)
from bench.cli.views.text import say

Bundle = Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder that publish wrote.")]


def publish(
    study: Study,
    out: Annotated[
        Path, typer.Option("--out", help="The bundle: a new folder, or one to bring up to date.")
    ],
    profile: ProfileOption = DEFAULT_PROFILE,
    steps: StepsOption = None,
    scale: ScaleOption = None,
    root: RootOption = DEFAULT_ROOT,
) -> None:
    """Write a study and its finished runs into a small folder of text files, to share and cite."""
    from bench.cli.bundles.definitions import definitions
    from bench.errors import RootError
    from bench.files import check_place
    from bench.manifest import recall
    from bench.profile import shortened_name
    from reports.bundle import write
    from studies.schema import profile_name, study_name

    name = shortened_name(profile, steps, scale)
    manifest = recall(root.resolve(), study_name(study), profile_name(name))
    if manifest is None:
        raise RootError(f"{root}: {study_name(study)} was not run on {profile_name(name)} here")
    check_place(out, "give another folder with --out")
    own = definitions(study, name, manifest) if manifest.role == "train" else {}
    published = write.publish(root.resolve(), manifest, out.resolve(), own)
    write.add_report(out.resolve())
    for note in published.notes:
        say(note, err=True)
    size = write.size_of(out.resolve())
    say(
        f"{out}: {published.runs} of {published.total} runs, {size / 1000:,.0f} kB, "
        f"{size / 1000 / published.runs:.1f} kB a run"
    )
    say("Write the authors into .zenodo.json, and publish again for CITATION.cff.")


def verify(folder: Bundle) -> None:
    """Recompute every number of a bundle from its counts, and compare what it says."""
    from reports.bundle.verify import verify as check

    say(check(folder.resolve()))


def report_from(
    folder: Path, root: Path, out: Path | None = None, *, with_pdf: bool = False
) -> None:
    """Build the report of a bundle, and print its summary and address.

    Args:
        folder: The bundle.
        root: The output folder, for a report without a place of its own.
        out: Folder for the report.
        with_pdf: Write paper.tex and each figure as PDF as well.
    """
    from bench.files import check_place
    from bench.manifest import slug
    from bench.store.snapshot import address
    from reports.bundle.read import unpacked
    from reports.report import build_report

    place = out or root.resolve() / "reports" / slug(f"from-{folder.resolve().name}")
    check_place(place, "give another folder with --out")
    with unpacked(folder.resolve()) as (bundle, unpacked_root):
        files = build_report(
            address(unpacked_root),
            bundle.manifest.study,
            bundle.manifest.profile,
            place,
            command=f"segloss report --from {folder}",
            rerun=bundle.rerun,
            with_pdf=with_pdf,
        )
    say(files.summary)
    say(f"report: {files.index}")

"""The verbs import and sync, and those of `segloss export`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bench.cli.options import (
    DEFAULT_ROOT,
    DataRootOption,
    RootOption,
    Run,
    SeedOption,
    StoreOption,
)
from bench.cli.views.text import say

if TYPE_CHECKING:
    from studies.merge import MergeResult

export = typer.Typer(help="Export predictions for a challenge server.", no_args_is_help=True)


@export.callback()
def _group() -> None:
    """Without a callback, Typer would make the only verb the group itself."""


@export.command("voc-test")
def voc_test(
    run: Run,
    out: Annotated[Path, typer.Option("--out", help="The archive to write, such as rmi.tgz.")],
    seed: SeedOption = None,
    competition: Annotated[
        Literal["comp5", "comp6"],
        typer.Option(help="comp5: trained on VOC's own data only; comp6: on any data."),
    ] = "comp6",
    root: RootOption = DEFAULT_ROOT,
    data_root: DataRootOption = None,
) -> None:
    """Predict VOC's test images with a finished run and pack them for the evaluation server."""
    from bench.runs.rundir import run_dir
    from bench.worker.voc_test import export_test
    from studies.runs import find_run, run_names

    run_id = find_run(run_names(root), run, seed).run_id
    count = export_test(run_dir(root, run_id), out, competition, data_root)
    say(f"{count} predictions of {run_id} for {competition}: {out}")


def import_runs(
    file: Annotated[Path, typer.Argument(help="CSV file with one line per run.")],
    study: Annotated[str, typer.Option("--study", help="Name of the study that they become.")],
    profile: Annotated[
        str, typer.Option("--profile", help="Name for their data, network and recipe.")
    ] = "imported",
    method_column: Annotated[
        str, typer.Option("--method-column", help="Column with the method of a run.")
    ] = "method",
    seed_column: Annotated[
        str, typer.Option("--seed-column", help="Column with the seed of a run.")
    ] = "seed",
    score: Annotated[
        list[str] | None,
        typer.Option(
            "--score", help="Column with a score, once for each; methods are compared in the first."
        ),
    ] = None,
    images: Annotated[
        Path | None, typer.Option("--images", help="CSV file with one line per run and image.")
    ] = None,
    percent: Annotated[
        bool, typer.Option("--percent", help="Read every score as percent, also those below 1.")
    ] = False,
    root: RootOption = DEFAULT_ROOT,
    store: StoreOption = None,
) -> None:
    """Make a study with a report of runs that were made elsewhere."""
    from bench.cli.report import Builder
    from bench.store.client import default_uri
    from bench.store.mirror import Mirror
    from studies.imported.images import read_images
    from studies.imported.runs import Columns, missing_seeds, read_runs
    from studies.imported.sheet import read_sheet
    from studies.imported.write import manifest_of, write_runs
    from studies.ledger import lock_root
    from studies.schema import profile_name, study_name

    columns = Columns(method_column, seed_column, tuple(score or Columns.scores))
    sheets = {"file": read_sheet(file)}
    found, tables = read_runs(sheets["file"], columns, percent=percent), {}
    if images is not None:
        sheets["images"] = read_sheet(images)
        found, tables = read_images(sheets["images"], columns, found)
    manifest = manifest_of((study_name(study), profile_name(profile)), found, sheets)
    root = root.resolve()
    mirror = Mirror(store or default_uri(root), root / "artifacts")
    with lock_root(root):
        written = write_runs(root, manifest, found, tables)
        if written.before is not None and written.before != manifest:
            mirror.forget(written.before)
        mirror.sync(root, manifest)
    unit = "percent" if found.unit == "percent" else "fractions of 1"
    say(f"{file.name}: {written.sentence}; scores are read as {unit}")
    for line in missing_seeds(found):
        say(line)
    builder = Builder(root, store, manifest.study, manifest.profile)
    builder.make(None)


def sync(
    root: RootOption = DEFAULT_ROOT,
    store: StoreOption = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Delete every run from the store first.")
    ] = False,
    other: Annotated[
        Path | None,
        typer.Option(
            "--from", help="Merge the finished runs of this output folder or bundle first."
        ),
    ] = None,
) -> None:
    """Bring the MLflow store up to date with the run directories."""
    from bench.cli.bundles.source import as_root
    from bench.manifest import manifests
    from bench.store.client import default_uri
    from bench.store.mirror import Mirror
    from studies.ledger import lock_root
    from studies.merge import check_other, merge

    root = root.resolve()
    mirror = Mirror(store or default_uri(root), root / "artifacts")
    with ExitStack() as stack:
        source = stack.enter_context(as_root(other.resolve())) if other else None
        if source is None:
            manifests(root)  # raises before the lock creates a folder
        else:
            check_other(root, source)
        stack.enter_context(lock_root(root))
        if other and source:
            _print_merged(merge(root, source), source, other.resolve())
        for manifest in manifests(root):
            if rebuild:
                mirror.forget(manifest)
            say(f"{manifest.name}: {mirror.sync(root, manifest)} runs written")


def _print_merged(merged: MergeResult, source: Path, other: Path) -> None:
    for note in merged.notes:
        say(note.replace(str(source), str(other)), err=True)
    studies = f", and {', '.join(merged.studies)}" if merged.studies else ""
    say(f"from {other}: {len(merged.runs)} runs copied, {merged.same} already here{studies}")

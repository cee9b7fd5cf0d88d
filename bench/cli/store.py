"""The verbs that need the store and no training: report, sync, ui."""

from __future__ import annotations

import signal
import socket
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bench.manifest import Manifest, manifests
from bench.runs.rundir import run_dir
from bench.store.client import StoreError, default_uri, serve
from bench.store.mirror import Mirror, log_report
from bench.store.pages import pages_at, table_view, view_url
from bench.store.reading import read_study, study_stamp
from studies.ledger import DONE, lock_root
from studies.merge import Merged, check_other, merge

if TYPE_CHECKING:
    from reports.report import ReportFiles

WATCH_SECONDS = 5.0


def report_all(root: Path, store: str | None, written: list[Manifest]) -> None:
    """Write the report of each study of which anything is over; the store's trouble is said."""
    for manifest in written:
        ids = (run_id for row in manifest.rows.values() for run_id in row.run_ids)
        if not any(run_dir(root, run_id).state().status in DONE for run_id in ids):
            continue
        try:
            write_report(root, store, manifest.study, manifest.profile)
        except (StoreError, OSError) as error:
            typer.echo(f"no report of {manifest.name} yet: {error}", err=True)


def write_report(
    root: Path, store: str | None, study: str, profile: str, *, since: str | None = None
) -> None:
    """Build the report of one study, keep it with the study in the store and say where it is."""
    _publish(root, store, _build(root, store, study, profile, since))


def watch_report(
    root: Path, store: str | None, study: str, profile: str, *, since: str | None = None
) -> None:
    """Build the report anew whenever a run of the study starts or ends, until all have ended."""
    uri = store or default_uri(root)
    while True:
        record = read_study(uri, study, profile)
        # Asked before the report is built, so that nothing which happens meanwhile is missed.
        before = record and study_stamp(uri, record)
        files = _build(root, store, study, profile, since)
        if not files.unfinished:
            break
        count = f"{files.unfinished} run{'s' * (files.unfinished > 1)} to come"
        typer.echo(f"{datetime.now():%H:%M:%S}  {count}: {files.index}")
        while study_stamp(uri, files.record) == before:
            time.sleep(WATCH_SECONDS)
    _publish(root, store, files)


def _build(
    root: Path, store: str | None, study: str, profile: str, since: str | None
) -> ReportFiles:
    from reports.news import moment
    from reports.report import build_report

    return build_report(
        store or default_uri(root),
        study,
        profile,
        root / "reports" / f"{study}-{profile}",
        command=f"segloss report {study} --profile {profile}{_options(root, store)}",
        since=None if since is None else moment(since),
    )


def _publish(root: Path, store: str | None, files: ReportFiles) -> None:
    log_report(store or default_uri(root), files.record, files.all, files.note)
    typer.echo(files.summary)
    typer.echo(f"report: {files.index}")
    typer.echo(f"runs in MLflow: segloss ui{_options(root, store)}")


def _options(root: Path, store: str | None) -> str:
    """What a command needs to find this root and this store again."""
    place = "" if store is None or store == default_uri(root) else f" --store {pages_at(store)}"
    return f" --root {root}{place}"


def sync_all(
    root: Path, store: str | None, *, rebuild: bool = False, other: Path | None = None
) -> None:
    """Mirror every study that was ever run on ``root``, or on ``other``, which is merged first."""
    if other is None:
        manifests(root)  # refuses before it makes a folder
    else:
        check_other(root, other)
    mirror = Mirror(store or default_uri(root), root / "artifacts")
    with lock_root(root):
        if other is not None:
            _say_merged(merge(root, other), other)
        for manifest in manifests(root):
            if rebuild:
                mirror.forget(manifest)
            typer.echo(f"{manifest.name}: {mirror.sync(root, manifest)} runs written")


def _say_merged(merged: Merged, other: Path) -> None:
    for note in merged.notes:
        typer.echo(note, err=True)
    studies = f", and {', '.join(merged.studies)}" if merged.studies else ""
    typer.echo(
        f"from {other}: {len(merged.runs)} runs brought, {merged.same} here already{studies}"
    )


def serve_ui(root: Path, store: str | None, port: int) -> None:
    """Serve MLflow until it is ended, with the link to each study's view."""
    uri = store or default_uri(root)
    records = [read_study(uri, m.study, m.profile) for m in manifests(root)]
    _check_port(port)
    process = serve(uri, root / "artifacts", port)
    for record in filter(None, records):
        base, manifest = f"http://127.0.0.1:{port}", record.manifest
        typer.echo(
            f"{manifest.study} on {manifest.profile}: {view_url(base, record.experiment_id)}"
        )
        for table in manifest.tables:
            link = view_url(base, record.experiment_id, table_view(table.key))
            typer.echo(f"  table {table.key}: {link}")
    typer.echo("Ctrl-C ends it.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait()


def _check_port(port: int) -> None:
    # MLflow itself ends with code 0 where the port is taken.
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise StoreError(f"port {port} is taken; try --port {port + 1}") from None

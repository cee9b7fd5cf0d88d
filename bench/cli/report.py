"""The verbs report and ui, and the reports at the end of a session."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import (
    DATA_ROOT,
    DEFAULT_PROFILE,
    DEFAULT_ROOT,
    STUDY_HELP,
    ProfileOption,
    RootOption,
    ScaleOption,
    StepsOption,
    StoreOption,
    data_folder,
)
from bench.cli.views.text import say
from bench.errors import SpecError

if TYPE_CHECKING:
    from bench.manifest import Manifest
    from reports.report import ReportFiles
    from studies.behaviour import Behaviour

POLL_SECONDS = 5.0


def report(
    study: Annotated[str | None, typer.Argument(help=STUDY_HELP)] = None,
    more: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    profile: ProfileOption = DEFAULT_PROFILE,
    steps: StepsOption = None,
    scale: ScaleOption = None,
    root: RootOption = DEFAULT_ROOT,
    store: StoreOption = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Rebuild it whenever a run starts or ends.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option("--since", help="Mark new results: yesterday, 8h or 2026-05-01."),
    ] = None,
    profiles: Annotated[
        list[str] | None,
        typer.Option("--profiles", metavar="A B …", help="Two profiles or more, in one answer."),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option("--from", metavar="FOLDER", help="A published study instead of a root's."),
    ] = None,
) -> None:
    """Build tables, figures and index.html from the store."""
    if bundle is not None:
        from bench.cli.bundles.verbs import report_from

        if study or more or watch or since or profiles or store:
            raise SpecError("--from takes everything from the bundle: leave out STUDY and options")
        report_from(bundle, root)
        return
    if study is None:
        raise SpecError("name a STUDY, or a bundle with --from FOLDER")
    from bench.profile import shortened_name
    from reports.news import moment
    from studies.schema import profile_name, study_name

    if profiles or more:
        from bench.cli.compare import report_profiles

        if not profiles or watch or since or profile != DEFAULT_PROFILE:
            raise SpecError(
                "several profiles go after --profiles, without --profile, --watch and --since"
            )
        names = [shortened_name(name, steps, scale) for name in (*profiles, *(more or ()))]
        report_profiles(study_name(study), list(map(profile_name, names)), root, store)
        return
    name = profile_name(shortened_name(profile, steps, scale))
    builder = Builder(
        root.resolve(),
        store,
        study_name(study),
        name,
        since=None if since is None else moment(since),
        data_root=data_root_of(profile),
    )
    if watch:
        builder.publish(builder.build_until_done())
        return
    behaviour = builder.compare()
    for line in behaviour.lines:
        say(line)
    builder.publish(builder.build(behaviour))


def ui(
    root: RootOption = DEFAULT_ROOT,
    store: StoreOption = None,
    port: Annotated[int, typer.Option(min=1024, max=65535)] = 5000,
) -> None:
    """Open MLflow on 127.0.0.1 and print the link to each study's view."""
    from bench.manifest import manifests
    from bench.store.client import default_uri, serve
    from bench.store.reading import read_study

    root = root.resolve()
    uri = store or default_uri(root)
    records = [read_study(uri, m.study, m.profile) for m in manifests(root)]
    _check_port(port)
    process = serve(uri, root / "artifacts", port)
    for record in filter(None, records):
        _print_links(record.manifest, record.experiment_id, f"http://127.0.0.1:{port}")
    say("Press Ctrl-C to stop.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait()


def report_all(
    root: Path, store: str | None, manifests: list[Manifest], behaviour: Behaviour | None
) -> None:
    """Write the report of each study that has a result; print the reason if one cannot be.

    Args:
        root: the output folder.
        store: MLflow's tracking URI; None for the root's own.
        manifests: the studies.
        behaviour: their finished runs, compared with the code of this session; None if there were
            none before it.
    """
    from bench.runs.rundir import run_dir
    from bench.store.client import StoreError
    from studies.ledger import DONE

    for manifest in manifests:
        ids = (run_id for row in manifest.rows.values() for run_id in row.run_ids)
        if not any(run_dir(root, run_id).state().status in DONE for run_id in ids):
            continue
        builder = Builder(root, store, manifest.study, manifest.profile)
        try:
            builder.publish(builder.build(behaviour))
        except (StoreError, OSError) as error:
            say(f"no report of {manifest.name} yet: {error}", err=True)


@dataclass(frozen=True)
class Builder:
    """Builds the report of one study and keeps it with the study in the store."""

    root: Path
    store: str | None
    study: str
    profile: str
    since: datetime | None = None
    data_root: Path | None = None
    """Folder that holds the data sets, if it is known."""

    @property
    def uri(self) -> str:
        """Return the URI of the store."""
        from bench.store.client import default_uri

        return self.store or default_uri(self.root)

    def build(self, behaviour: Behaviour | None) -> ReportFiles:
        """Write the report and return its files.

        Args:
            behaviour: the study's finished runs, compared with the code at hand, or None.
        """
        from reports.report import build_report

        return build_report(
            self.uri,
            self.study,
            self.profile,
            self.root / "reports" / f"{self.study}-{self.profile}",
            command=f"segloss report {self.study} --profile {self.profile}{self._options()}",
            since=self.since,
            stale=behaviour.stale if behaviour else {},
            code=behaviour.facts if behaviour else (),
        )

    def compare(self) -> Behaviour:
        """Return the runs of the root, compared with the code at hand.

        Only where the text of a part has changed is its behaviour tried, which needs torch.
        """
        from bench.manifest import recall
        from studies.behaviour import Behaviour, compare, edited_text, specs_of
        from studies.runs import row_names

        manifest = recall(self.root, self.study, self.profile)
        if manifest is None:
            return Behaviour(
                note=f"Not compared with the code at hand: {self.root} has no such runs."
            )
        labels = {run_id: run.label for run_id, run in row_names([manifest]).items()}
        specs, record = specs_of(self.root, labels), None
        if edited_text(self.root, specs):
            from bench.probes.record import Prober

            record = Prober(self.root, self.data_root).record
        return compare(self.root, specs, labels, record)

    def build_until_done(self) -> ReportFiles:
        """Write the report whenever a run starts or ends; return its files once all have ended."""
        from bench.store.reading import read_study, study_stamp

        while True:
            record = read_study(self.uri, self.study, self.profile)
            # Read before the report is built, so that no change in the meantime is missed.
            stamp = record and study_stamp(self.uri, record)
            files = self.build(self.compare())
            if not files.unfinished:
                return files
            count = f"{files.unfinished} run{'s' * (files.unfinished > 1)} not finished"
            say(f"{datetime.now():%H:%M:%S}  {count}: {files.index}")
            while study_stamp(self.uri, files.record) == stamp:
                time.sleep(POLL_SECONDS)

    def publish(self, files: ReportFiles) -> None:
        """Keep the report with the study in the store; print its summary and address."""
        from bench.store.report_files import keep_report

        keep_report(self.uri, files.record, files.all, files.note)
        say(files.summary)
        say(f"report: {files.index}")
        say(f"runs in MLflow: segloss ui{self._options()}")

    def _options(self) -> str:
        """Return the options by which a command finds this output folder and store again."""
        from bench.store.client import default_uri
        from bench.store.pages import pages_at

        own = self.store is not None and self.store != default_uri(self.root)
        store = f" --store {pages_at(self.uri)}" if own else ""
        return f" --root {self.root}{store}"


def data_root_of(profile: str) -> Path | None:
    """Return the folder of the data, by the profile or the environment; None if neither says it."""
    from bench.profile import load_profile

    given = os.environ.get(DATA_ROOT)
    folder = Path(given) if given else None
    with suppress(SpecError):  # a report of finished runs does without the profile's file
        return data_folder(folder, load_profile(profile))
    return folder


def _print_links(manifest: Manifest, experiment_id: str, base: str) -> None:
    from bench.store.pages import table_view, view_url

    link = view_url(base, experiment_id)
    say(f"{manifest.study} on {manifest.profile}: {link}")
    for table in manifest.tables:
        link = view_url(base, experiment_id, table_view(table.key))
        say(f"  table {table.key}: {link}")


def _check_port(port: int) -> None:
    from bench.store.client import StoreError

    # MLflow itself exits with code 0 if the port is taken.
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise StoreError(f"port {port} is taken; try --port {port + 1}") from None

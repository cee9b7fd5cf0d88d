"""The verb report, and the reports at the end of a session."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.options import (
    DEFAULT_PROFILE,
    DEFAULT_ROOT,
    STUDY_HELP,
    ProfileOption,
    RootOption,
    ScaleOption,
    StepsOption,
    StoreOption,
    data_root_of,
)
from bench.cli.views.text import say
from bench.errors import SpecError

if TYPE_CHECKING:
    from bench.manifest import Manifest
    from reports.report import ReportFiles
    from studies.behaviour import Behaviour

POLL_SECONDS = 5.0
OTHER_FOLDER = "give another folder with --out"


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
    pdf: Annotated[
        bool, typer.Option("--pdf", help="Also write paper.tex, and each figure as PDF.")
    ] = False,
    links: Annotated[
        bool, typer.Option("--links", help="Link runs to MLflow on this machine (segloss ui).")
    ] = False,
    profiles: Annotated[
        list[str] | None,
        typer.Option("--profiles", metavar="A B …", help="Two profiles or more, in one answer."),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option("--from", metavar="FOLDER", help="Report a bundle, not a study of the root."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the files. Nothing is written to the root then."),
    ] = None,
) -> None:
    """Build tables, figures and index.html from the store."""
    if bundle is not None:
        from bench.cli.bundles.verbs import report_from

        if study or more or watch or since or profiles or store or links:
            raise SpecError("--from takes --root, --out and --pdf alone: the bundle says the rest")
        report_from(bundle, root, out, with_pdf=pdf)
        return
    if study is None:
        raise SpecError("name a STUDY, or a bundle with --from FOLDER")
    from bench.files import check_place
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
        chosen = list(map(profile_name, names))
        report_profiles(study_name(study), chosen, root, store, out, with_pdf=pdf)
        return
    name = profile_name(shortened_name(profile, steps, scale))
    builder = Builder(
        root.resolve(),
        store,
        study_name(study),
        name,
        since=moment(since) if since else None,
        data_root=data_root_of(profile),
        with_pdf=pdf,
        links=links,
        out=out,
    )
    check_place(builder.folder, OTHER_FOLDER)
    if watch:
        builder.publish(builder.build_until_done())
        return
    behaviour = builder.compare()
    for line in behaviour.lines:
        say(line)
    builder.make(behaviour)


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
            builder.make(behaviour)
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
    with_pdf: bool = False
    """Whether to write paper.tex and the figures as PDF."""
    links: bool = False
    """Whether runs link to MLflow's pages on this machine."""
    out: Path | None = None
    """Folder for the files; None for one in the root, and a copy with the study in the store."""

    @property
    def folder(self) -> Path:
        """Return the folder of the report's files."""
        return self.out or self.root / "reports" / f"{self.study}-{self.profile}"

    @property
    def uri(self) -> str:
        """Return the URI of the store."""
        from bench.store.client import default_uri

        return self.store or default_uri(self.root)

    def make(self, behaviour: Behaviour | None) -> None:
        """Write the report, unless the one on disk has the same inputs, and print its summary.

        Args:
            behaviour: the study's finished runs, compared with the code at hand, or None.
        """
        from reports.unchanged import inputs_of, keep_inputs, unchanged_summary

        where, decisive = (self.uri, self.study, self.profile), self.decisive(behaviour)
        # Noted before the report is built, so that no change in the meantime is missed.
        inputs = None if self.since or self.out else inputs_of(*where, decisive)
        if inputs and (summary := unchanged_summary(*where, self.folder, inputs)):
            self._print(summary, self.folder / "index.html")
            say("The report is unchanged: its runs, the code and the options are the same.")
            return
        files = self.build(behaviour)
        self.publish(files)
        if inputs:
            keep_inputs(self.folder, inputs, files.all, files.summary)

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
            self.folder,
            since=self.since,
            **self.decisive(behaviour),
        )

    def decisive(self, behaviour: Behaviour | None) -> dict[str, Any]:
        """Return the arguments that decide a report beside the store and ``since``.

        A report is not drawn again while they are the same: none may reach it by another way.
        """
        return {
            "command": f"segloss report {self.study} --profile {self.profile}{self._options()}",
            "rerun": self._rerun(),
            "stale": behaviour.stale if behaviour else {},
            "code": behaviour.facts if behaviour else [],
            "with_pdf": self.with_pdf,
            "links": self.links,
        }

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

        if self.out is None:
            keep_report(self.uri, files.record, files.all, files.note)
        self._print(files.summary, files.index)

    def _print(self, summary: str, index: Path) -> None:
        say(summary)
        say(f"report with every table and figure: {index}")
        say(f"runs in MLflow: segloss ui{self._options()}")

    def _rerun(self) -> str:
        """Return the command that runs the study; a file of the user's is named by its name."""
        from importlib.resources import files

        from bench.profile import PROFILES, shipped, split_name

        study, (profile, steps) = self.study, split_name(self.profile)
        if study not in shipped(files("studies") / "definitions"):
            study += ".toml"
        if profile not in shipped(PROFILES):
            profile += ".toml"
        profile += "" if steps is None else f"@{steps}"
        return f"segloss run {study} --profile {profile}{self._options()}"

    def _options(self) -> str:
        """Return the options by which a command finds this output folder and store again."""
        from bench.store.client import default_uri
        from bench.store.pages import pages_at

        own = self.store is not None and self.store != default_uri(self.root)
        store = f" --store {pages_at(self.uri)}" if own else ""
        return f" --root {self.root}{store}"

"""One night: the scheduler, the view and the mirror put together, and the report at its end."""

from __future__ import annotations

import signal
import socket
import threading
from pathlib import Path
from typing import Literal

import typer

from bench.build import check_data
from bench.cli.view import NightView
from bench.errors import RootError, SeglossError
from bench.manifest import Manifest
from bench.mirror import Mirror
from bench.rundir import State, read_json, run_dir, write_json
from bench.spec import parse
from bench.tracking import StoreError, default_uri, log_report, read_study, serve, view_url
from studies.executors.local import LocalExecutor
from studies.ledger import lock_root, states
from studies.plan import Plan, jobs
from studies.schedule import Schedule

Role = Literal["train", "tune"]
MIRROR_SECONDS = 15.0


class Night:
    """Runs plans on one root."""

    def __init__(self, root: Path, data_root: Path | None, workers: int, store: str | None) -> None:
        self.root = root
        self.data_root = data_root.resolve() if data_root else None
        self.workers = workers
        self.store = store or default_uri(root)

    def run(self, plans: list[Plan], *, role: Role = "train") -> int:
        """Run what is missing; returns 0, 3 where a run failed, or 130 after a signal."""
        with lock_root(self.root):
            return self._run_locked(plans, role)

    def _run_locked(self, plans: list[Plan], role: Role) -> int:
        for plan in plans:
            path = self.root / "studies" / f"{plan.manifest.name}.json"
            write_json(path, plan.manifest.model_dump(mode="json"))
        executor = LocalExecutor(self.workers, self.data_root)
        mirror = _MirrorThread(self, [plan.manifest for plan in plans], role)

        with NightView(plans, self.root) as view:

            def observe(run_id: str | None, state: State | None) -> None:
                view.update(run_id, state)
                if run_id is not None:
                    mirror.changed.set()

            schedule = Schedule(jobs(plans), self.root, executor, observe)
            if schedule.pending:
                # Every file is read once before the first training, not in the middle of the night.
                check_data(schedule.pending[0].specs[0], self.data_root)
            mirror.start()
            try:
                undisturbed = schedule.run()
            finally:
                mirror.finish()
        if mirror.error is not None:
            typer.echo(f"MLflow: {mirror.error}\nThe runs are safe; later: segloss sync", err=True)
        ids = [run_id for plan in plans for run_id in plan.specs]
        failed = any(state.status == "failed" for state in states(self.root, ids).values())
        return 130 if not undisturbed else 3 if failed else 0

    def mirror(self, manifest: Manifest, *, role: Role = "train") -> None:
        """Bring the store up to date with the runs of one study."""
        Mirror(self.store, self.root / "artifacts").sync(self.root, manifest, role=role)

    def report(self, manifest: Manifest) -> None:
        """Write and announce the report, if anything is finished."""
        if any(
            run_dir(self.root, i).result() for row in manifest.rows.values() for i in row.run_ids
        ):
            write_report(self.root, self.store, manifest.study, manifest.profile)


class _MirrorThread(threading.Thread):
    """Keeps the store up to date beside the scheduler; its failures never reach a run."""

    def __init__(self, night: Night, manifests: list[Manifest], role: Role) -> None:
        super().__init__(name="mirror", daemon=True)
        self.night, self.manifests = night, manifests
        self.role: Role = role
        self.changed = threading.Event()
        self.ending = threading.Event()
        self.error: SeglossError | None = None

    def run(self) -> None:
        while not self.ending.is_set():
            self.changed.wait(MIRROR_SECONDS)
            self.changed.clear()
            self._sync()
        self._sync()

    def finish(self) -> None:
        """Mirror what is left, then end."""
        self.ending.set()
        self.changed.set()
        if self.ident is not None:
            self.join()

    def _sync(self) -> None:
        try:
            for manifest in self.manifests:
                self.night.mirror(manifest, role=self.role)
            self.error = None
        except SeglossError as error:
            self.error = error


def write_report(root: Path, store: str | None, study: str, profile: str) -> None:
    """Build the report of one study and say where it is."""
    from reports.report import build_report, comparison_text

    uri = store or default_uri(root)
    files = build_report(uri, study, profile, root / "reports" / f"{study}-{profile}")
    if record := read_study(uri, study, profile):
        log_report(uri, record, files.all, files.note)
    typer.echo(comparison_text(uri, study, profile))
    typer.echo(f"report: {files.index}")
    option = "" if store is None or store == default_uri(root) else f" --store {store}"
    typer.echo(f"runs in MLflow: segloss ui --root {root}{option}")


def sync_all(root: Path, store: str | None, *, rebuild: bool) -> None:
    """Mirror every study that was ever run on ``root``."""
    mirror = Mirror(store or default_uri(root), root / "artifacts")
    for manifest in manifests(root):
        if rebuild:
            mirror.forget(manifest)
        role: Role = "tune" if manifest.study.endswith("-tune") else "train"
        typer.echo(f"{manifest.name}: {mirror.sync(root, manifest, role=role)} runs written")


def serve_ui(root: Path, store: str | None, port: int) -> None:
    """Serve MLflow until it is ended, with the link to each study's view."""
    uri = store or default_uri(root)
    records = [read_study(uri, m.study, m.profile) for m in manifests(root)]
    _check_port(port)
    process = serve(uri, root / "artifacts", port)
    for record in filter(None, records):
        link = view_url(f"http://127.0.0.1:{port}", record)
        typer.echo(f"{record.manifest.study} on {record.manifest.profile}: {link}")
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


def manifests(root: Path) -> list[Manifest]:
    """Every study that was ever run on ``root``; raises RootError where there is none."""
    paths = sorted((root / "studies").glob("*.json"))
    if not paths:
        raise RootError(
            f"{root}: no study was run here; start one with segloss run, or give --root"
        )
    return [parse(Manifest, read_json(path), where=str(path)) for path in paths]

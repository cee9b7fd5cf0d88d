"""One night: scheduler, view and mirror put together."""

from __future__ import annotations

import threading
from pathlib import Path

import typer

from bench.cli.view import NightView
from bench.errors import SeglossError
from bench.manifest import Manifest, remember
from bench.mirror import Mirror
from bench.rundir import State
from bench.tracking import default_uri
from studies.executors.local import LocalExecutor
from studies.ledger import states
from studies.plan import Plan, jobs
from studies.schedule import Schedule

MIRROR_SECONDS = 15.0


class Night:
    """Runs plans on one root, which the caller has locked."""

    def __init__(self, root: Path, data_root: Path | None, workers: int, store: str | None) -> None:
        self.root = root
        self.data_root = data_root.resolve() if data_root else None
        self.workers = workers
        self.mirror = Mirror(store or default_uri(root), root / "artifacts")

    def run(self, plans: list[Plan]) -> int:
        """Run what is missing; returns 0, 3 where a run failed, or 130 after a signal."""
        from bench.build import check_data

        executor = LocalExecutor(self.workers, self.data_root)
        mirror = _MirrorThread(self.mirror, self.root, [plan.manifest for plan in plans])

        with NightView(plans, self.root) as view:

            def observe(run_id: str | None, state: State | None) -> None:
                view.update(run_id, state)
                if run_id is not None:
                    mirror.changed.set()

            schedule = Schedule(jobs(plans), self.root, executor, observe)
            if schedule.pending:
                # Every file is read once before the first training, not in the middle of the night.
                check_data(schedule.pending[0].specs[0], self.data_root)
            for plan in plans:
                remember(self.root, plan.manifest)
            mirror.start()
            try:
                undisturbed = schedule.run()
            finally:
                mirror.finish()
        if mirror.error is not None:
            typer.echo(f"MLflow: {mirror.error}\nThe runs are safe; later: segloss sync", err=True)
        if not undisturbed:
            typer.echo("stopped; the same command goes on from here")
        ids = [run_id for plan in plans for run_id in plan.specs]
        failed = any(state.status == "failed" for state in states(self.root, ids).values())
        return 130 if not undisturbed else 3 if failed else 0


class _MirrorThread(threading.Thread):
    """Keeps the store up to date beside the scheduler; its failures never reach a run."""

    def __init__(self, mirror: Mirror, root: Path, manifests: list[Manifest]) -> None:
        super().__init__(name="mirror", daemon=True)
        self.mirror, self.root, self.manifests = mirror, root, manifests
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
                self.mirror.sync(self.root, manifest)
            self.error = None
        except SeglossError as error:
            self.error = error

"""One night: scheduler, view and mirror put together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import typer

from bench.cli.view import NightView
from bench.data.cache import Cache
from bench.manifest import remember
from bench.runs.rundir import State
from bench.runs.snapshot import take_snapshot
from bench.store.client import default_uri
from bench.store.mirror import Mirror
from bench.store.mirror_thread import MirrorThread
from studies.canaries import canaries, run_canaries
from studies.estimates import Estimates
from studies.executors.local import LocalExecutor
from studies.executors.nursery import Nursery
from studies.executors.ray import RayExecutor, RayOptions
from studies.executors.slots import Slot
from studies.ledger import states
from studies.plan import Plan, PlanSource, ResolveLoss, jobs
from studies.schedule import Ending, Executor, Observer, Schedule

INCOMPLETE, FAILED, INTERRUPTED = 4, 3, 130


@dataclass(frozen=True)
class Resources:
    """What a night may use."""

    slots: list[Slot]
    data_root: Path | None = None
    store: str | None = None
    end: float | None = None
    """When it has to end, in seconds since the epoch."""
    weights: Path | None = None
    """File of the backbone's weights that the user named."""
    ray: RayOptions | None = None
    """A cluster to use instead of ``slots``."""
    nursery: Nursery | None = None
    """Started already, so that its imports go on beside ours; the first night takes it over."""


class Night:
    """Runs plans on one root, which the caller has locked."""

    def __init__(self, root: Path, resources: Resources, resolve: ResolveLoss) -> None:
        self.root = root
        self.resources = resources
        self.resolve = resolve
        self.nursery = resources.nursery
        self.data_root = resources.data_root.resolve() if resources.data_root else None
        self.mirror = Mirror(resources.store or default_uri(root), root / "artifacts")

    def run(self, plans: list[Plan], source: PlanSource | None = None) -> int:
        """Run what is missing; returns 0, or 3 where a run failed, 4 time was up, 130 a signal.

        ``source`` is the only plan where that grows with its results.
        """
        from bench.models.pretrained import place_weights
        from bench.preflight import check_data

        snapshot = take_snapshot(self.root)
        executor = self._executor(snapshot)
        mirror = MirrorThread(
            self.mirror, self.root, [plan.manifest for plan in plans], _import_reports
        )
        estimates = Estimates(self.root, [plan.manifest for plan in plans])

        with NightView(plans, self.root, estimates) as view:
            schedule = Schedule(
                jobs(plans),
                self.root,
                executor,
                _Observers(view, mirror, estimates),
                end=self.resources.end,
                estimates=estimates,
                source=source,
            )
            try:
                if schedule.pending:
                    # Every file is read once before the first training, not in the night.
                    first = schedule.pending[0].specs[0]
                    cache = Cache(self.root / "cache", typer.echo, verify=True)
                    check_data(first, self.data_root, cache)
                    place_weights(self.root, first.model, self.resources.weights)
                for plan in plans:
                    remember(self.root, plan.manifest)
                mirror.start()
                ending = self._canaries(plans, executor, snapshot) if schedule.pending else "done"
                if ending == "done":
                    ending = schedule.run()
            finally:
                mirror.finish()
                executor.close()
        if mirror.error is not None:
            typer.echo(f"MLflow: {mirror.error}\nThe runs are safe; later: segloss sync", err=True)
        if schedule.attempts.verdict:
            typer.echo(f"stopped: every run would fail: {schedule.attempts.verdict}", err=True)
        return self._code([source.plan] if source else plans, ending)

    def _executor(self, snapshot: Path) -> LocalExecutor | RayExecutor:
        slots, ray = self.resources.slots, self.resources.ray
        if ray is None:
            nursery, self.nursery = self.nursery, None
            return LocalExecutor(
                slots,
                root=self.root,
                snapshot=snapshot,
                data_root=self.data_root,
                nursery=nursery,
            )
        return RayExecutor(
            ray, root=self.root, snapshot=snapshot, data_root=self.data_root, say=typer.echo
        )

    def _canaries(self, plans: list[Plan], executor: Executor, snapshot: Path) -> Ending:
        folder = self.root / "canaries" / snapshot.name
        ending, reason = run_canaries(canaries(plans, self.resolve), folder, executor, typer.echo)
        if ending == "stopped":
            typer.echo(f"stopped before the first run: {reason}", err=True)
        return ending

    def _code(self, plans: list[Plan], ending: Ending) -> int:
        ids = [run_id for plan in plans for run_id in plan.specs]
        found = states(self.root, ids).values()
        missing = sum(state.status in ("queued", "interrupted") for state in found)
        if ending == "deadline":
            runs = "1 run is" if missing == 1 else f"{missing} runs are"
            typer.echo(f"time is up: {runs} missing; the same command goes on")
            return INCOMPLETE
        if ending == "interrupted":
            typer.echo("stopped; the same command goes on from here")
            return INTERRUPTED
        if ending == "stopped" or any(state.status == "failed" for state in found):
            return FAILED
        return INCOMPLETE if missing else 0


class _Observers(Observer):
    """Tells the view, the mirror and the estimates what the schedule does."""

    def __init__(self, view: NightView, mirror: MirrorThread, estimates: Estimates) -> None:
        self.view, self.mirror, self.estimates = view, mirror, estimates

    def changed(self, run_id: str, state: State | None) -> None:
        self.view.update(run_id, state)
        self.mirror.changed.set()

    def grown(self, plan: Plan) -> None:
        self.mirror.manifests = [plan.manifest]
        self.estimates.know([plan.manifest])
        self.view.add(plan)

    def polled(self) -> None:
        self.view.update(None, None)


def _import_reports() -> None:
    """Import the report's code at the start, before an edit of the checkout can change it."""
    from reports.report import warm_up

    warm_up()

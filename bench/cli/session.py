"""A session: one `segloss run` or `segloss tune` from start to end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.options import SessionOptions, data_folder
from bench.cli.views.live import LiveView, planned
from bench.cli.views.overview import counts
from bench.cli.views.reading import reading_bar
from bench.cli.views.text import say
from bench.data.cache import Cache
from bench.errors import SpecError
from bench.manifest import Manifest, remember
from bench.probes.record import Prober
from bench.profile import Profile
from bench.runs.rundir import State, run_dir
from bench.runs.source_code import take_snapshot
from bench.spec import RunSpec
from bench.store.client import StoreError, default_uri
from bench.store.current import is_current
from bench.store.mirror import Mirror, MirrorThread
from studies.canaries import plan_canaries, run_canaries
from studies.estimates import Estimates, deadline
from studies.executors.local import LocalExecutor, Slot, slots
from studies.executors.ray import RayExecutor, RayOptions, ray_options
from studies.ledger import DONE, check_weights, current_state, mark_kept, set_aside, states
from studies.plan import Plan, PlanSource, ResolveLoss, jobs
from studies.runs import RootMonitor, labels_of
from studies.schedule import Ending, Executor, Observer, Schedule

if TYPE_CHECKING:
    from studies.behaviour import Behaviour

FAILED, INCOMPLETE, INTERRUPTED = 3, 4, 130
"""Exit codes; `segloss --help` explains them."""
SYNC_LATER = "The runs are safe; write them into MLflow later: segloss sync"


@dataclass(frozen=True)
class Resources:
    """The resources of a session."""

    places: tuple[int | None, int, int]
    """The user's numbers of workers, of workers on a GPU, and of GPUs of a worker."""
    data_root: Path | None = None
    store: str | None = None
    end: float | None = None
    """When the session ends at the latest, in seconds since the epoch."""
    weights: Path | None = None
    """File of the backbone's weights that the user named."""
    ray: RayOptions | None = None

    def check_places(self) -> None:
        """Raise SpecError if this machine lacks the places that the user asked for."""
        _ = self.slots

    @cached_property
    def slots(self) -> list[Slot]:
        """Places for jobs on this machine; empty on a cluster. Needs torch, which counts GPUs."""
        from bench.runs.environment import visible_gpus

        return [] if self.ray else slots(visible_gpus(), *self.places)


def resources_of(options: SessionOptions, profile: Profile) -> Resources:
    """Return the resources of a session on a profile; raises SpecError where options contradict."""
    places = options.workers, options.per_gpu, options.gpus_per_run
    on_cluster = options.executor == "ray" or options.address is not None
    ray = ray_options(options.executor, options.address, *places) if on_cluster else None
    return Resources(
        places,
        data_root=data_folder(options.data_root, profile),
        store=options.store,
        end=deadline(options.until, options.budget),
        weights=options.weights,
        ray=ray,
    )


def admit(
    root: Path,
    specs: Mapping[str, RunSpec],
    labels: Mapping[str, str],
    options: SessionOptions,
    data_root: Path | None,
) -> Behaviour | None:
    """Let finished runs count only if they behave like the code at hand, or a user keeps them.

    Args:
        root: the output folder, which the caller has locked.
        specs: the runs by id.
        labels: label of the row of each run by its id.
        options: say what becomes of runs that behave differently.
        data_root: folder that holds the data sets.

    Returns:
        How the runs that count compare with the code at hand; None without a finished run.

    Raises:
        StaleError: a run behaves differently, and the options do not say what becomes of it.
        SpecError: the options contradict each other.
    """
    if options.again and options.keep_old:
        raise SpecError("--again and --keep-old contradict each other: give one of them")
    if not any(state.status in DONE for state in states(root, specs).values()):
        return None
    from studies.behaviour import compare, refuse

    behaviour = compare(root, specs, labels, Prober(root, data_root, decode=True).record)
    if not (options.again or options.keep_old):
        refuse(behaviour)
    for line in behaviour.lines:
        say(line)
    if options.again and behaviour.stale:
        # Evaluations first, so that a kill leaves none of them without its training.
        ids = sorted(behaviour.stale, key=lambda run_id: specs[run_id].trains)
        say(f"--again: their results were moved to {set_aside(root, ids)}")
        return replace(behaviour, changes=())
    mark_kept(root, behaviour.compared, behaviour.stale)
    return behaviour


def admit_plans(
    root: Path, plans: list[Plan], options: SessionOptions, data_root: Path | None
) -> Behaviour | None:
    """Return and raise as ``admit``, for every run of the plans."""
    specs = {run_id: spec for plan in plans for run_id, spec in plan.specs.items()}
    labels = labels_of(plans)
    behaviour = admit(root, specs, labels, options, data_root)
    sources = {run_id: spec.source.run_id for run_id, spec in specs.items() if not spec.trains}
    check_weights(root, sources, labels)
    return behaviour


class Session(Observer):
    """Runs plans in one output folder, which the caller has locked."""

    def __init__(self, root: Path, resources: Resources, resolve: ResolveLoss) -> None:
        self.root = root
        self.resources = resources
        self.resolve = resolve
        self.mirror = Mirror(resources.store or default_uri(root), root / "artifacts")

    def run(self, plans: list[Plan], source: PlanSource | None = None) -> int:
        """Execute the missing runs of ``plans``.

        Args:
            plans: the plans of the session.
            source: adds runs to the only plan as others end.

        Returns:
            The exit code: 0, or one of FAILED, INCOMPLETE and INTERRUPTED.
        """
        self.plans = plans
        if source is None and self._all_ended():
            return self._finished_before()
        self.resources.check_places()
        snapshot = take_snapshot(self.root)
        executor = self._executor(snapshot)
        self.thread = MirrorThread(self.mirror, self.root, self._manifests(), _import_reports)
        try:
            ending = self._execute(executor, snapshot, source)
        finally:
            self.thread.finish()
            executor.close()
        self._print_store_error(self.thread.error)
        return self._exit_code(ending)

    def _all_ended(self) -> bool:
        ids = {run_id for plan in self.plans for run_id in plan.specs}
        return all(current_state(run_dir(self.root, i)).status in DONE for i in ids)

    def _finished_before(self) -> int:
        """Bring manifests and store up to date, where every run has ended; return 0."""
        error = None
        for manifest in self._manifests():
            remember(self.root, manifest)
            if not is_current(self.mirror.uri, self.root, manifest):
                try:
                    self.mirror.sync(self.root, manifest)
                except StoreError as fault:
                    error = fault
        for line in counts(LiveView(RootMonitor(self.root), self._planned).overview()):
            say(line)
        self._print_store_error(error)
        return 0

    def _print_store_error(self, error: Exception | None) -> None:
        if error is not None:
            say(f"MLflow: {error}\n{SYNC_LATER}", err=True)

    def on_run_change(self, run_id: str, state: State | None) -> None:
        """Mirror a run that has started or ended."""
        self.thread.changed.set()

    def on_plan_growth(self, plan: Plan) -> None:
        """Show and mirror the runs that were added to the plan."""
        self.plans = [plan]
        remember(self.root, plan.manifest)
        self.estimates.set_studies(self._manifests())
        self.thread.manifests = self._manifests()

    def on_poll(self) -> None:
        """Refresh the view."""
        self.view.update()

    def _execute(self, executor: Executor, snapshot: Path, source: PlanSource | None) -> Ending:
        self.estimates = Estimates(self.root, self._manifests())
        schedule = self.schedule = Schedule(
            jobs(self.plans),
            self.root,
            executor,
            self,
            end=self.resources.end,
            estimates=self.estimates,
            source=source,
        )
        if schedule.pending:
            self._check_inputs(schedule.pending[0].specs[0])
        for manifest in self._manifests():
            remember(self.root, manifest)
        self.thread.start()
        with LiveView(RootMonitor(self.root), self._planned) as self.view:
            ending = self._run_canaries(executor, snapshot) if schedule.pending else "done"
            if ending == "done":
                ending = schedule.run()
        if schedule.attempts.fatal_reason:
            say(f"stopped: every run would fail: {schedule.attempts.fatal_reason}", err=True)
        return ending

    def _planned(self, manifests: list[Manifest]) -> list[Manifest]:
        return planned(manifests, self.plans)

    def _manifests(self) -> list[Manifest]:
        return [plan.manifest for plan in self.plans]

    def _executor(self, snapshot: Path) -> LocalExecutor | RayExecutor:
        root, data_root = self.root, self.resources.data_root
        if self.resources.ray is None:
            return LocalExecutor(
                self.resources.slots, root=root, snapshot=snapshot, data_root=data_root
            )
        return RayExecutor(
            self.resources.ray, root=root, snapshot=snapshot, data_root=data_root, log=say
        )

    def _check_inputs(self, spec: RunSpec) -> None:
        """Read every data file and fetch the backbone's weights before the first training."""
        from bench.data.check import check_data
        from bench.models.pretrained import place_weights

        with reading_bar() as progress:
            cache = Cache(self.root / "cache", say, verify=True, progress=progress)
            check_data(spec, self.resources.data_root, cache)
        place_weights(self.root, spec.model, self.resources.weights)

    def _run_canaries(self, executor: Executor, snapshot: Path) -> Ending:
        folder = self.root / "canaries" / snapshot.name
        every = plan_canaries(self.plans, self.resolve)
        ending, reason = run_canaries(every, folder, executor, say, self)
        if ending == "stopped":
            say(f"stopped before the first run: {reason}", err=True)
        return ending

    def _exit_code(self, ending: Ending) -> int:
        ids = [run_id for plan in self.plans for run_id in plan.specs]
        every = self.schedule.states(ids).values()
        missing = sum(state.status in ("queued", "running", "interrupted") for state in every)
        if ending == "deadline":
            runs = "1 run is" if missing == 1 else f"{missing} runs are"
            say(f"time is up: {runs} missing; the same command continues")
            return INCOMPLETE
        if ending == "interrupted":
            say("stopped; the same command continues from here")
            return INTERRUPTED
        if ending == "stopped" or any(state.status == "failed" for state in every):
            return FAILED
        return INCOMPLETE if missing else 0


def _import_reports() -> None:
    """Import the report's code at the start, before an edit of the checkout can change it."""
    from reports.report import warm_up

    warm_up()

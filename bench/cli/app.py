"""The verbs of `segloss`; each imports what it needs when called, so that --help is instant."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import data_verbs, export_verbs, night_verbs, perf_verbs, tune_verb
from bench.cli.options import (
    DEFAULT_PROFILE,
    DEFAULT_ROOT,
    AddressOption,
    BudgetOption,
    DataRootOption,
    ExecutorOption,
    PerGpuOption,
    PerRunOption,
    ProfileOption,
    RootOption,
    ScaleOption,
    SeedsOption,
    StepsOption,
    StoreOption,
    Studies,
    Study,
    UntilOption,
    WeightsOption,
    WorkersOption,
)

if TYPE_CHECKING:
    from bench.profile import Profile
    from studies.plan import Plan
    from studies.schema import Study as StudyDefinition

app = typer.Typer(
    name="segloss",
    help="Does this segmentation loss beat that one? Equal conditions, honest tables.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data_verbs.data, name="data")
app.add_typer(perf_verbs.perf, name="perf")
app.add_typer(export_verbs.export, name="export")


@app.command()
def validate(
    studies: Studies,
    profile: ProfileOption = DEFAULT_PROFILE,
    steps: StepsOption = None,
    scale: ScaleOption = None,
    data_root: DataRootOption = None,
    seeds: SeedsOption = None,
    weights: WeightsOption = None,
) -> None:
    """Check studies, profile, losses and every file that the runs read; train nothing."""
    from bench.cli.crf import require_crf
    from bench.profile import shortened_name

    profile = shortened_name(profile, steps, scale)
    read = _read(studies, profile)
    require_crf(read[0])
    plans = _plans(*read, name=profile, seeds=seeds, weights=weights)
    from bench.preflight import check_data

    spec = next(iter(plans[0].specs.values()))
    typer.echo(f"data ok: {check_data(spec, data_root)}")
    for plan in plans:
        typer.echo(f"{plan.manifest.study} on {profile} ok: {len(plan.specs)} runs")


@app.command()
def plan(
    studies: Studies,
    profile: ProfileOption = DEFAULT_PROFILE,
    steps: StepsOption = None,
    scale: ScaleOption = None,
    seeds: SeedsOption = None,
    weights: WeightsOption = None,
    root: RootOption = DEFAULT_ROOT,
) -> None:
    """Show the rows, the distinct trainings and evaluations, and what is already there."""
    from bench.cli.view import print_plan
    from bench.profile import shortened_name

    profile = shortened_name(profile, steps, scale)
    plans = _plans(*_read(studies, profile), name=profile, seeds=seeds, weights=weights)
    print_plan(plans, root)


@app.command()
def run(
    studies: Studies,
    profile: ProfileOption = DEFAULT_PROFILE,
    steps: StepsOption = None,
    scale: ScaleOption = None,
    data_root: DataRootOption = None,
    weights: WeightsOption = None,
    root: RootOption = DEFAULT_ROOT,
    workers: WorkersOption = None,
    per_gpu: PerGpuOption = 1,
    gpus_per_run: PerRunOption = 1,
    seeds: SeedsOption = None,
    until: UntilOption = None,
    budget: BudgetOption = None,
    store: StoreOption = None,
    executor: ExecutorOption = "local",
    address: AddressOption = None,
    without_crf: Annotated[
        bool, typer.Option("--without-crf", help="Leave the rows with a CRF empty.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Check all, then go on without this terminal.")
    ] = False,
) -> None:
    """Train and evaluate what is missing, mirror it into MLflow and write the reports."""
    from bench.cli.crf import leave_out_crf, require_crf
    from bench.profile import shortened_name
    from studies.executors.nursery import Nursery

    profile = shortened_name(profile, steps, scale)
    read = _read(studies, profile)
    if not without_crf:
        require_crf(read[0])
    # Before anything else is imported, for that uses the libraries.
    nursery = None if detach or executor == "ray" else Nursery.forked()
    from bench.cli.night import Night, Resources
    from bench.cli.store import report_all
    from bench.loss_spec import resolve_loss
    from bench.runs.environment import visible_gpus
    from studies.deadline import deadline
    from studies.executors.ray import ray_options
    from studies.executors.slots import slots
    from studies.ledger import lock_root

    ray = ray_options(executor, address, workers, per_gpu, gpus_per_run)
    resources = Resources(
        [] if ray else slots(visible_gpus(), workers, per_gpu, gpus_per_run),
        data_root=data_root,
        store=store,
        end=deadline(until, budget),
        weights=weights,
        ray=ray,
        nursery=nursery,
    )
    plans = _plans(*read, name=profile, seeds=seeds, weights=weights)
    if without_crf:
        plans = [leave_out_crf(plan) for plan in plans]
    root = root.resolve()
    if detach:
        from bench.cli.detach import check_start, start_detached

        check_start(root, plans, data_root, weights)
        sys.exit(start_detached(root, sys.argv[1:]))
    with lock_root(root):
        code = Night(root, resources, resolve_loss).run(plans)
        report_all(root, store, [plan.manifest for plan in plans])
    sys.exit(code)


app.command()(tune_verb.tune)


@app.command()
def status(
    root: RootOption = DEFAULT_ROOT,
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep showing; as one line per event in a pipe.")
    ] = False,
) -> None:
    """Show where every run of every study in the root stands."""
    if watch:
        from bench.cli.watch_view import watch as watch_root

        watch_root(root)
        return
    from bench.cli.view import print_status

    print_status(root)


for verb in (night_verbs.logs, night_verbs.retry, night_verbs.cancel):
    app.command()(verb)


@app.command()
def report(
    study: Study,
    profile: ProfileOption = DEFAULT_PROFILE,
    steps: StepsOption = None,
    scale: ScaleOption = None,
    root: RootOption = DEFAULT_ROOT,
    store: StoreOption = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Build it anew while runs start and end.")
    ] = False,
    since: Annotated[
        str | None, typer.Option("--since", help="Mark what is new: yesterday, 8h, 2026-05-01.")
    ] = None,
) -> None:
    """Build tables, figures and index.html from the store."""
    from bench.cli.store import watch_report, write_report
    from bench.profile import shortened_name
    from studies.schema import profile_name, study_name

    make = watch_report if watch else write_report
    profile = shortened_name(profile, steps, scale)
    make(root.resolve(), store, study_name(study), profile_name(profile), since=since)


@app.command()
def compare(
    ours: Annotated[str, typer.Argument(metavar="A", help="[ROOT/]STUDY[@PROFILE]")],
    theirs: Annotated[str, typer.Argument(metavar="B", help="The same of what it is held against")],
    profile: ProfileOption = DEFAULT_PROFILE,
    root: RootOption = DEFAULT_ROOT,
    store: StoreOption = None,
) -> None:
    """Compare two studies, profiles or roots row by row; say what else differs."""
    from bench.cli.comparing import print_comparison

    print_comparison(ours, theirs, profile=profile, root=root, store=store)


@app.command()
def sync(
    root: RootOption = DEFAULT_ROOT,
    store: StoreOption = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make every run anew.")] = False,
    other: Annotated[
        Path | None, typer.Option("--from", help="Another root, whose finished runs come first.")
    ] = None,
) -> None:
    """Bring the MLflow store up to date with the run directories."""
    from bench.cli.store import sync_all

    sync_all(root.resolve(), store, rebuild=rebuild, other=other.resolve() if other else None)


@app.command()
def ui(
    root: RootOption = DEFAULT_ROOT,
    store: StoreOption = None,
    port: Annotated[int, typer.Option(min=1024, max=65535)] = 5000,
) -> None:
    """Open MLflow on 127.0.0.1 and print the link to each study's view."""
    from bench.cli.store import serve_ui

    serve_ui(root.resolve(), store, port)


def _read(names: list[str], profile: str) -> tuple[dict[str, StudyDefinition], Profile]:
    """Studies by name, and the profile: what is misspelt there is said without a heavy import."""
    from bench.cli.comparing import check_papers
    from bench.errors import SpecError
    from bench.profile import load_profile
    from studies.schema import load_study, study_name

    studies = {study_name(name): load_study(name) for name in names}
    check_papers(studies)
    if len(studies) < len(names):
        raise SpecError(f"two studies go by one name: {', '.join(names)}; rename a file")
    return studies, load_profile(profile)


def _plans(
    studies: dict[str, StudyDefinition],
    profile: Profile,
    *,
    name: str,
    seeds: int | None,
    weights: Path | None,
) -> list[Plan]:
    from bench.loss_spec import resolve_loss
    from bench.models.pretrained import with_weights
    from bench.preflight import check_profile, check_runs
    from studies.plan import plan
    from studies.schema import profile_name

    held = with_weights(profile, weights)
    check_profile(held)
    plans = [
        plan(
            study,
            held,
            names=(key, profile_name(name)),
            seeds=held.seeds if seeds is None else seeds,
            resolve=resolve_loss,
        )
        for key, study in studies.items()
    ]
    check_runs([spec for plan in plans for spec in plan.specs.values()])
    return plans

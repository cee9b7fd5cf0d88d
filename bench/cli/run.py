"""The verbs that read studies: validate, plan and run, with or without the dense CRF."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import (
    PlanOptions,
    SessionOptions,
    Studies,
    WithoutCrfOption,
    data_folder,
    takes,
)

if TYPE_CHECKING:
    from bench.profile import Profile
    from bench.spec import RunSpec
    from studies.plan import Plan
    from studies.schema import Study


@takes(PlanOptions)
def validate(studies: Studies, options: PlanOptions, without_crf: WithoutCrfOption = False) -> None:
    """Check studies, profile, losses, weights and every file that the runs read. Trains nothing."""
    inputs = read_inputs(studies, options)
    if not without_crf:
        require_crf(inputs[0])
    plans = make_plans(*inputs, options, without_crf=without_crf)
    from bench.data.check import check_data
    from bench.models.pretrained import source_of_weights

    spec = next(iter(plans[0].specs.values()))
    data_root = data_folder(options.data_root, inputs[1])
    source = source_of_weights(options.root.resolve(), spec.model, options.weights)
    if not spec.model.is_deeplab:
        print_network(spec)
    typer.echo(f"weights ok: {source}")
    typer.echo(f"data ok: {check_data(spec, data_root)}")
    for plan in plans:
        typer.echo(f"{plan.manifest.study} on {options.shortened} ok: {len(plan.specs)} runs")
    print_behaviour(plans, options.root, data_root)


@takes(PlanOptions)
def plan(studies: Studies, options: PlanOptions, without_crf: WithoutCrfOption = False) -> None:
    """Show the rows, the images, the distinct trainings and evaluations, and how many are done."""
    inputs = read_inputs(studies, options)
    from bench.cli.views.plan import images, print_plan

    plans = make_plans(*inputs, options, without_crf=without_crf)
    data_root = data_folder(options.data_root, inputs[1])
    print_plan(plans, options.root)
    typer.echo(images(inputs[1].data, data_root))
    print_behaviour(plans, options.root, data_root)


@takes(SessionOptions)
def run(
    studies: Studies,
    options: SessionOptions,
    without_crf: WithoutCrfOption = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Run the checks, then continue in the background.")
    ] = False,
) -> None:
    """Train and evaluate the missing runs, copy them into MLflow and write the reports."""
    inputs = read_inputs(studies, options)
    if not without_crf:
        require_crf(inputs[0])
    from bench.cli.report import report_all
    from bench.cli.session import Session, admit_plans, resources_of
    from bench.preflight import resolve_loss
    from studies.ledger import lock_root

    resources = resources_of(options, inputs[1])
    plans = make_plans(*inputs, options, without_crf=without_crf)
    root = options.root.resolve()
    if detach:
        from bench.cli.detach import check_start, start_detached

        check_start(root, plans, options, resources.data_root)
        sys.exit(start_detached(root, sys.argv[1:]))
    with lock_root(root):
        behaviour = admit_plans(root, plans, options, resources.data_root)
        code = Session(root, resources, resolve_loss).run(plans)
        report_all(root, options.store, [plan.manifest for plan in plans], behaviour)
    sys.exit(code)


def print_behaviour(plans: list[Plan], root: Path, data_root: Path | None) -> None:
    """Print which finished runs behave differently from the code at hand or are unprobed."""
    from bench.probes.record import Prober
    from studies.behaviour import compare
    from studies.runs import labels_of

    specs = {run_id: spec for plan in plans for run_id, spec in plan.specs.items()}
    behaviour = compare(root, specs, labels_of(plans), Prober(root, data_root).record)
    for line in behaviour.lines:
        typer.echo(line)


def read_inputs(names: list[str], options: PlanOptions) -> tuple[dict[str, Study], Profile]:
    """Return the studies by name, and the profile, before torch is imported.

    Prints a line where the profile's title contradicts its settings.

    Raises:
        SpecError: a name or a key is unknown, or two studies have the same name.
    """
    from bench.errors import SpecError
    from bench.profile import load_profile
    from bench.titles import contradiction
    from studies.schema import load_study, study_name

    studies = {study_name(name): load_study(name) for name in names}
    check_papers(studies)
    if len(studies) < len(names):
        raise SpecError(f"two studies have the same name: {', '.join(names)}; rename a file")
    profile = load_profile(options.shortened)
    check_columns(studies, profile)
    if line := contradiction(profile.title, profile.model):
        typer.echo(f"{options.profile}: {line}")
    return studies, profile


def check_papers(studies: Mapping[str, Study]) -> None:
    """Raise SpecError if a table claims to repeat a table that was never published."""
    from bench.errors import SpecError, unknown
    from reports.published import published_keys

    known = published_keys()
    for name, study in studies.items():
        for key, table in study.tables.items():
            if table.paper is not None and table.paper not in known:
                message = unknown("published table", table.paper, known)
                raise SpecError(f"{name}: tables.{key}.paper: {message}")


def check_columns(studies: Mapping[str, Study], profile: Profile) -> None:
    """Raise SpecError if a column is neither known everywhere nor of the data set."""
    from bench.data.registry import open_dataset
    from bench.errors import SpecError, unknown
    from studies.schema import COLUMNS, own_columns

    for name, study in studies.items():
        for column, place in own_columns(study).items():
            dataset = open_dataset(profile.data, None)
            classes = [f"iou/{label}" for label in dataset.class_names[: dataset.num_objects]]
            metrics = (*dataset.metric_names, *classes)
            if column not in metrics:
                message = unknown("column", column, {*COLUMNS, *metrics})
                raise SpecError(f"{name}: {place}: {message}; segloss list columns names them")


def require_crf(studies: Mapping[str, Study]) -> None:
    """Raise InstallError where a study has a row with a CRF and pydensecrf is not installed."""
    from bench.errors import InstallError
    from postproc.dense_crf import HOW_TO_INSTALL, available

    for name, study in studies.items():
        if study.uses_crf and not available():
            raise InstallError(
                f"{name}: rows with a dense CRF need pydensecrf, which is not installed; "
                f"leave them out with segloss run --without-crf, or {HOW_TO_INSTALL}"
            )


def print_network(spec: RunSpec) -> None:
    """Print where a network of another package is from, and how its parameters are split."""
    from bench.models.trial import name_of
    from bench.preflight import parameters_of

    backbone, head = parameters_of(spec.data, spec.model, spec.recipe)
    typer.echo(
        f"network ok: {name_of(spec.model)} ({spec.model.package}), {backbone:,} parameters of the "
        f"backbone, {head:,} of the head"
    )


def leave_out_crf(plan: Plan) -> Plan:
    """Return the plan without its evaluations with a CRF; their rows stay in the tables, empty.

    Prints which rows these are.
    """
    specs = {run_id: spec for run_id, spec in plan.specs.items() if spec.crf is None}
    rows = plan.manifest.rows.values()
    if empty := [row.label for row in rows if not specs.keys() >= set(row.run_ids)]:
        typer.echo(f"{plan.manifest.study}: rows left empty for lack of a CRF: {', '.join(empty)}")
    return replace(plan, specs=specs)


def make_plans(
    studies: dict[str, Study], profile: Profile, options: PlanOptions, *, without_crf: bool
) -> list[Plan]:
    """Return the plan of each study on the profile, checked.

    Args:
        studies: The studies by name.
        profile: The fixed settings.
        options: Of the verb.
        without_crf: Leave out the evaluations with a CRF.

    Raises:
        SpecError: a study, the profile or a run is invalid.
    """
    from bench.models.pretrained import settled
    from bench.preflight import check_profile, check_runs, resolve_loss
    from studies.plan import plan
    from studies.schema import profile_name

    profile = settled(profile, options.weights)
    check_profile(profile)
    plans = [
        plan(
            study,
            profile,
            names=(name, profile_name(options.shortened)),
            seeds=profile.seeds if options.seeds is None else options.seeds,
            resolve=resolve_loss,
        )
        for name, study in studies.items()
    ]
    check_runs([spec for plan in plans for spec in plan.specs.values()])
    return [leave_out_crf(plan) for plan in plans] if without_crf else plans

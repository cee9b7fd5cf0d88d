"""The verbs that read studies: validate, plan and run, with or without the dense CRF."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from bench.cli.options import (
    PlanOptions,
    SessionOptions,
    Studies,
    WithoutCrfOption,
    data_folder,
    takes,
)
from bench.cli.planning.inputs import read_inputs, require_crf
from bench.cli.views.text import say


@takes(PlanOptions)
def validate(studies: Studies, options: PlanOptions, without_crf: WithoutCrfOption = False) -> None:
    """Check studies, profile, losses, weights and every file that the runs read. Trains nothing."""
    inputs = read_inputs(studies, options)
    if not without_crf:
        require_crf(inputs[0])
    from bench.cli.planning.plans import make_plans, print_behaviour, print_network
    from bench.data.check import check_data
    from bench.models.pretrained import source_of_weights

    plans = make_plans(*inputs, options, without_crf=without_crf)
    spec = next(iter(plans[0].specs.values()))
    data_root = data_folder(options.data_root, inputs[1])
    source = source_of_weights(options.root.resolve(), spec.model, options.weights)
    if not spec.model.is_deeplab:
        print_network(spec)
    say(f"weights ok: {source}")
    say(f"data ok: {check_data(spec, data_root)}")
    for plan in plans:
        say(f"{plan.manifest.study} on {options.shortened} ok: {len(plan.specs)} runs")
    print_behaviour(plans, options.root, data_root)


@takes(PlanOptions)
def plan(
    studies: Studies,
    options: PlanOptions,
    without_crf: WithoutCrfOption = False,
    ids: Annotated[bool, typer.Option("--ids", help="Show the id of every run.")] = False,
) -> None:
    """Show the rows and the state of their runs, the images, and the time left."""
    inputs = read_inputs(studies, options)
    from bench.cli.planning.plans import make_plans, print_behaviour
    from bench.cli.views.plan import images, print_plan

    plans = make_plans(*inputs, options, without_crf=without_crf)
    data_root = data_folder(options.data_root, inputs[1])
    print_plan(plans, options.root, ids=ids)
    say(images(inputs[1].data, data_root))
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
    from bench.cli.detach import check_start, start_detached
    from bench.cli.planning.plans import make_plans
    from bench.cli.report import report_all
    from bench.cli.session import Session, admit_plans, resources_of
    from bench.preflight import resolve_loss
    from studies.ledger import lock_root

    root = options.root.resolve()
    resources, code = resources_of(options, inputs[1]), 0
    with lock_root(root):  # first, so that `segloss status --watch` finds the session at once
        plans = make_plans(*inputs, options, without_crf=without_crf)
        if not detach:
            behaviour = admit_plans(root, plans, options, resources.data_root)
            code = Session(root, resources, resolve_loss).run(plans)
            report_all(root, options.store, [plan.manifest for plan in plans], behaviour)
            sys.exit(code)
        check_start(root, plans, options, resources)
    sys.exit(start_detached(root, sys.argv[1:]))

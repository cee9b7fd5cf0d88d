"""The verb `segloss tune`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

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
    Study,
    UntilOption,
    WeightsOption,
    WorkersOption,
)


def tune(
    study: Study,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--param", help="A setting such as loss.lambda_; all searched if not given."),
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option("--methods", help="A method, or all: every one with a [search] section."),
    ] = None,
    trials: Annotated[
        int, typer.Option(min=1, help="Of each method, those done before included.")
    ] = 12,
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
    storage: Annotated[
        str | None,
        typer.Option("--storage", help="Optuna's URL; a sqlite file in the root if not given."),
    ] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make Optuna's study anew from the runs.")
    ] = False,
    write: Annotated[
        Path | None,
        typer.Option("--write", help="Where to write the study with the values found."),
    ] = None,
) -> None:
    """Search a study's options on images that the tables never see."""
    from bench.profile import load_profile, shortened_name
    from studies.executors.nursery import Nursery
    from studies.schema import load_study

    profile = shortened_name(profile, steps, scale)
    read = load_study(study), load_profile(profile)
    nursery = None if executor == "ray" else Nursery.forked()  # before other imports, as in `run`
    from bench.cli.night import Resources
    from bench.cli.tune import TuneOptions, tune_study
    from bench.runs.environment import visible_gpus
    from studies.deadline import deadline
    from studies.executors.ray import ray_options
    from studies.executors.slots import slots

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
    asked = TuneOptions(
        study=study,
        profile=profile,
        methods=tuple(name for name in methods or () if name != "all"),
        parameters=tuple(parameters or ()),
        trials=trials,
        seeds=seeds,
        storage=storage,
        rebuild=rebuild,
        write=write,
    )
    sys.exit(tune_study(asked, *read, root.resolve(), resources))

"""Canaries: short runs with known results; a fault that changes one would spoil every run.

Each canary is a shortened run of the study. RMI with lambda 1 is BCE, so both trainings must end in
the same weights. A CRF of 0 steps changes no label, so it must score as its training does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.runs.rundir import RunDir, run_dir
from bench.spec import EvaluationSpec, LossSpec, RunSpec
from studies.jobs import Job
from studies.ledger import DONE, states
from studies.plan import Plan, ResolveLoss
from studies.schedule import Ending, Executor, Observer, Schedule

STEPS = 3
"""Steps of a canary's training; few, because the first runs wait for the canaries."""
IMAGES = 4
"""Images that a canary is evaluated on."""


@dataclass(frozen=True)
class Canary:
    """Two runs that must agree."""

    statement: str
    first: RunSpec
    second: RunSpec


def plan_canaries(plans: list[Plan], resolve: ResolveLoss) -> list[Canary]:
    """Return the canaries of a session: one set for each distinct group of fixed settings."""
    canaries: dict[str, Canary] = {}
    for plan in plans:
        specs = list(plan.specs.values())
        bce = _cut_short(specs[0], resolve("bce", {})[0])
        # Set after resolve(), which would turn RMI with lambda 1 into BCE, the equality under test.
        loss = resolve("rmi", {})[0].model_copy(update={"options": {"lambda_": 1.0}})
        rmi = _cut_short(specs[0], loss)
        pairs = [Canary("RMI with lambda 1 is BCE", bce, rmi)]
        if crf := next((spec.crf for spec in specs if spec.crf), None):
            no_steps = bce.model_copy(update={"crf": crf.model_copy(update={"steps": 0})})
            pairs.append(Canary("a CRF of 0 steps changes nothing", bce, no_steps))
        canaries |= {canary.second.run_id: canary for canary in pairs}
    return list(canaries.values())


def run_canaries(
    canaries: list[Canary],
    root: Path,
    executor: Executor,
    log: Callable[[str], None],
    observer: Observer | None = None,
) -> tuple[Ending, str | None]:
    """Run the canaries that are not finished, then compare the results of all of them.

    Args:
        canaries: the canaries.
        root: the output folder of the canaries, which holds no other runs.
        executor: starts their workers.
        log: prints one line if a canary had to be run.
        observer: is notified of their progress.

    Returns:
        How the runs ended, and for "stopped" the reason: a run failed, or two disagree.
    """
    (root / "runs").mkdir(parents=True, exist_ok=True)
    schedule = Schedule(canary_jobs(canaries), root, executor, observer)
    started, pending = time.monotonic(), bool(schedule.pending)
    ending = schedule.run()
    if ending != "done":
        return ending, schedule.attempts.fatal_reason
    run_ids = [spec.run_id for canary in canaries for spec in (canary.first, canary.second)]
    failed = [s.reason for s in states(root, run_ids).values() if s.status not in DONE]
    if faults := failed or contradictions(canaries, root):
        return "stopped", f"{faults[0]} (canaries in {root})"
    if pending:
        statements = "; ".join(dict.fromkeys(canary.statement for canary in canaries))
        log(f"canaries: {statements} ({time.monotonic() - started:.0f} s)")
    return "done", None


def canary_jobs(canaries: list[Canary]) -> list[Job]:
    """Return one job for each distinct run of the canaries, trainings first."""
    specs = {spec.run_id: spec for canary in canaries for spec in (canary.first, canary.second)}
    return sorted((Job((spec,)) for spec in specs.values()), key=lambda job: job.after is not None)


def contradictions(canaries: list[Canary], root: Path) -> list[str]:
    """Return one sentence for each difference between two runs that should agree.

    Args:
        canaries: the canaries.
        root: the output folder in which all of them have been run.
    """
    return [
        f"{canary.statement}, but {difference}"
        for canary in canaries
        for difference in _differences(
            run_dir(root, canary.first.run_id), run_dir(root, canary.second.run_id)
        )
    ]


def _differences(first: RunDir, second: RunDir) -> list[str]:
    statuses = [run.state().status for run in (first, second)]
    if statuses != ["finished", "finished"]:  # two diverged runs agree
        return [f"one {statuses[0]} and one {statuses[1]}"] if len(set(statuses)) > 1 else []
    results = [result for run in (first, second) if (result := run.result())]
    digests = [result["digests"] for result in results]
    # A GPU adds in no fixed order, so its weights are not reproducible to the bit. The random draws
    # and the data are.
    names = ["init", "order", "augment", "data"]
    exact = results[0]["device"] == "cpu"
    compared = names + ["weights"] * exact
    differences = [
        f"their {name} digests are {digests[0][name]} and {digests[1][name]}"
        for name in compared
        if digests[0][name] != digests[1][name]
    ]
    if exact and not np.array_equal(*(np.load(d.confusion)["matrices"] for d in (first, second))):
        differences.append("their predictions differ")
    return differences


def _cut_short(spec: RunSpec, loss: LossSpec) -> RunSpec:
    recipe = spec.recipe
    short = {"steps": min(STEPS, recipe.steps), "warmup_steps": min(1, recipe.warmup_steps)}
    images = {
        "train_images": min(recipe.batch_size + 1, spec.data.train_images or recipe.batch_size + 1),
        "evaluate_images": min(IMAGES, spec.data.evaluate_images or IMAGES),
    }
    return spec.model_copy(
        update={
            "data": spec.data.model_copy(update=images),
            "recipe": recipe.model_copy(update=short),
            "loss": loss,
            "crf": None,
            "evaluation": EvaluationSpec(),
            "seed": 0,
        }
    )

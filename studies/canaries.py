"""Canaries: short runs whose results are known beforehand; what breaks one would spoil every run.

They are the study's own first seed cut short. RMI with lambda 1 is BCE, so both trainings must end
in the same weights; a CRF of 0 steps changes no label, so it must score as its source does.
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
IMAGES = 4


@dataclass(frozen=True)
class Canary:
    """Two runs that must agree."""

    statement: str
    first: RunSpec
    second: RunSpec


def plan_canaries(plans: list[Plan], resolve: ResolveLoss) -> list[Canary]:
    """The canaries of one night, of each thing that is held equal in it."""
    found: dict[str, Canary] = {}
    for plan in plans:
        specs = list(plan.specs.values())
        bce = _cut_short(specs[0], resolve("bce", {})[0])
        # Not resolved, for that takes for granted what is to be shown.
        loss = resolve("rmi", {})[0].model_copy(update={"options": {"lambda_": 1.0}})
        rmi = _cut_short(specs[0], loss)
        made = [Canary("RMI with lambda 1 is BCE", bce, rmi)]
        if crf := next((spec.crf for spec in specs if spec.crf), None):
            no_steps = bce.model_copy(update={"crf": crf.model_copy(update={"steps": 0})})
            made.append(Canary("a CRF of 0 steps changes nothing", bce, no_steps))
        found |= {canary.second.run_id: canary for canary in made}
    return list(found.values())


def run_canaries(
    found: list[Canary],
    root: Path,
    executor: Executor,
    log: Callable[[str], None],
    observer: Observer | None = None,
) -> tuple[Ending, str | None]:
    """Run canaries and compare their results; those that have been run are only compared.

    Args:
        found: the canaries.
        root: a folder of their own for their runs.
        executor: where they run.
        log: is given one line where a canary had to be run.
        observer: hears of their progress.

    Returns:
        How the runs ended, and for "stopped" the reason: a run failed, or two disagree.
    """
    (root / "runs").mkdir(parents=True, exist_ok=True)
    schedule = Schedule(canary_jobs(found), root, executor, observer)
    started, pending = time.monotonic(), bool(schedule.pending)
    ending = schedule.run()
    if ending != "done":
        return ending, schedule.attempts.fatal_reason
    run_ids = [spec.run_id for canary in found for spec in (canary.first, canary.second)]
    failed = [s.reason for s in states(root, run_ids).values() if s.status not in DONE]
    if faults := failed or contradictions(found, root):
        return "stopped", f"{faults[0]} (canaries in {root})"
    if pending:
        statements = "; ".join(dict.fromkeys(canary.statement for canary in found))
        log(f"canaries: {statements} ({time.monotonic() - started:.0f} s)")
    return "done", None


def canary_jobs(found: list[Canary]) -> list[Job]:
    """Their distinct runs, sources first."""
    specs = {spec.run_id: spec for canary in found for spec in (canary.first, canary.second)}
    return sorted((Job((spec,)) for spec in specs.values()), key=lambda job: job.after is not None)


def contradictions(found: list[Canary], root: Path) -> list[str]:
    """What the canaries under ``root``, which have been run, contradict; in words."""
    return [
        f"{canary.statement}, but {difference}"
        for canary in found
        for difference in _differences(
            run_dir(root, canary.first.run_id), run_dir(root, canary.second.run_id)
        )
    ]


def _differences(first: RunDir, second: RunDir) -> list[str]:
    statuses = [run.state().status for run in (first, second)]
    if statuses != ["finished", "finished"]:  # two that diverge agree
        return [f"one {statuses[0]} and one {statuses[1]}"] if len(set(statuses)) > 1 else []
    results = [result for run in (first, second) if (result := run.result())]
    digests = [result["digests"] for result in results]
    # A GPU's sums have no fixed order: there only what is drawn can be compared to the bit.
    names = ["init", "order", "augment", "data"]
    exact = results[0]["device"] == "cpu"
    found = [name for name in names + ["weights"] * exact if digests[0][name] != digests[1][name]]
    said = [f"their {name} digests are {digests[0][name]} and {digests[1][name]}" for name in found]
    if exact and not np.array_equal(*(np.load(d.confusion)["matrices"] for d in (first, second))):
        said.append("their predictions differ")
    return said


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

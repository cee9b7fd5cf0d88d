"""Seconds to plan a study of 10,000 runs, and to show the status of 10,000 run directories.

`python tests/perf/many_runs.py [--rows 10000 --seeds 1] [--folder FOLDER]`. Needs no test runner
and asserts nothing. The script fabricates all files in a temporary folder; it trains nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.cli.control import status as status_verb
from bench.cli.options import PlanOptions
from bench.cli.run import plan as plan_verb
from bench.manifest import remember
from bench.preflight import resolve_loss
from bench.profile import load_profile
from bench.runs.rundir import State, run_dir
from bench.spec import RunSpec
from studies.plan import Plan, plan
from studies.schema import load_study

PROFILE = "scenes-demo"
FACTORS = (2, 3, 4, 5)
STUDY = """
title = "Many values of two options"

[methods.RMI]
loss.name = "rmi"

[tables.1]
title = "Weight of the pixel term by downsampling factor"
columns = ["loss.lambda_", "loss.downsample_factor", "miou"]
rows = [{{ method = "RMI", loss.lambda_ = {values}, loss.downsample_factor = {factors} }}]
x = "loss.lambda_"
"""
ROUNDS = 3
Ends = Callable[[int], State]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--folder", type=Path, help="Parent of the temporary folder.")
    parser.add_argument("--child", choices=VERBS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rows < 4 or options.rows % 4:
        parser.error(f"--rows must be a multiple of {len(FACTORS)}, got {options.rows}")
    if options.child:
        json.dump(VERBS[options.child](options.folder, options.seeds), sys.stderr)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        show(Path(folder), options.rows, options.seeds)


def show(folder: Path, rows: int, seeds: int) -> None:
    values = [round((i + 1) / (rows // len(FACTORS)), 6) for i in range(rows // len(FACTORS))]
    (folder / "many.toml").write_text(STUDY.format(values=values, factors=list(FACTORS)))
    planned = planned_study(folder, seeds)
    remember(folder, planned.manifest)
    console = Console(highlight=False)
    console.print(
        f"{rows} rows x {seeds} seeds = {len(planned.specs)} runs, best of {ROUNDS} processes. "
        "The time of the verb excludes the start of its process and its imports; the time of the "
        "command includes them.",
        soft_wrap=True,
    )
    table = Table("", box=None, pad_edge=False)
    for title in ("verb, s", "verb, CPU s", "command, s", "lines"):
        table.add_column(title, justify="right")
    arguments = ["many.toml", "--profile", PROFILE, "--seeds", str(seeds)]
    table.add_row("plan, nothing run yet", *measured("plan", folder, seeds, arguments))
    for name, end in ENDS.items():
        fabricate(folder, planned, end)
        table.add_row(f"plan, {name}", *measured("plan", folder, seeds, arguments))
        table.add_row(f"status, {name}", *measured("status", folder, seeds, []))
    console.print(table)


def planned_study(folder: Path, seeds: int) -> Plan:
    return plan(
        load_study(str(folder / "many.toml")),
        load_profile(PROFILE),
        names=("many", PROFILE),
        seeds=seeds,
        resolve=resolve_loss,
    )


def all_finished(number: int) -> State:
    return State(status="finished", step=200, steps=200, updated=1.0, attempts=0)


def one_of_each(number: int) -> State:
    """Return a state by number: every other run has finished, the rest ended in other ways."""
    kinds = (
        State(status="diverged", reason="loss is NaN", step=20, steps=200),
        State(status="failed", failure="oom", reason="out of memory", step=3, steps=200),
        State(status="failed", failure="crash", reason=f"ValueError: {number}", steps=200),
        State(status="interrupted", reason="stopped", step=number % 200, steps=200),
        State(),
    )
    return all_finished(number) if number % 2 else kinds[number // 2 % len(kinds)]


ENDS: dict[str, Ends] = {"all finished": all_finished, "all kinds of ends": one_of_each}


def fabricate(folder: Path, planned: Plan, end: Ends) -> None:
    """Write the files that status and plan read, as if every run had ended."""
    for number, (run_id, spec) in enumerate(planned.specs.items()):
        directory, state = run_dir(folder, run_id), end(number)
        directory.path.mkdir(parents=True, exist_ok=True)
        written = {"spec.json": spec_json(spec), "state.json": state.model_dump(mode="json")}
        if state.status == "finished":
            written["result.json"] = RESULT
        for name, content in written.items():
            (directory.path / name).write_text(json.dumps(content, indent=1))


def spec_json(spec: RunSpec) -> object:
    return spec.model_dump(mode="json", exclude_defaults=True)


# As large as a real result, which has the IoU of every class.
RESULT = {
    "metrics": {"miou": 0.5, **{f"iou/class {i}": i / 40 for i in range(20)}},
    "cost": {"train_s": 60.0, "infer_ms": 12.0, "peak_mem_mb": 900.0},
    "digests": {f"digest {i}": "0123456789ab" for i in range(8)},
}


def measured(verb: str, folder: Path, seeds: int, arguments: list[str]) -> tuple[str, ...]:
    """Return the smallest wall and CPU seconds of the verb, those of the command, and its lines."""
    inside, outside, lines = [], [], 0
    alone = [__file__, "--child", verb, "--folder", str(folder), "--seeds", str(seeds)]
    command = ["-m", "bench", verb, *arguments, "--root", str(folder)]
    for _ in range(ROUNDS):
        inside.append(json.loads(output(folder, alone).stderr))
        began = time.perf_counter()
        lines = output(folder, command).stdout.count("\n")
        outside.append(time.perf_counter() - began)
    wall, cpu = min(inside)
    return f"{wall:.2f}", f"{cpu:.2f}", f"{min(outside):.2f}", str(lines)


def output(folder: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    # The current folder is not the checkout, so the packages need a path.
    paths = {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(
        command, cwd=folder, env=os.environ | paths, capture_output=True, text=True, check=True
    )


def time_plan(folder: Path, seeds: int) -> tuple[float, float]:
    import bench.cli.views.plan
    import bench.runs.environment  # noqa: F401 (imported before the verb is timed)

    study = str(folder / "many.toml")
    options = PlanOptions(profile=PROFILE, seeds=seeds, root=folder)
    return timed(lambda: plan_verb.__wrapped__([study], options))


def time_status(folder: Path, seeds: int) -> tuple[float, float]:
    import bench.cli.views.plan  # noqa: F401 (as above)

    return timed(lambda: status_verb(root=folder))


def timed(call: Callable[[], None]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


VERBS = {"plan": time_plan, "status": time_status}


if __name__ == "__main__":
    main()

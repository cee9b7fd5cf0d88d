"""CPU time of a session's own process while many workers run on one root.

    python tests/perf/crowd.py [--workers 16] [--steps 600]

Runs as many trainings as workers, all at the same time. From the first start to the last end, the
script prints the CPU seconds of the scheduler, as a share of one core, and those of the mirror, a
thread of the same process that also imports MLflow and the report's libraries. Then it prints the
number of points that are missing from the curves and from the store.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from tempfile import mkdtemp

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent / "faults"))
import storm  # pyright: ignore[reportMissingImports]

from bench.runs.rundir import all_run_dirs


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--steps", type=int, default=600)
    options = parser.parse_args()
    storm.STEPS = options.steps
    folder = Path(mkdtemp(prefix="crowd-"))
    root, log = folder / "out", folder / "log"
    command = [*storm.write_study(folder, crowd=options.workers), "--workers", str(options.workers)]
    session = storm.run(command, root, log)
    scheduler = psutil.Process(session.pid)
    storm.wait_for(lambda: bool(_statuses(root)), 300)
    began, before = time.monotonic(), _spent(scheduler)
    most, ended, after = 0, began, before
    while session.poll() is None:
        statuses = _statuses(root)
        most = max(most, statuses.count("running"))
        if "running" in statuses or "queued" in statuses:
            ended, after = time.monotonic(), _spent(scheduler)
        time.sleep(0.5)
    wall = ended - began
    runs = storm.outcome(root)
    expected = options.steps // 3
    lost = sum(expected - len(run["curve"]) for run in runs.values())
    lacking = sum(expected - run["store curve"] for run in runs.values())
    print(f"{len(runs)} runs of {options.steps} steps, {most} at once, {wall:.0f} s")  # noqa: T201
    for name, one, other in zip(("scheduler", "mirror"), before, after, strict=True):
        spent = other - one
        print(f"{name}: {spent:.1f} s of CPU, {100 * spent / wall:.1f} % of one core")  # noqa: T201
    print(f"lines lost: {lost}; lacking in the store: {lacking}")  # noqa: T201
    print(f'"database is locked": {log.read_text().count("database is locked")} times')  # noqa: T201


def _spent(process: psutil.Process) -> tuple[float, float]:
    """Return the CPU seconds of the process's main thread, and of its other threads."""
    threads = {thread.id: thread.user_time + thread.system_time for thread in process.threads()}
    main_thread = threads.pop(process.pid)
    return main_thread, sum(threads.values())


def _statuses(root: Path) -> list[str]:
    return [directory.state().status for directory in all_run_dirs(root)]


if __name__ == "__main__":
    main()

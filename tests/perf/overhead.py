"""Overhead of a session: its wall time over the training and evaluation time per slot.

    python tests/perf/overhead.py [--runs 12] [--seconds 60] [--slots 2]

Runs a study of equal trainings of about ``--seconds`` each, and divides the wall time by the
workers' training and evaluation seconds per slot. Then it prints the parts of the difference.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path
from tempfile import mkdtemp

from bench.runs.rundir import RunDir, all_run_dirs

sys.path.insert(0, str(Path(__file__).parent.parent / "fixtures"))
from tiny import TINY_PROFILE, many_trainings  # pyright: ignore[reportMissingImports]


def session(folder: Path, name: str, runs: int, steps: int, slots: int) -> tuple[float, str]:
    """Run a session of ``runs`` trainings and return its wall seconds and its output."""
    profile, study = folder / f"{name}.toml", folder / f"{name}-study.toml"
    # An epoch has 12 steps and ends with a line of the curves; an epoch of CamVid has 117.
    text = TINY_PROFILE.replace("train_images = 12", "train_images = 48")
    profile.write_text(text.replace("steps = 7", f"steps = {steps}"))
    study.write_text(many_trainings(runs))
    command = [sys.executable, "-m", "bench", "run", str(study), "--profile", str(profile)]
    started = time.perf_counter()
    done = subprocess.run(
        [*command, "--root", str(folder / name), "--workers", str(slots)],
        capture_output=True,
        text=True,
        check=True,
    )
    return time.perf_counter() - started, done.stdout


def own_seconds(directory: RunDir) -> float:
    """Return the seconds of a run's training and evaluation."""
    result = directory.result()
    assert result is not None
    return result["cost"]["train_s"] + result["cost"]["evaluate_s"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--slots", type=int, default=2)
    options = parser.parse_args()
    folder = Path(mkdtemp(prefix="overhead-"))
    session(folder, "probe", options.slots, 200, options.slots)
    probe = max(map(own_seconds, all_run_dirs(folder / "probe")))
    steps = max(10, round(200 * options.seconds / probe))
    wall, output = session(folder, "session", options.runs, steps, options.slots)
    directories = all_run_dirs(folder / "session")
    own = sum(map(own_seconds, directories))
    stamps = [_seconds(line) for line in output.splitlines() if re.match(r"\d\d:", line)]
    busy = max(stamps) - min(stamps)
    share = own / options.slots
    print(f"{options.runs} runs of {steps} steps, {own / options.runs:.1f} s each")  # noqa: T201
    print(f"wall {wall:.1f} s / (own {own:.1f} s / {options.slots}) = {wall / share:.3f}")  # noqa: T201
    print(f"from first start to last end {busy:.0f} s: {busy / share:.3f}")  # noqa: T201
    print(f"before and after {wall - busy:.1f} s (imports, canaries, mirror, report)")  # noqa: T201
    print(f"in workers, besides training and evaluation: {busy - share:.1f} s per slot")  # noqa: T201


def _seconds(line: str) -> int:
    hours, minutes, seconds = map(int, line[:8].split(":"))
    return 3600 * hours + 60 * minutes + seconds


if __name__ == "__main__":
    main()

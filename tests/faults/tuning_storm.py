"""Kill -9 at random moments of a tuning; its results must equal those of an undisturbed one.

    python tests/faults/tuning_storm.py --profile scenes-demo --trials 12 --kills 5

The script runs the tuning of lambda undisturbed. On another root it kills scheduler and workers at
random moments and runs the same command again. The finished tunings must be equal: trials and
their order, runs, weights, scores, and Optuna's copy.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import optuna
import storm

from bench.manifest import manifests
from bench.runs.rundir import run_dir
from studies.tuning.sampler import open_storage

PATIENCE = 900.0


def command_of(profile: str, trials: int, *options: str) -> list[str]:
    """Return the command that tunes lambda on two workers."""
    tune = [sys.executable, "-m", "bench", "tune", "lambda", "--param", "loss.lambda_"]
    return [*tune, "--profile", profile, "--trials", str(trials), "--workers", "2", *options]


def strike(session: Any, root: Path, chance: random.Random, seconds: float) -> bool:
    """Kill a session at a random moment after its first worker has started.

    Args:
        session: the scheduler's process.
        root: the root of the session.
        chance: source of random numbers.
        seconds: the longest wait after the start of a worker.

    Returns:
        Whether the session was killed; False if it ended before.
    """
    storm.wait_for(
        lambda: bool(storm.family(session)["worker"]) or session.poll() is not None, PATIENCE
    )
    time.sleep(chance.random() * seconds)
    if session.poll() is not None:
        return False
    for pid in [pid for pids in storm.family(session).values() for pid in pids]:
        storm.kill(pid)
    session.wait()
    return True


def outcome(root: Path) -> dict[str, Any]:
    """Return everything that must not depend on the kills."""
    (manifest,) = manifests(root)
    rows = [row for table in manifest.tables for row in table.rows]
    results = {i: run_dir(root, i).result() for row in rows for i in row.run_ids}
    study = f"{manifest.study}/{manifest.profile}/RMI"
    stored = optuna.load_study(
        study_name=study, storage=open_storage(f"sqlite:///{root}/optuna.db")
    ).trials
    return {
        "trials": [row.label for row in rows],
        "runs": sorted(path.name for path in (root / "runs").iterdir()),
        "scores": {i: r and [r["metrics"], r["digests"]["weights"]] for i, r in results.items()},
        "optuna": [[trial.state.name, trial.params, trial.value] for trial in stored],
    }


def run_storm(
    folder: Path, command: list[str], kills: int, seed: int, seconds: float
) -> tuple[dict[str, Any], dict[str, Any], int]:
    """Return the outcomes of the undisturbed and of the killed tuning, and the number of kills."""
    chance, done = random.Random(seed), 0
    calm = storm.run(command, folder / "calm", folder / "calm.log")
    if calm.wait() != 0:
        raise RuntimeError((folder / "calm.log").read_text())
    while True:
        session = storm.run(command, folder / "killed", folder / "killed.log")
        if done < kills:
            done += strike(session, folder / "killed", chance, seconds)
        elif session.wait() == 0:
            return outcome(folder / "calm"), outcome(folder / "killed"), done
        else:
            raise RuntimeError((folder / "killed.log").read_text())


def main() -> int:
    """Run the storm and print its counts; return 1 if the tunings differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="scenes-demo")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=60.0, help="longest wait before a kill")
    options = parser.parse_args()
    folder = Path(mkdtemp(prefix="tuning-storm-"))
    command = command_of(options.profile, options.trials, "--seeds", options.seeds)
    calm, killed, kills = run_storm(folder, command, options.kills, options.seed, options.seconds)
    states = [trial[0] for trial in killed["optuna"]]
    print(f"{kills} kills; {states.count('COMPLETE')} of {len(states)} trials finished,")  # noqa: T201
    print(f"{len(set(killed['trials']))} different, {len(killed['runs'])} runs")  # noqa: T201
    same = json.dumps(calm) == json.dumps(killed)
    print("equal to the undisturbed one" if same else f"{calm}\ndiffers from\n{killed}")  # noqa: T201
    return not same


if __name__ == "__main__":
    sys.exit(main())

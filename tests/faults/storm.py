"""Kill -9 at random moments of a small study; its results must equal those of an undisturbed one.

    python tests/faults/storm.py --kills 100 --seed 0

The script first runs the study undisturbed. Then it runs the same command repeatedly on another
root. Each time it waits for a random kind of moment (a training step, the write of a checkpoint or
a state, an evaluation, a write to the store) and kills a random victim: a worker, the fork server,
the scheduler, or all at once. The completed study must equal the undisturbed one bit for bit. The
script continues with new roots until it has killed ``--kills`` times.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import psutil

from bench.runs.rundir import RunDir, all_run_dirs, pid_exists
from bench.store.client import default_uri
from bench.store.reading import read_histories
from reports.stored import read_frame

sys.path.insert(0, str(Path(__file__).parent.parent / "fixtures"))
from tiny import TINY_PROFILE, TINY_STUDY, many_trainings  # pyright: ignore[reportMissingImports]

STEPS = 300
PATIENCE = 20.0
"""The longest wait for a kind of moment in seconds; after it, the kill comes at any moment."""


def write_study(folder: Path, crowd: int | None = None) -> list[str]:
    """Write a small study and return the command that runs it.

    Args:
        folder: folder for the study and its profile.
        crowd: number of trainings; by default the study has two trainings and two evaluations.
    """
    profile = TINY_PROFILE.replace("steps = 7", f"steps = {STEPS}")
    study_text = TINY_STUDY
    if crowd is not None:
        study_text = many_trainings(crowd)
    (folder / "storm.toml").write_text(profile)
    (folder / "storm-study.toml").write_text(study_text)
    study, profile_path = folder / "storm-study.toml", folder / "storm.toml"
    return [sys.executable, "-m", "bench", "run", str(study), "--profile", str(profile_path)]


def run(command: list[str], root: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start a session on ``root`` that writes a checkpoint every 0.2 s."""
    environment = {**os.environ, "SEGLOSS_CHECKPOINT_SECONDS": "0.2"}
    with log.open("ab") as output:
        return subprocess.Popen(
            [*command, "--root", str(root)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


def _any(root: Path, pattern: str) -> bool:
    return next(root.glob(pattern), None) is not None


MOMENTS = {
    "training": lambda root: _any(root, "runs/*/metrics.jsonl"),
    "checkpoint write": lambda root: _any(root, "runs/*/.checkpoint.*"),
    "evaluation": lambda root: any(
        not (path.parent / "result.json").exists()
        for path in root.glob("runs/*/weights.safetensors")
    ),
    "ledger write": lambda root: _any(root, "runs/*/.state.*"),
    "mirror write": lambda root: _any(root, "mlflow.db-*") and _any(root, "mlflow.db"),
}
OWN = ("mlflow_run_id", "artifact_uri", "result", "updated")
"""Columns that differ between stores of the same runs: names, times, digests of measured times."""
VICTIMS = ("worker", "server", "scheduler", "all")


@dataclass
class Storm:
    """Kills processes at random moments, and counts the kills."""

    chance: random.Random
    kills: Counter[str] = field(default_factory=Counter)
    victims: Counter[str] = field(default_factory=Counter)
    orphans_s: list[float] = field(default_factory=list)
    """Seconds between the end of a killed scheduler and that of its last worker."""
    studies: int = 0
    """Studies that were completed."""

    def strike(self, session: subprocess.Popen[bytes], root: Path) -> None:
        """Wait for a worker, then for a random moment, and kill a random victim."""
        exit_code = session.poll
        wait_for(lambda: bool(family(session)["worker"]) or exit_code() is not None, 120)
        moment = self.chance.choice(list(MOMENTS))
        seen = wait_for(lambda: MOMENTS[moment](root) or exit_code() is not None, PATIENCE)
        time.sleep(self.chance.random() * (1.0 if moment == "training" else 0.02))
        if exit_code() is not None:
            return
        victim = self.chance.choice(VICTIMS)
        found = family(session)
        everyone = [pid for pids in found.values() for pid in pids]
        struck = {**found, "all": everyone, "worker": found["worker"][:1]}[victim]
        for pid in struck:
            kill(pid)
        if victim == "scheduler":
            killed = time.monotonic()
            wait_for(lambda: not any(map(pid_exists, found["worker"])), 30)
            self.orphans_s.append(time.monotonic() - killed)
        if struck:
            self.kills[moment if seen else "any time"] += 1
            self.victims[victim] += 1


def family(session: subprocess.Popen[bytes]) -> dict[str, list[int]]:
    """Return the living processes of a session by role."""
    try:
        processes = psutil.Process(session.pid).children(recursive=True)
        parents = {process.pid: process.ppid() for process in processes}
    except psutil.NoSuchProcess:
        return {"scheduler": [], "server": [], "worker": []}
    servers = [pid for pid, parent in parents.items() if parent == session.pid and is_server(pid)]
    workers = [pid for pid, parent in parents.items() if parent in servers]
    return {"scheduler": [session.pid], "server": servers, "worker": workers}


def is_server(pid: int) -> bool:
    """Return whether a process is multiprocessing's fork server."""
    try:
        return any("multiprocessing.forkserver" in word for word in psutil.Process(pid).cmdline())
    except psutil.NoSuchProcess:
        return False


def kill(pid: int) -> None:
    """Kill a process if it still exists."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def wait_for(condition: Any, seconds: float) -> bool:
    """Wait until a condition is true; return False if it is not within ``seconds``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.001)
    return False


def outcome(root: Path) -> dict[str, dict[str, Any]]:
    """Return everything that must not depend on kills, by run id, including the store's columns."""
    uri = default_uri(root)
    frame = read_frame(uri, "storm-study", "storm")[1].set_index("run_id")
    curves = read_histories(uri, list(frame["mlflow_run_id"]), ["train/loss"])
    found = runs_of(root)
    for run_id, run in found.items():
        row = frame.loc[run_id]
        run["store"] = {
            key: value
            for key, value in row.to_dict().items()
            if key not in OWN and not key.startswith("cost/")
        }
        run["store curve"] = len(curves.get((row["mlflow_run_id"], "train/loss"), []))
    return found


def runs_of(root: Path) -> dict[str, dict[str, Any]]:
    """Return everything in the run directories that must not depend on kills, by run id."""
    return {directory.run_id: _of_run(directory) for directory in all_run_dirs(root)}


def _of_run(directory: RunDir) -> dict[str, Any]:
    result = directory.result() or {}
    curve = [{k: v for k, v in line.items() if k != "time"} for line in directory.metrics()]
    return {
        "status": directory.state().status,
        **{f"{name} digest": value for name, value in result.get("digests", {}).items()},
        "metrics": result.get("metrics"),
        "confusion": np.load(directory.confusion)["matrices"].tolist(),
        "borders": {name: a.tolist() for name, a in np.load(directory.boundaries).items()},
        "curve": curve,
    }


def differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """Return a line for each difference between two outcomes."""
    lines = [f"{i}: lost" for i in expected.keys() - found.keys()]
    lines += [f"{i}: not in the study" for i in found.keys() - expected.keys()]
    for run_id in found.keys() & expected.keys():
        lines += [
            f"{run_id}: {key}"
            for key in expected[run_id]
            # As JSON text, because NaN is not equal to itself.
            if json.dumps(found[run_id][key]) != json.dumps(expected[run_id][key])
        ]
    return lines


def run_storm(folder: Path, kills: int, seed: int) -> tuple[Storm, list[str]]:
    """Kill ``kills`` times; return the storm and each difference from the undisturbed study."""
    command, storm, faults = write_study(folder), Storm(random.Random(seed)), []
    calm = run(command, folder / "calm", folder / "calm.log")
    if calm.wait() != 0:
        raise RuntimeError((folder / "calm.log").read_text())
    expected = outcome(folder / "calm")
    while storm.kills.total() < kills:
        root, log = folder / f"storm-{storm.studies}", folder / f"storm-{storm.studies}.log"
        code = None
        while code != 0:
            session = run(command, root, log)
            while session.poll() is None and storm.kills.total() < kills:
                storm.strike(session, root)
            code = session.wait()
        faults += differences(outcome(root), expected)
        storm.studies += 1
        shutil.rmtree(root)
    return storm, faults


def main() -> int:
    """Run the storm and print its counts; return 1 if a result differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    storm, faults = run_storm(Path(mkdtemp(prefix="storm-")), options.kills, options.seed)
    print(f"{storm.kills.total()} kills over {storm.studies} studies")  # noqa: T201
    print("moments:", dict(storm.kills), "victims:", dict(storm.victims))  # noqa: T201
    print(f"orphaned workers lived {max(storm.orphans_s, default=0):.1f} s at most")  # noqa: T201
    print("\n".join(faults) or "every study equals the undisturbed one")  # noqa: T201
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())

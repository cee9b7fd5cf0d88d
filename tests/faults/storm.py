"""A storm of kill -9 over a small study, and the proof that nothing of it is left in the results.

    python tests/faults/storm.py --kills 100 --seed 0

An undisturbed study is run first. Then the same command is run again and again on another root.
Each time the storm waits for a moment of a drawn kind (a step, a checkpoint or a state being
written, an evaluation, the store being written) and kills a drawn victim: a worker, the process
that forks them, the scheduler, or all at once. When the study is complete, it must equal the
undisturbed one bit for bit; then the storm goes on over a new root, until all kills are spent.
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

from bench.runs.lease import pid_exists
from bench.runs.rundir import RunDir, all_run_dirs
from bench.store.client import default_uri
from bench.store.reading import read_histories
from reports.stored import read_frame

sys.path.insert(0, str(Path(__file__).parent.parent / "fixtures"))
from tiny import TINY_PROFILE, TINY_STUDY, many_trainings  # pyright: ignore[reportMissingImports]

STEPS = 300
PATIENCE = 20.0
"""Seconds that a kind of moment is waited for; then the kill comes wherever things stand."""


def write_study(folder: Path, crowd: int | None = None) -> list[str]:
    """Write a study of two trainings and two evaluations, or of so many trainings.

    Returns the command that runs it.
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
    """Start the session on ``root``; checkpoints come as often as they can."""
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
"""What two stores of the same runs do not share: names, times, and digests of measured times."""
VICTIMS = ("worker", "server", "scheduler", "all")


@dataclass
class Storm:
    """What was done, and what was seen."""

    chance: random.Random
    kills: Counter[str] = field(default_factory=Counter)
    victims: Counter[str] = field(default_factory=Counter)
    orphans_s: list[float] = field(default_factory=list)
    """Seconds that workers lived on after their scheduler was killed."""
    studies: int = 0

    def strike(self, session: subprocess.Popen[bytes], root: Path) -> None:
        """Wait for a worker, then for a drawn moment, and kill a drawn victim."""
        over = session.poll
        wait_for(lambda: bool(family(session)["worker"]) or over() is not None, 120)
        moment = self.chance.choice(list(MOMENTS))
        seen = wait_for(lambda: MOMENTS[moment](root) or over() is not None, PATIENCE)
        time.sleep(self.chance.random() * (1.0 if moment == "training" else 0.02))
        if over() is not None:
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
    """The living processes of a session by what they are."""
    try:
        processes = psutil.Process(session.pid).children(recursive=True)
        parents = {process.pid: process.ppid() for process in processes}
    except psutil.NoSuchProcess:
        return {"scheduler": [], "server": [], "worker": []}
    servers = [pid for pid, parent in parents.items() if parent == session.pid and is_server(pid)]
    workers = [pid for pid, parent in parents.items() if parent in servers]
    return {"scheduler": [session.pid], "server": servers, "worker": workers}


def is_server(pid: int) -> bool:
    """Whether a process is multiprocessing's fork server."""
    try:
        return any("multiprocessing.forkserver" in word for word in psutil.Process(pid).cmdline())
    except psutil.NoSuchProcess:
        return False


def kill(pid: int) -> None:
    """Kill a process, if it is still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def wait_for(condition: Any, seconds: float) -> bool:
    """Whether a condition came true within so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.001)
    return False


def outcome(root: Path) -> dict[str, dict[str, Any]]:
    """All that must not depend on what happened on the way, by run id, with what the store has."""
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
    """The same without the store."""
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
    """Where two outcomes differ, in words."""
    said = [f"{i}: lost" for i in expected.keys() - found.keys()]
    said += [f"{i}: not asked for" for i in found.keys() - expected.keys()]
    for run_id in found.keys() & expected.keys():
        said += [
            f"{run_id}: {key}"
            for key in expected[run_id]
            # NaN equals itself in JSON's text.
            if json.dumps(found[run_id][key]) != json.dumps(expected[run_id][key])
        ]
    return said


def rage(folder: Path, kills: int, seed: int) -> tuple[Storm, list[str]]:
    """Spend all kills; return what was done and every difference to the undisturbed study."""
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
    """Rage, and print figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    storm, faults = rage(Path(mkdtemp(prefix="storm-")), options.kills, options.seed)
    print(f"{storm.kills.total()} kills over {storm.studies} studies")  # noqa: T201
    print("moments:", dict(storm.kills), "victims:", dict(storm.victims))  # noqa: T201
    print(f"orphaned workers lived {max(storm.orphans_s, default=0):.1f} s at most")  # noqa: T201
    print("\n".join(faults) or "every study equals the undisturbed one")  # noqa: T201
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())

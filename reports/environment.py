"""Where and when a study's runs were made, in words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from reports.model import Environment
from reports.sentences import captions

if TYPE_CHECKING:
    import pandas as pd

DONE = ("finished", "diverged")
DEVICES = {"cpu": "the CPU"}
HOUR = 3600


def environments(facts: Mapping[str, Mapping[str, Any]], frame: pd.DataFrame) -> list[Environment]:
    """Return the environments of the finished runs with their numbers of runs, most runs first.

    Args:
        facts: Content of env.json by the environment's digest.
        frame: The runs frame.
    """
    if "digest/env" not in frame:
        return []
    done = frame.loc[frame["status"].isin(DONE), :].drop_duplicates("run_id")
    counts = done["digest/env"].value_counts()
    return [
        Environment(environment_words(facts[str(digest)]), str(digest), int(count))
        for digest, count in counts.items()
        if str(digest) in facts
    ]


def environment_words(facts: Mapping[str, Any]) -> str:
    """Return the content of an env.json: "torch 2.15.0, Python 3.11.7; 1 thread on the CPU (…)"."""
    packages = facts.get("packages")
    versions = packages.items() if isinstance(packages, dict) else ()
    named = [f"{name} {version}" for name, version in versions if version]
    device, threads = str(facts.get("device", "")), facts.get("threads")
    number = f"{threads} thread{'s' * (threads != 1)} on " if isinstance(threads, int) else "on "
    place = f"{number}{DEVICES.get(device, device)} ({facts.get('machine', 'unknown machine')})"
    return f"Python {facts.get('python')}, {', '.join(named)}; {place}"


def work(frame: pd.DataFrame) -> str:
    """Return how many runs were made, when, and how long they took; "" before the first one."""
    done = frame.loc[frame["status"].isin(DONE), :].drop_duplicates("run_id")
    if done.empty:
        return ""
    n = len(done)
    sentence = captions.RUNS.format(runs=f"{n} run{'s' * (n > 1)}", days=_days(done))
    hours = _seconds(done) / HOUR
    return f"{sentence} {captions.HOURS.format(hours=f'{hours:,.1f}')}" if hours else sentence


def _days(done: pd.DataFrame) -> str:
    """Return the days on which runs ended, in UTC: "28 Nov 2026" or "28 Nov 2026 to …"."""
    ends = done["updated"].dropna() if "updated" in done else []
    days = [f"{datetime.fromtimestamp(end, UTC):%d %b %Y}".lstrip("0") for end in sorted(ends)]
    if not days:
        return "on unknown days"
    return f"on {days[0]}" if days[0] == days[-1] else f"from {days[0]} to {days[-1]}"


def _seconds(done: pd.DataFrame) -> float:
    """Return the time of all trainings and evaluations; an evaluation repeats its training's."""
    trained = done.loc[done["role"].isin(["train", "tune"]), :] if "role" in done else done
    parts = (trained.get("cost/train_s"), done.get("cost/evaluate_s"))
    return float(sum(part.sum() for part in parts if part is not None))

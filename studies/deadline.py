"""Deadline: when the night ends, and whether a job would be done by then."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from statistics import fmean

from bench.errors import SpecError
from bench.runs.rundir import run_dir
from studies.plan import Job

# Start-up and what else is not in a run's own record of its time; and runs differ a little.
START_SECONDS = 10.0
MARGIN = 1.05


def deadline(until: str | None, budget: str | None, now: datetime | None = None) -> float | None:
    """The end of a night in seconds since the epoch, or None where neither is given.

    The earlier of a time of day ("07:00") and a span ("8h", "1h30m"). Raises SpecError for what is
    no time.
    """
    now = now or datetime.now()
    ends = []
    if until is not None:
        ends.append(_next(until, now))
    if budget is not None:
        ends.append(now + _span(budget))
    return min(ends).timestamp() if ends else None


def _next(clock: str, now: datetime) -> datetime:
    try:
        at = datetime.strptime(clock, "%H:%M").time()
    except ValueError:
        raise SpecError(f"--until {clock}: not a time of day such as 07:00") from None
    end = datetime.combine(now.date(), at)
    return end if end > now else end + timedelta(days=1)


def _span(text: str) -> timedelta:
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    if not found or not any(found.groups()):
        raise SpecError(f"--budget {text}: not a span of time such as 8h, 1h30m or 90s")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


class Estimates:
    """How long jobs take, judged by those of their kind that are done."""

    def __init__(self, root: Path, jobs: Iterable[Job]) -> None:
        self.root = root
        self.seconds: dict[tuple[str, bool], list[float]] = defaultdict(list)
        for job in jobs:
            self.learn(job)

    def learn(self, job: Job) -> None:
        """Take a job into account, if it is done."""
        results = [run_dir(self.root, run_id).result() for run_id in job.run_ids]
        costs = [result["cost"] for result in results if result]
        if len(costs) < len(job.run_ids):
            return
        if job.after is None:
            self.seconds[_kind(job)].append(costs[0]["train_s"] + costs[0]["evaluate_s"])
        else:  # all step counts come out of one pass
            self.seconds[_kind(job)].append(max(cost["evaluate_s"] for cost in costs))

    def left(self, job: Job) -> float | None:
        """Seconds to the job's end if it started now; None if none is done to judge by."""
        known = self.seconds[_kind(job)]
        if not known:
            return None
        state = run_dir(self.root, job.run_ids[0]).state()
        share = 1 - state.step / state.steps if state.steps and job.after is None else 1.0
        return START_SECONDS + MARGIN * fmean(known) * share

    def fits(self, job: Job, end: float | None) -> bool:
        """Whether the job would be done at ``end``; yes where there is nothing to judge by."""
        if end is None:
            return True
        left = self.left(job)
        return time.time() < end if left is None else time.time() + left <= end


def _kind(job: Job) -> tuple[str, bool]:
    return job.specs[0].comparison_key, job.after is None

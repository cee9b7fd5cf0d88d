"""How long jobs take, learned from finished ones and from progress, and when a session has to end.

The scheduler asks whether a job would end in time; every view of the time left prints the same
estimate. All of it is read from the root, so that two processes that look at the same time see the
same number.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from statistics import fmean

from bench.errors import SpecError
from bench.manifest import JobRecord, Manifest, Row
from bench.runs.rundir import State, run_dir
from studies.jobs import records_of

# Results of so many jobs of one row are enough to judge the next one by.
JOBS_PER_ROW = 3
START_SECONDS = 5.0
"""From a worker's start to its first step; a run's own record of its time lacks them."""


@dataclass(frozen=True)
class TimeLeft:
    """The time to the end of all open jobs, such as "1 h 05 min and 2 jobs of unknown length"."""

    seconds: float
    unknown: int = 0
    """Open jobs that nothing is known to judge by."""

    def __str__(self) -> str:
        jobs = f"{self.unknown} job{'s' * (self.unknown > 1)}"
        return span(self.seconds) + (f" and {jobs} of unknown length" if self.unknown else "")


class Estimates:
    """What the jobs of studies cost.

    A job is judged by finished jobs of its row; without any, by those that share all but loss and
    CRF; without any of these, a training by the pace of the trainings that run.
    """

    def __init__(self, root: Path, studies: list[Manifest]) -> None:
        self.root = root
        self.costs: dict[Hashable, list[float]] = defaultdict(list)
        self.learned: set[str] = set()
        self.set_studies(studies)

    def set_studies(self, studies: list[Manifest]) -> None:
        """Take ``studies`` in place of those before; what has been learned stays."""
        self.studies = studies
        self.jobs = records_of(self.root, studies)
        self.rows = _rows(studies, self.jobs)
        self.workers = 1

    def learn(self, states: Mapping[str, State]) -> None:
        """Take into account what the jobs that are finished by ``states`` cost."""
        for job in self._jobs(states):
            if job.pass_id in self.learned or any(
                run_id not in states or states[run_id].status != "finished"
                for run_id in job.run_ids
            ):
                continue
            self.learned.add(job.pass_id)
            if len(self.costs[self._row(job)]) < JOBS_PER_ROW and (seconds := self._cost(job)):
                self.costs[self._row(job)].append(seconds)
                self.costs[self._kind(job)].append(seconds)

    def seconds(self, run_id: str, state: State) -> float | None:
        """Return how long the job of a run takes from ``state`` to its end.

        None where no finished job tells.
        """
        job = self.jobs.get(run_id)
        known = job and (self.costs[self._row(job)] or self.costs[self._kind(job)])
        return START_SECONDS + fmean(known) * _share(job, state) if job and known else None

    def time_left(self, states: Mapping[str, State]) -> TimeLeft | None:
        """Return the time to the end of all jobs that are queued or running.

        Args:
            states: by the id of every run; one that is missing is queued.

        Returns:
            The time on as many workers as have been seen at once (1 before any); None where
            nothing is left or nothing is known.
        """
        self.learn(states)
        running = {i: state for i, state in states.items() if state.status == "running"}
        leases = {(s.lease.host, s.lease.pid) for s in running.values() if s.lease}
        self.workers = max(self.workers, len(leases))
        paces = self._paces(running)
        each, unknown = [], 0
        for job in self._jobs(self.jobs):
            found = [states.get(run_id, State()) for run_id in job.run_ids]
            if not any(state.status in ("queued", "running") for state in found):
                continue
            seconds = self.seconds(job.run_ids[0], found[0])
            if seconds is None and (pace := paces.get(self._kind(job))):
                seconds = START_SECONDS + pace * _share(job, found[0])
            if seconds is None:
                unknown += 1
            else:
                each.append(seconds)
        return TimeLeft(max(sum(each) / self.workers, max(each)), unknown) if each else None

    def _jobs(self, run_ids: Iterable[str]) -> Iterable[JobRecord]:
        jobs = (self.jobs[run_id] for run_id in run_ids if run_id in self.jobs)
        return {job.pass_id: job for job in jobs}.values()

    def _row(self, job: JobRecord) -> Hashable:
        return self.rows.get(job.pass_id)

    def _kind(self, job: JobRecord) -> Hashable:
        """What is shared with every row of the studies with the same fixed settings."""
        row = self.rows.get(job.pass_id)
        return row and row[:2]

    def _cost(self, job: JobRecord) -> float:
        """Seconds that a finished job took; all runs of a pass come out of one inference."""
        results = (run_dir(self.root, run_id).result() for run_id in job.run_ids)
        costs = [result.get("cost", {}) for result in results if result]
        training = max((cost.get("train_s", 0.0) for cost in costs), default=0.0)
        evaluation = max((cost.get("evaluate_s", 0.0) for cost in costs), default=0.0)
        return evaluation if job.source else training + evaluation

    def _paces(self, running: Mapping[str, State]) -> dict[Hashable, float]:
        """Seconds of a whole training of each kind that nothing is known of, by those that run."""
        found: dict[Hashable, list[float]] = defaultdict(list)
        for job in self._jobs(running):
            kind = self._kind(job)
            if job.source is None and not self.costs[kind]:
                seconds = self._pace(job.run_ids[0], running[job.run_ids[0]])
                found[kind] += [seconds] if seconds else []
        return {kind: fmean(seconds) for kind, seconds in found.items() if seconds}

    def _pace(self, run_id: str, state: State) -> float | None:
        """Seconds of all steps, judged by those since the first that this worker recorded."""
        started = state.lease.started if state.lease else 0.0
        records = run_dir(self.root, run_id).metrics()
        first = next((record for record in records if record.get("time", 0.0) >= started), None)
        if first is None or state.step <= first["step"]:
            return None
        pace = (state.updated - first["time"]) / (state.step - first["step"])
        return pace * state.steps


def span(seconds: float) -> str:
    """Return a time in words, such as "1 h 05 min"; seconds only where there are no minutes."""
    minutes = round(seconds / 60)
    if not minutes:
        return f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"


def clock(seconds: float) -> str:
    """Return the time of day that is ``seconds`` from now, such as "04:30"."""
    return time.strftime("%H:%M", time.localtime(time.time() + seconds))


RowKey = tuple[str, bool, frozenset[tuple[str, object]]]
"""What a job's cost depends on: the fixed settings, whether it evaluates, its loss and CRF."""


def _rows(studies: Iterable[Manifest], jobs: Mapping[str, JobRecord]) -> dict[str, RowKey]:
    """The row of every job; a training that only feeds evaluations has their loss."""
    found: dict[str, RowKey] = {}
    for manifest in studies:
        for row in manifest.rows.values():
            for job in (jobs[run_id] for run_id in row.run_ids):
                evaluates = job.source is not None
                found[job.pass_id] = (manifest.comparison_key, evaluates, _settings(row))
                if job.source:
                    key = (manifest.comparison_key, False, _settings(row, "loss."))
                    found.setdefault(job.source, key)
    return found


def _settings(row: Row, prefix: str = "") -> frozenset[tuple[str, object]]:
    """The settings that a job's cost may depend on; all step counts of a CRF are one job."""
    chosen = (item for item in row.settings.items() if item[0].startswith(prefix))
    return frozenset(item for item in chosen if item[0] != "crf.steps")


def _share(job: JobRecord, state: State) -> float:
    """The part of a job that is still to be done; an evaluation keeps no record of its steps."""
    return 1.0 if job.source or not state.steps else 1 - state.step / state.steps


def deadline(until: str | None, budget: str | None, now: datetime | None = None) -> float | None:
    """Return the end of a session in seconds since the epoch, None where neither is given.

    Args:
        until: a time of day such as "07:00"; tomorrow's if it has passed today.
        budget: a span of time such as "8h" or "1h30m"; the earlier of both counts.
        now: the time to count from.

    Raises:
        SpecError: One of them is no time.
    """
    now = now or datetime.now()
    ends = []
    if until is not None:
        ends.append(_next_at(until, now))
    if budget is not None:
        ends.append(now + _duration(budget))
    return min(ends).timestamp() if ends else None


def _next_at(text: str, now: datetime) -> datetime:
    try:
        at = datetime.strptime(text, "%H:%M").time()
    except ValueError:
        raise SpecError(f"--until {text}: not a time of day such as 07:00") from None
    end = datetime.combine(now.date(), at)
    return end if end > now else end + timedelta(days=1)


def _duration(text: str) -> timedelta:
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    if not match or not any(match.groups()):
        raise SpecError(f"--budget {text}: not a span of time such as 8h, 1h30m or 90s")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)

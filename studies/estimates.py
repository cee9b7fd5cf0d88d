"""Estimates of how long jobs take, and the deadline of a session.

The estimates come from finished jobs and from the progress of running ones. The scheduler uses them
to decide whether a job would end in time, and every view prints the same time left. All input is
read from the root, so two processes that read it at the same moment get the same number.
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

JOBS_PER_ROW = 3
"""Number of finished jobs of a row that are averaged; more would hardly change the mean."""
START_SECONDS = 5.0
"""From a worker's start to its first step; the cost in result.json does not include it."""


@dataclass(frozen=True)
class TimeLeft:
    """The time to the end of all open jobs, such as "1 h 05 min and 2 jobs of unknown length"."""

    seconds: float
    unknown: int = 0
    """Number of open jobs without an estimate."""

    def __str__(self) -> str:
        jobs = f"{self.unknown} job{'s' * (self.unknown > 1)}"
        return span(self.seconds) + (f" and {jobs} of unknown length" if self.unknown else "")


class Estimates:
    """Estimates the duration of the jobs of studies.

    An estimate is the mean of the finished jobs of the same row. Without any, it is the mean of the
    finished jobs with the same fixed settings, whatever their loss and CRF. Without those, a
    training is estimated from the pace of the running trainings.
    """

    def __init__(self, root: Path, studies: list[Manifest]) -> None:
        self.root = root
        self.costs: dict[Hashable, list[float]] = defaultdict(list)
        self.learned: set[str] = set()
        self.set_studies(studies)

    def set_studies(self, studies: list[Manifest]) -> None:
        """Replace the studies; the costs of finished jobs are kept."""
        self.studies = studies
        self.jobs = records_of(self.root, studies)
        self.rows = _rows(studies, self.jobs)
        self.workers = 1

    def learn(self, states: Mapping[str, State]) -> None:
        """Read the cost of each job that is finished according to ``states``, by run id."""
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
        """Return the seconds that a run's job takes from ``state`` to its end.

        None if no finished job is similar enough for an estimate.
        """
        job = self.jobs.get(run_id)
        known = job and (self.costs[self._row(job)] or self.costs[self._kind(job)])
        return START_SECONDS + fmean(known) * _share_left(job, state) if job and known else None

    def time_left(self, states: Mapping[str, State]) -> TimeLeft | None:
        """Return the time to the end of all jobs that are queued or running.

        Args:
            states: the state of each run by its id; a run without one counts as queued.

        Returns:
            The time with the largest number of workers seen at once so far, at least 1. None if no
            job is left, or if there is no estimate for any of them.
        """
        self.learn(states)
        running = {i: state for i, state in states.items() if state.status == "running"}
        leases = {(s.lease.host, s.lease.pid) for s in running.values() if s.lease}
        self.workers = max(self.workers, len(leases))
        paces = self._paces(running)
        estimated, unknown = [], 0
        for job in self._jobs(self.jobs):
            now = [states.get(run_id, State()) for run_id in job.run_ids]
            if not any(state.status in ("queued", "running") for state in now):
                continue
            seconds = self.seconds(job.run_ids[0], now[0])
            if seconds is None and (pace := paces.get(self._kind(job))):
                seconds = START_SECONDS + pace * _share_left(job, now[0])
            if seconds is None:
                unknown += 1
            else:
                estimated.append(seconds)
        if not estimated:
            return None
        return TimeLeft(max(sum(estimated) / self.workers, max(estimated)), unknown)

    def _jobs(self, run_ids: Iterable[str]) -> Iterable[JobRecord]:
        jobs = (self.jobs[run_id] for run_id in run_ids if run_id in self.jobs)
        return {job.pass_id: job for job in jobs}.values()

    def _row(self, job: JobRecord) -> Hashable:
        return self.rows.get(job.pass_id)

    def _kind(self, job: JobRecord) -> Hashable:
        """Return the part of the row's key that all rows with the same fixed settings share."""
        row = self.rows.get(job.pass_id)
        return row and row[:2]

    def _cost(self, job: JobRecord) -> float:
        """Return the seconds of a finished job; the runs of a pass share one inference."""
        results = (run_dir(self.root, run_id).result() for run_id in job.run_ids)
        costs = [result.get("cost", {}) for result in results if result]
        training = max((cost.get("train_s", 0.0) for cost in costs), default=0.0)
        evaluation = max((cost.get("evaluate_s", 0.0) for cost in costs), default=0.0)
        if job.source:
            return evaluation
        records = run_dir(self.root, job.run_ids[0]).metrics()
        on_the_way = sum(any(key.startswith("eval/") for key in record) for record in records)
        return training + (1 + on_the_way) * evaluation

    def _paces(self, running: Mapping[str, State]) -> dict[Hashable, float]:
        """Return the seconds of a training, by its kind, from the pace of the running trainings.

        A kind with a finished job is left out.
        """
        paces: dict[Hashable, list[float]] = defaultdict(list)
        for job in self._jobs(running):
            kind = self._kind(job)
            if job.source is None and not self.costs[kind]:
                seconds = self._pace(job.run_ids[0], running[job.run_ids[0]])
                paces[kind] += [seconds] if seconds else []
        return {kind: fmean(seconds) for kind, seconds in paces.items() if seconds}

    def _pace(self, run_id: str, state: State) -> float | None:
        """Return the seconds of all steps, at the pace since this worker's first recorded step."""
        started = state.lease.started if state.lease else 0.0
        records = run_dir(self.root, run_id).metrics()
        first = next((record for record in records if record.get("time", 0.0) >= started), None)
        if first is None or state.step <= first["step"]:
            return None
        pace = (state.updated - first["time"]) / (state.step - first["step"])
        return pace * state.steps


def span(seconds: float) -> str:
    """Return a duration in words: "1 h 05 min", "5 min", or "20 s" below half a minute."""
    minutes = round(seconds / 60)
    if not minutes:
        return f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"


def clock(seconds: float) -> str:
    """Return the time of day that is ``seconds`` from now, such as "04:30"."""
    return time.strftime("%H:%M", time.localtime(time.time() + seconds))


RowKey = tuple[str, bool, frozenset[tuple[str, object]]]
"""The settings that decide a job's cost: comparison key, whether it evaluates, loss and CRF."""


def _rows(studies: Iterable[Manifest], jobs: Mapping[str, JobRecord]) -> dict[str, RowKey]:
    """Return the row of every job; a training of evaluations only gets a row with their loss."""
    rows: dict[str, RowKey] = {}
    for manifest in studies:
        for row in manifest.rows.values():
            for job in (jobs[run_id] for run_id in row.run_ids):
                evaluates = job.source is not None
                rows[job.pass_id] = (manifest.comparison_key, evaluates, _settings(row))
                if job.source:
                    key = (manifest.comparison_key, False, _settings(row, ("loss.", "recipe.")))
                    rows.setdefault(job.source, key)
    return rows


def _settings(row: Row, prefix: str | tuple[str, ...] = "") -> frozenset[tuple[str, object]]:
    """Return the settings of a row with this prefix, except the CRF's steps: they share a job."""
    chosen = (item for item in row.settings.items() if item[0].startswith(prefix))
    return frozenset(item for item in chosen if item[0] != "crf.steps")


def _share_left(job: JobRecord, state: State) -> float:
    """Return the share of a job that is not done yet, from 0 to 1.

    It is 1 for an evaluation, which records no steps.
    """
    return 1.0 if job.source or not state.steps else 1 - state.step / state.steps


def deadline(until: str | None, budget: str | None, now: datetime | None = None) -> float | None:
    """Return the latest end of a session in seconds since the epoch, or None without a limit.

    Args:
        until: a time of day such as "07:00"; tomorrow's if it has passed today.
        budget: a duration such as "8h" or "1h30m". With ``until`` too, the earlier end counts.
        now: the start of ``budget``; by default the present.

    Raises:
        SpecError: ``until`` is not a time of day, or ``budget`` is not a duration.
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
        raise SpecError(f"--budget {text}: not a duration such as 8h, 1h30m or 90s")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)

"""The queue of a session: which job starts next, and which failed jobs are retried."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from bench.errors import STOPPED, UNWRITTEN
from bench.runs.rundir import Failure, State, run_dir
from studies.estimates import Estimates
from studies.jobs import Job
from studies.ledger import DONE, current_state, states, write_state

STALLED_SECONDS = 1800.0
"""A job without progress for so long is killed; one step or image takes far less."""
MARGIN = 1.05
"""Factor on an estimated duration, because the runs of one row differ by a few percent."""


class Attempts:
    """The attempts at each job of a session, and the failures that end the session.

    A failed job is retried, unless its input was refused. If a run fails before its first step, and
    no run has got further, every run may fail in the same way. ``fatal_reason`` is then set: after
    one refusal, or after the same crash in two jobs.
    """

    def __init__(self, retries: int = 2, wait: float = 10.0) -> None:
        """Start without attempts.

        Args:
            retries: number of retries of a job, at least 0.
            wait: seconds before the first retry; each later wait is four times as long.
        """
        self.retries = retries
        self.wait = wait
        self.not_before: dict[Job, float] = {}
        self.retried: Counter[Job] = Counter()
        self.start_times: dict[Job, float] = {}
        self.timed_out: set[Job] = set()
        self.has_progress = False
        self.failed_at_start: dict[str, Job] = {}
        self.fatal_reason: str | None = None

    def record_start(self, job: Job) -> None:
        """Record that a job starts now."""
        self.start_times[job] = time.time()
        self.timed_out.discard(job)

    def may_start(self, job: Job) -> bool:
        """Return whether the wait after the job's last failure is over."""
        return time.monotonic() >= self.not_before.get(job, 0.0)

    def note_progress(self, states: list[State]) -> None:
        """Record whether one of the runs has got past its start."""
        self.has_progress |= any(state.step > 0 or state.status == "finished" for state in states)

    def explain(self, job: Job, code: int) -> tuple[Failure, str]:
        """Return class and reason of the failure of a worker that recorded none itself.

        Args:
            job: its job.
            code: its exit code; negative for a signal.
        """
        if job in self.timed_out:
            return "timeout", f"no step and no image for {STALLED_SECONDS / 60:.0f} minutes"
        if code == UNWRITTEN:
            return "disk", "its result could not be written: is the disk full? see log.txt"
        if code == STOPPED:
            return "killed", "the fork server, which had started its worker, ended"
        if code == -9:
            return "killed", "its worker was killed (by the system, if memory ran out)"
        how = f"was ended by signal {-code}" if code < 0 else f"exited with code {code}"
        return "killed" if code < 0 else "crash", f"its worker {how}; see log.txt"

    def next_retry(self, job: Job, states: list[State]) -> int | None:
        """Return the number of the next retry of a job that has ended, from 1; None for no retry.

        Sets ``fatal_reason`` if every run would fail.
        """
        self.note_progress(states)
        failed = next((state for state in states if state.status == "failed"), None)
        if failed is None:
            return None
        if not self.has_progress and job.after is None and self._fails_every_run(job, failed):
            self.fatal_reason = failed.reason
            return None
        # On a full disk, the count in the state may not have been written.
        retry = max(failed.attempts, self.retried[job]) + 1
        if failed.failure == "refused" or retry > self.retries:
            return None
        self.retried[job] = retry
        self.not_before[job] = time.monotonic() + self.wait * 4 ** (retry - 1)
        return retry

    def _fails_every_run(self, job: Job, failed: State) -> bool:
        first = self.failed_at_start.setdefault(failed.reason or "", job)
        return failed.failure == "refused" or (first is not job and failed.failure == "crash")


def stalled(states: list[State], started: float, limit: float) -> bool:
    """Return whether the runs of a job made no progress for too long.

    Args:
        states: the states of the runs.
        started: start of the job, in seconds since the epoch.
        limit: seconds without progress, counted from the last update or the start.
    """
    last_update = max((state.updated for state in states), default=0.0)
    return time.time() - max(last_update, started) > limit


class JobQueue:
    """The jobs of a session that are pending, given up, or too long for the time left."""

    def __init__(
        self,
        root: Path,
        attempts: Attempts,
        *,
        end: float | None = None,
        estimates: Estimates | None = None,
    ) -> None:
        """Start with an empty queue.

        Args:
            root: the output folder.
            attempts: decides when a failed job may start again.
            end: latest end of the session, in seconds since the epoch; None for no limit.
            estimates: estimates whether a job ends before ``end``; without it, every job starts.
        """
        self.root = root
        self.attempts = attempts
        self.end = end
        self.estimates = estimates
        self.pending: list[Job] = []
        self.given_up: list[Job] = []
        self.too_long: set[Job] = set()
        self.known: set[str] = set()

    def add(self, jobs: Iterable[Job]) -> None:
        """Add the jobs that are new and have a run to do."""
        for job in jobs:
            if self.known.issuperset(job.run_ids):
                continue
            self.known.update(job.run_ids)
            if not self.is_done(job):
                self.pending.append(job)
        if self.end is not None and self.estimates is not None:
            self.estimates.learn(states(self.root, self.known))

    def prepare(self) -> None:
        """Create the run directories of pending jobs; queue their failed and interrupted runs."""
        for job in self.pending:
            for spec in job.specs:
                directory = run_dir(self.root, spec.run_id)
                directory.create(spec)
                if current_state(directory).status in ("failed", "interrupted"):
                    changes = {"failure": None, "reason": None, "attempts": 0, "lease": None}
                    write_state(directory, status="queued", **changes)

    def next_job(self, running: Iterable[Job]) -> Job | None:
        """Remove and return the first pending job that may start, or None.

        An evaluation waits for its training. A failed job waits before its retry. A job with a live
        worker of an earlier scheduler waits for that worker. A job that would not end in time is
        skipped.

        Args:
            running: the jobs that are running now.
        """
        # An evaluation must not start before its training has ended.
        unfinished = {run_id for job in [*self.pending, *running] for run_id in job.run_ids}
        for job in self.pending:
            if job.after in unfinished or job in self.too_long or self._must_wait(job):
                continue
            if self._ends_in_time(job):
                self.pending.remove(job)
                return job
            self.too_long.add(job)
        return None

    def is_out_of_time(self) -> bool:
        """Return whether every pending job would end too late; asked when no job is running."""
        return bool(self.too_long) and not any(
            self._must_wait(job) for job in self.pending if job not in self.too_long
        )

    def record_end(self, job: Job) -> None:
        """Update the estimates from a job that has ended, and estimate skipped jobs again."""
        if self.estimates is not None:
            self.estimates.learn(states(self.root, job.run_ids))
        self.too_long.clear()

    def take_requeued(self) -> None:
        """Move jobs back to the queue that were given up and whose runs a user has queued again."""
        for job in list(self.given_up):
            if any(s.status == "queued" for s in states(self.root, job.run_ids).values()):
                self.given_up.remove(job)
                self.attempts.retried.pop(job, None)
                self.pending.append(job)

    def is_done(self, job: Job) -> bool:
        """Return whether all runs of the job are finished or diverged."""
        return all(current_state(run_dir(self.root, i)).status in DONE for i in job.run_ids)

    def has_live_worker(self, job: Job) -> bool:
        """Return whether a live worker, perhaps of an earlier scheduler, executes the job."""
        return any(current_state(run_dir(self.root, i)).status == "running" for i in job.run_ids)

    def _must_wait(self, job: Job) -> bool:
        return not self.attempts.may_start(job) or self.has_live_worker(job)

    def _ends_in_time(self, job: Job) -> bool:
        if self.end is None:
            return True
        run_id = job.run_ids[0]
        state = run_dir(self.root, run_id).state()
        seconds = self.estimates.seconds(run_id, state) if self.estimates else None
        return time.time() + MARGIN * (seconds or 0.0) < self.end

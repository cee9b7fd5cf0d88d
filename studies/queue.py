"""What may start: the jobs of a session in order, what each waits for, and what is tried again."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from bench.errors import STOPPED, UNWRITTEN
from bench.runs.rundir import Failure, State, run_dir
from studies.estimates import Estimates
from studies.jobs import Job
from studies.ledger import DONE, current_state, states, write_state

STALLED_SECONDS = 1800.0
MARGIN = 1.05
"""Runs of one row differ a little: a job must fit into the time left with this factor."""


class Attempts:
    """The failures of one session.

    A failure that another try might not repeat is tried again, ``retries`` times, after waiting
    ``wait`` seconds, then four times as long, and so on. A refused run is not.

    What fails before its first step while no run has come further will fail in every run: then
    ``fatal_reason`` says so. A refusal is enough; of crashes, the same one in two runs.
    """

    def __init__(self, retries: int = 2, wait: float = 10.0) -> None:
        self.retries = retries
        self.wait = wait
        self.not_before: dict[Job, float] = {}
        self.start_times: dict[Job, float] = {}
        self.timed_out: set[Job] = set()
        self.has_progress = False
        self.failed_at_start: dict[str, Job] = {}
        self.fatal_reason: str | None = None

    def record_start(self, job: Job) -> None:
        """Take note of a start."""
        self.start_times[job] = time.time()
        self.timed_out.discard(job)

    def may_start(self, job: Job) -> bool:
        """Whether the wait after its last failure is over."""
        return time.monotonic() >= self.not_before.get(job, 0.0)

    def note_progress(self, job: Job, states: list[State]) -> None:
        """See whether a run has got anywhere."""
        self.has_progress |= any(state.step > 0 or state.status == "finished" for state in states)

    def explain(self, job: Job, code: int) -> tuple[Failure, str]:
        """The failure of a worker that ended with ``code`` and could not say why."""
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

    def next_attempt(self, job: Job, states: list[State]) -> int | None:
        """The number of the next try of a job that has ended, or None if there is none.

        Sets ``fatal_reason`` where the whole night makes no sense.
        """
        self.note_progress(job, states)
        failed = next((state for state in states if state.status == "failed"), None)
        if failed is None:
            return None
        if not self.has_progress and job.after is None and self._fails_every_run(job, failed):
            self.fatal_reason = failed.reason
            return None
        tries = failed.attempts + 1
        if failed.failure == "refused" or tries > self.retries:
            return None
        self.not_before[job] = time.monotonic() + self.wait * 4 ** (tries - 1)
        return tries

    def _fails_every_run(self, job: Job, failed: State) -> bool:
        first = self.failed_at_start.setdefault(failed.reason or "", job)
        return failed.failure == "refused" or (first is not job and failed.failure == "crash")


def stalled(states: list[State], started: float, limit: float) -> bool:
    """Return whether runs made no progress for ``limit`` seconds, counted from ``started`` on."""
    last_update = max((state.updated for state in states), default=0.0)
    return time.time() - max(last_update, started) > limit


class JobQueue:
    """Jobs that have not been started, those that were given up, and those that take too long."""

    def __init__(
        self,
        root: Path,
        attempts: Attempts,
        *,
        end: float | None = None,
        estimates: Estimates | None = None,
    ) -> None:
        """Hold no jobs yet.

        Args:
            root: where their run directories are.
            attempts: knows how long a failed job waits.
            end: when the session has to end, in seconds since the epoch.
            estimates: judge whether a job ends before that; without them every job starts.
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
        """Take those of ``jobs`` that have runs to do and are not known."""
        for job in jobs:
            if self.known.issuperset(job.run_ids):
                continue
            self.known.update(job.run_ids)
            if not self.is_done(job):
                self.pending.append(job)
        if self.end is not None and self.estimates is not None:
            self.estimates.learn(states(self.root, self.known))

    def prepare(self) -> None:
        """Make the run directories of pending jobs and queue what failed or was interrupted."""
        for job in self.pending:
            for spec in job.specs:
                directory = run_dir(self.root, spec.run_id)
                directory.create(spec)
                if current_state(directory).status in ("failed", "interrupted"):
                    changes = {"failure": None, "reason": None, "attempts": 0, "lease": None}
                    write_state(directory, status="queued", **changes)

    def next_job(self, running: Iterable[Job]) -> Job | None:
        """Take out the first job that may start beside ``running``, None where none may.

        A job waits for its training, for the pause after its last failure, and for a worker that
        an earlier scheduler started; it is passed over if it would not end in time.
        """
        # A training that is still to come holds back its evaluations.
        ahead = {run_id for job in [*self.pending, *running] for run_id in job.run_ids}
        for job in self.pending:
            if job.after in ahead or job in self.too_long or self._must_wait(job):
                continue
            if self._ends_in_time(job):
                self.pending.remove(job)
                return job
            self.too_long.add(job)
        return None

    def is_out_of_time(self) -> bool:
        """Whether all that is left, once nothing runs, would not end in time."""
        return bool(self.too_long) and not any(
            self._must_wait(job) for job in self.pending if job not in self.too_long
        )

    def record_end(self, job: Job) -> None:
        """Learn from a job that has ended; what seemed too long is judged again."""
        if self.estimates is not None:
            self.estimates.learn(states(self.root, job.run_ids))
        self.too_long.clear()

    def take_requeued(self) -> None:
        """Take jobs that were given up and whose runs a user has queued again."""
        for job in list(self.given_up):
            if any(s.status == "queued" for s in states(self.root, job.run_ids).values()):
                self.given_up.remove(job)
                self.pending.append(job)

    def is_done(self, job: Job) -> bool:
        """Whether all runs of the job are finished or diverged."""
        return all(current_state(run_dir(self.root, i)).status in DONE for i in job.run_ids)

    def has_live_worker(self, job: Job) -> bool:
        """Whether a living worker, perhaps of an earlier scheduler, has a run of the job."""
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

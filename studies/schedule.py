"""The schedule of a session: it starts jobs, follows them, retries failures, handles signals."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Literal, Protocol

from bench.runs.rundir import ORPHANED, State, run_dir
from studies.estimates import Estimates
from studies.jobs import Job
from studies.ledger import keep_reserve, states, write_state
from studies.plan import Plan, PlanSource
from studies.plan import jobs as plan_jobs
from studies.queue import STALLED_SECONDS, Attempts, JobQueue, stalled

POLL_SECONDS = 0.1
CHECK_SECONDS = 2.0

Ending = Literal["done", "interrupted", "deadline", "stopped"]


class Handle(Protocol):
    """A started job."""

    def poll(self) -> int | None:
        """Return the exit code, or None while the job is running."""
        ...

    def stop(self) -> None:
        """Ask the worker to write a checkpoint and stop."""
        ...

    def kill(self) -> None:
        """Kill the worker."""
        ...


class Executor(Protocol):
    """Starts the workers of jobs."""

    @property
    def has_room(self) -> bool:
        """Return whether another job can be started now."""
        ...

    def start(self, run_dirs: list[Path]) -> Handle:
        """Start a worker on these run directories; raises OSError if that fails."""
        ...


class Observer:
    """Is notified of a session's progress; this base class does nothing."""

    def on_run_change(self, run_id: str, state: State | None) -> None:
        """Handle a run that was started (``state`` is None) or has ended."""

    def on_plan_growth(self, plan: Plan) -> None:
        """Handle a plan that has new runs."""

    def on_poll(self) -> None:
        """Do periodic work; called every 0.1 s or so."""


class Interrupts:
    """Counts SIGINT and SIGTERM: the first asks for a stop, the second for an immediate end."""

    count = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count signals inside the block instead of raising KeyboardInterrupt."""

        def count(number: int, frame: FrameType | None) -> None:
            self.count += 1

        before = {n: signal.signal(n, count) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class Schedule:
    """Runs the jobs of a session in a root that the caller has locked."""

    def __init__(
        self,
        jobs: list[Job],
        root: Path,
        executor: Executor,
        observer: Observer | None = None,
        *,
        end: float | None = None,
        estimates: Estimates | None = None,
        attempts: Attempts | None = None,
        source: PlanSource | None = None,
    ) -> None:
        """Read the states of the jobs; ``run`` starts them.

        Args:
            jobs: the jobs in the order in which they should start.
            root: the output folder.
            executor: starts their workers.
            observer: is notified of every change.
            end: latest end of the session, in seconds since the epoch. Jobs that would end later do
                not start; jobs that are still running then are stopped with a checkpoint.
            estimates: estimates the duration of a job; needed with ``end``.
            attempts: decides which failed jobs are retried.
            source: may add jobs when none is left to start.
        """
        self.root = root
        self.executor = executor
        self.observer = observer or Observer()
        self.end = end
        self.attempts = attempts or Attempts()
        self.source = source
        self.queue = JobQueue(root, self.attempts, end=end, estimates=estimates)
        self.queue.add(jobs)
        self.running: dict[Job, Handle] = {}
        self.unwritten: dict[str, State] = {}
        self.last_check = 0.0
        self.ending: Ending | None = None
        self.interrupts = Interrupts()
        self.signals_sent = 0

    @property
    def pending(self) -> list[Job]:
        """Return the jobs that have not been started."""
        return self.queue.pending

    def states(self, run_ids: Iterable[str]) -> dict[str, State]:
        """Return the state of each run by its id, also where a full disk kept it unwritten."""
        return {i: self.unwritten.get(i, state) for i, state in states(self.root, run_ids).items()}

    def run(self) -> Ending:
        """Run all jobs; return how it ended. For "stopped", ``attempts.fatal_reason`` says why."""
        keep_reserve(self.root)
        with self.interrupts.counted():
            self.queue.prepare()
            while self.running or (self.ending is None and (self.pending or self._grow())):
                if self.ending is None:
                    self._grow()
                    self._start_jobs()
                self._collect_ended()
                self._check_progress()
                self._check_deadline()
                self._pass_on_signals()
                self.observer.on_poll()
                time.sleep(POLL_SECONDS)
        return self.ending or "done"

    def _grow(self) -> bool:
        """Add jobs of ``source`` once none is pending; return whether one is pending then."""
        if self.source is None or self.pending or not self.executor.has_room:
            return False
        if self.source.grow():
            self.observer.on_plan_growth(self.source.plan)
            self.queue.add(plan_jobs([self.source.plan]))
            self.queue.prepare()
        return bool(self.pending)

    def _start_jobs(self) -> None:
        while self.executor.has_room and (job := self.queue.next_job(self.running)):
            self._start(job)
        if not self.running and self.executor.has_room and self.queue.is_out_of_time():
            self.ending = "deadline"

    def _start(self, job: Job) -> None:
        source = self.states([job.after])[job.after] if job.after else None
        if source is not None and source.status != "finished":
            reason = f"its training {source.status}: {source.reason}"
            self._write(job.run_ids, status=source.status, failure=source.failure, reason=reason)
            self._report(job)
            self.queue.given_up.append(job)
            return
        queued = [i for i, state in self.states(job.run_ids).items() if state.status == "queued"]
        if not queued:  # a user has cancelled its runs
            self.queue.given_up.append(job)
            return
        try:
            self.running[job] = self.executor.start([run_dir(self.root, i).path for i in queued])
        except OSError as error:
            reason = f"its worker could not be started: {error}"
            self._write(job.run_ids, status="failed", failure="crash", reason=reason)
            self._report(job)
            self._retry_or_give_up(job)
            return
        self.attempts.record_start(job)
        for run_id in queued:
            self.unwritten.pop(run_id, None)
            self.observer.on_run_change(run_id, None)

    def _collect_ended(self) -> None:
        """Handle the jobs whose worker has ended."""
        for job, handle in list(self.running.items()):
            code = handle.poll()
            if code is None:
                continue
            del self.running[job]
            if self.queue.has_live_worker(job):
                self.pending.append(job)  # wait for the worker of an earlier scheduler
                continue
            self._record_end(job, code)
            self.queue.record_end(job)
            self._report(job)
            if self.ending is None:
                self._retry_or_give_up(job)

    def _record_end(self, job: Job, code: int) -> None:
        """Record how the runs of a job ended if its worker could not."""
        for run_id, state in states(self.root, job.run_ids).items():
            if state.status not in ("queued", "running") and state.reason != ORPHANED:
                continue
            if self.ending is not None:
                self._write([run_id], status="interrupted", reason="stopped")
            else:
                failure, reason = self.attempts.explain(job, code)
                self._write([run_id], status="failed", failure=failure, reason=reason)

    def _retry_or_give_up(self, job: Job) -> None:
        """Retry a failed job, give it up, or stop the session."""
        job_states = self.states(job.run_ids)
        retry = self.attempts.next_retry(job, list(job_states.values()))
        if retry is not None:
            for run_id, state in job_states.items():
                if state.status == "failed":
                    reason = f"attempt {retry + 1} after {state.failure}: {state.reason}"
                    self._write([run_id], status="queued", attempts=retry, reason=reason)
            self.pending.insert(0, job)
        elif self.attempts.fatal_reason:
            self._stop("stopped")
        elif not self.queue.is_done(job):
            self.queue.given_up.append(job)

    def _check_progress(self) -> None:
        """Every 2 s, kill jobs without progress and take jobs that a user has queued again."""
        if time.monotonic() - self.last_check < CHECK_SECONDS:
            return
        self.last_check = time.monotonic()
        for job, handle in self.running.items():
            job_states = list(states(self.root, job.run_ids).values())
            if stalled(job_states, self.attempts.start_times[job], STALLED_SECONDS):
                self.attempts.timed_out.add(job)
                handle.kill()
            self.attempts.note_progress(job_states)
        self.queue.take_requeued()

    def _check_deadline(self) -> None:
        if self.ending is None and self.end is not None and time.time() >= self.end:
            self._stop("deadline")

    def _stop(self, ending: Ending) -> None:
        self.ending = ending
        for handle in self.running.values():
            handle.stop()

    def _pass_on_signals(self) -> None:
        """Stop the workers at the first signal, kill them at the second."""
        if self.interrupts.count > self.signals_sent:
            self.signals_sent = self.interrupts.count
            self.ending = "interrupted"
            for handle in self.running.values():
                handle.stop() if self.signals_sent == 1 else handle.kill()

    def _write(self, run_ids: Iterable[str], **changes: object) -> None:
        for run_id in run_ids:
            directory = run_dir(self.root, run_id)
            state = write_state(directory, **{"failure": None, "lease": None, **changes})
            self.unwritten.pop(run_id, None)
            if directory.state().status != state.status:
                self.unwritten[run_id] = state

    def _report(self, job: Job) -> None:
        for run_id, state in self.states(job.run_ids).items():
            self.observer.on_run_change(run_id, state)

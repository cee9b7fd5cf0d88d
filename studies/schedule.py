"""The night shift: start jobs in order as slots come free, until all are done or it has to end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Literal, Protocol

from bench.runs.rundir import ORPHANED, RunDir, State, run_dir
from studies.attempts import STALLED_SECONDS, Attempts, stalled
from studies.deadline import Estimates
from studies.ledger import DONE, current_state, keep_reserve, write_state
from studies.plan import Job

POLL_SECONDS = 0.1
LOOK_SECONDS = 2.0

Ending = Literal["done", "interrupted", "deadline", "stopped"]


class Handle(Protocol):
    """A job that has been started."""

    def poll(self) -> int | None:
        """Exit code, or None while it runs."""
        ...

    def stop(self) -> None:
        """Ask for a checkpoint and the end."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...


class Executor(Protocol):
    """Where jobs run."""

    @property
    def has_room(self) -> bool:
        """Whether a job can be started."""
        ...

    def start(self, run_dirs: list[Path]) -> Handle:
        """Start a worker on these run directories; raises OSError where it cannot be."""
        ...


# Called with a run's id when it is started, with id and state when it has ended, and with None at
# every poll.
Observer = Callable[[str | None, State | None], None]
# Asked for further jobs while there is room and nothing left to start.
More = Callable[[], list[Job]]


class Interrupts:
    """Counts SIGINT and SIGTERM while jobs run: once asks for a stop, twice for the end."""

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
    """One night on one root, which the caller has locked."""

    def __init__(
        self,
        jobs: list[Job],
        root: Path,
        executor: Executor,
        observe: Observer,
        *,
        end: float | None = None,
        attempts: Attempts | None = None,
        more: More = list,
    ) -> None:
        """Plan the night.

        Args:
            jobs: in the order they should be started in.
            root: where their run directories are.
            executor: where they run.
            observe: hears of every change.
            end: when it has to end, in seconds since the epoch; nothing is started that would not
                be done by then, and what runs then is stopped.
            attempts: how failures are answered.
            more: gives jobs that follow from results.
        """
        self.root = root
        self.executor = executor
        self.observe = observe
        self.end = end
        self.attempts = attempts or Attempts()
        self.more = more
        done = {job for job in jobs if self._done(job)}
        # Every result is read for it, which a night without an end can do without.
        self.estimates = Estimates(root, done if end is not None else ())
        self.pending = [job for job in jobs if job not in done]
        self.running: dict[Job, Handle] = {}
        self.given_up: list[Job] = []
        self.too_long: set[Job] = set()
        self.looked = 0.0
        self.ending: Ending | None = None
        self.interrupts = Interrupts()
        self.signals_sent = 0

    def run(self) -> Ending:
        """Run all jobs; returns what ended it. ``attempts.verdict`` says why it was "stopped"."""
        keep_reserve(self.root)
        with self.interrupts.counted():
            for job in self.pending:
                self._queue(job)
            while self.running or (self.ending is None and (self.pending or self._take_more())):
                if self.ending is None:
                    self._take_more()
                    self._start_ready()
                self._reap()
                self._look()
                self._end_in_time()
                self._pass_on()
                self.observe(None, None)
                time.sleep(POLL_SECONDS)
        return self.ending or "done"

    def _done(self, job: Job) -> bool:
        return all(current_state(self._dir(run_id)).status in DONE for run_id in job.run_ids)

    def _dir(self, run_id: str) -> RunDir:
        return run_dir(self.root, run_id)

    def _queue(self, job: Job) -> None:
        for spec, run_id in zip(job.specs, job.run_ids, strict=True):
            directory = self._dir(run_id)
            directory.create(spec)
            if current_state(directory).status in ("failed", "interrupted"):
                self._write(run_id, status="queued", reason=None, attempts=0)

    def _take_more(self) -> bool:
        """Take further jobs, if all there were have been started; whether there are any."""
        if self.pending or not self.executor.has_room:
            return False
        for job in self.more():
            self._queue(job)
            self.pending.append(job)
        return bool(self.pending)

    def _start_ready(self) -> None:
        if not self.executor.has_room:
            return
        # Sources that are still to come hold back their evaluations.
        ahead = {run_id for job in [*self.pending, *self.running] for run_id in job.run_ids}
        waiting = False
        for job in list(self.pending):
            if not self.executor.has_room:
                return
            if job.after in ahead or job in self.too_long:
                continue
            if not self.attempts.may_start(job) or self._held(job):
                waiting = True
            elif self.estimates.fits(job, self.end):
                self.pending.remove(job)
                self._start(job)
            else:
                self.too_long.add(job)
        if self.too_long and not waiting and not self.running:
            self.ending = "deadline"

    def _start(self, job: Job) -> None:
        source = self._dir(job.after).state() if job.after else None
        if source is not None and source.status != "finished":
            reason = f"its training {source.status}: {source.reason}"
            self._mark(job, status=source.status, failure=source.failure, reason=reason)
            self.given_up.append(job)
            return
        wanted = [i for i in job.run_ids if self._dir(i).state().status == "queued"]
        if not wanted:  # cancelled meanwhile
            self.given_up.append(job)
            return
        try:
            self.running[job] = self.executor.start([self._dir(i).path for i in wanted])
            self.attempts.started(job)
            for run_id in wanted:
                self.observe(run_id, None)
        except OSError as error:
            reason = f"its worker could not be started: {error}"
            self._mark(job, status="failed", failure="crash", reason=reason)
            self._answer(job)

    def _held(self, job: Job) -> bool:
        """Whether a worker that an earlier scheduler started still runs this job."""
        return any(current_state(self._dir(i)).status == "running" for i in job.run_ids)

    def _reap(self) -> None:
        for job, handle in list(self.running.items()):
            code = handle.poll()
            if code is None:
                continue
            del self.running[job]
            if self._held(job):
                self.pending.append(job)  # another worker has it: wait for that one
                continue
            self._note_end(job, code)
            self.estimates.learn(job)
            self.too_long.clear()
            self._report(job)
            if self.ending is None:
                self._answer(job)

    def _answer(self, job: Job) -> None:
        """Try a failed job again, give it up, or stop the night."""
        tries = self.attempts.again(job, self._states(job))
        if tries is not None:
            for run_id, state in zip(job.run_ids, self._states(job), strict=True):
                if state.status == "failed":
                    reason = f"try {tries + 1} after {state.failure}: {state.reason}"
                    self._write(run_id, status="queued", attempts=tries, reason=reason)
            self.pending.insert(0, job)
        elif self.attempts.verdict:
            self._stop("stopped")
        elif not self._done(job):
            self.given_up.append(job)

    def _note_end(self, job: Job, code: int) -> None:
        """Write down how it ended where the worker could not."""
        for run_id, state in zip(job.run_ids, self._states(job), strict=True):
            if state.status in ("queued", "running") or state.reason == ORPHANED:
                if self.ending is not None:
                    self._write(run_id, status="interrupted", reason="stopped")
                else:
                    failure, reason = self.attempts.explain(job, code)
                    self._write(run_id, status="failed", failure=failure, reason=reason)

    def _look(self) -> None:
        """Every now and then: end what makes no progress, take up what was queued again."""
        if time.monotonic() - self.looked < LOOK_SECONDS:
            return
        self.looked = time.monotonic()
        for job, handle in self.running.items():
            states = self._states(job)
            if stalled(states, self.attempts.start_times[job], STALLED_SECONDS):
                self.attempts.timed_out.add(job)
                handle.kill()
            self.attempts.take_note(job, states)
        for job in list(self.given_up):
            if any(state.status == "queued" for state in self._states(job)):
                self.given_up.remove(job)
                self.pending.append(job)

    def _end_in_time(self) -> None:
        if self.ending is None and self.end is not None and time.time() >= self.end:
            self._stop("deadline")

    def _stop(self, ending: Ending) -> None:
        self.ending = ending
        for handle in self.running.values():
            handle.stop()

    def _pass_on(self) -> None:
        if self.interrupts.count > self.signals_sent:
            self.signals_sent = self.interrupts.count
            self.ending = "interrupted"
            for handle in self.running.values():
                handle.stop() if self.signals_sent == 1 else handle.kill()

    def _states(self, job: Job) -> list[State]:
        return [self._dir(run_id).state() for run_id in job.run_ids]

    def _mark(self, job: Job, **changes: object) -> None:
        for run_id in job.run_ids:
            self._write(run_id, **changes)
        self._report(job)

    def _write(self, run_id: str, **changes: object) -> None:
        write_state(self._dir(run_id), **{"failure": None, "lease": None, **changes})

    def _report(self, job: Job) -> None:
        for run_id in job.run_ids:
            self.observe(run_id, self._dir(run_id).state())

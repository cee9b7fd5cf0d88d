"""The night shift: start jobs in order as slots come free, until all are done or a signal comes."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Protocol

from bench.rundir import RunDir, State, run_dir
from studies.ledger import DONE, current_state
from studies.plan import Job

POLL_SECONDS = 0.2


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
    def slots(self) -> int:
        """Jobs at once."""
        ...

    def start(self, run_dirs: list[Path]) -> Handle:
        """Start a worker on these run directories."""
        ...


# Called with a run's id and state whenever its status changes, and with None at every poll.
Observer = Callable[[str | None, State | None], None]


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

    def __init__(self, jobs: list[Job], root: Path, executor: Executor, observe: Observer) -> None:
        self.root = root
        self.executor = executor
        self.observe = observe
        self.pending = [job for job in jobs if not self._done(job)]
        self.running: dict[Job, Handle] = {}
        self.signals_sent = 0

    def run(self) -> bool:
        """Run all jobs; returns whether it ended by itself rather than by a signal."""
        interrupts = Interrupts()
        with interrupts.counted():
            for job in self.pending:
                self._queue(job)
            while self.running or (self.pending and not interrupts.count):
                if not interrupts.count:
                    self._start_ready()
                self._reap()
                self._pass_on(interrupts.count)
                self.observe(None, None)
                time.sleep(POLL_SECONDS)
        return interrupts.count == 0

    def _done(self, job: Job) -> bool:
        return all(current_state(self._dir(run_id)).status in DONE for run_id in job.run_ids)

    def _dir(self, run_id: str) -> RunDir:
        return run_dir(self.root, run_id)

    def _queue(self, job: Job) -> None:
        for spec in job.specs:
            directory = self._dir(spec.run_id)
            directory.create(spec)
            if current_state(directory).status in ("failed", "interrupted"):
                directory.write_state(status="queued", reason=None, lease=None)

    def _start_ready(self) -> None:
        for job in list(self.pending):
            if len(self.running) >= self.executor.slots:
                return
            source = self._dir(job.after).state() if job.after else None
            if source is not None and source.status in ("failed", "diverged", "interrupted"):
                self.pending.remove(job)
                self._mark(job, source.status, f"its training {source.status}: {source.reason}")
            elif self._done(job):
                self.pending.remove(job)
            elif (source is None or source.status == "finished") and not self._held(job):
                self.pending.remove(job)
                self._start(job)

    def _start(self, job: Job) -> None:
        wanted = [i for i in job.run_ids if self._dir(i).state().status not in DONE]
        try:
            self.running[job] = self.executor.start([self._dir(i).path for i in wanted])
            self._report(job)
        except OSError as error:
            self._mark(job, "failed", f"its worker could not be started: {error}")

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
            # The worker writes how it ended; where it could not, its exit code has to tell.
            how = f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"
            status = "interrupted" if self.signals_sent else "failed"
            for run_id in job.run_ids:
                if self._dir(run_id).state().status in ("queued", "running"):
                    reason = f"its worker {how}; see log.txt"
                    self._dir(run_id).write_state(status=status, reason=reason, lease=None)
            self._report(job)

    def _pass_on(self, interrupts: int) -> None:
        if interrupts > self.signals_sent:
            self.signals_sent = interrupts
            for handle in self.running.values():
                handle.stop() if interrupts == 1 else handle.kill()

    def _mark(self, job: Job, status: str, reason: str) -> None:
        for run_id in job.run_ids:
            self._dir(run_id).write_state(status=status, reason=reason, lease=None)
        self._report(job)

    def _report(self, job: Job) -> None:
        for run_id in job.run_ids:
            self.observe(run_id, self._dir(run_id).state())

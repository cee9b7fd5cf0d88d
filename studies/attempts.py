"""Attempts: what failed how, whether it is tried again, and when a whole night makes no sense."""

from __future__ import annotations

import time

from bench.errors import STOPPED, UNWRITTEN
from bench.runs.rundir import Failure, State
from studies.jobs import Job

STALLED_SECONDS = 1800.0


class Attempts:
    """The failures of one night.

    A failure that another try might not repeat is tried again, ``retries`` times, after waiting
    ``wait`` seconds, then four times as long, and so on. A refused run is not.

    What fails before its first step while no run has come further will fail in every run: then
    ``verdict`` says so. A refusal is enough; of crashes, the same one in two runs.
    """

    def __init__(self, retries: int = 2, wait: float = 10.0) -> None:
        self.retries = retries
        self.wait = wait
        self.not_before: dict[Job, float] = {}
        self.start_times: dict[Job, float] = {}
        self.timed_out: set[Job] = set()
        self.begun = False
        self.at_start: dict[str, Job] = {}
        self.verdict: str | None = None

    def started(self, job: Job) -> None:
        """Take note of a start."""
        self.start_times[job] = time.time()
        self.timed_out.discard(job)

    def may_start(self, job: Job) -> bool:
        """Whether the wait after its last failure is over."""
        return time.monotonic() >= self.not_before.get(job, 0.0)

    def take_note(self, job: Job, states: list[State]) -> None:
        """See whether a run has got anywhere."""
        self.begun |= any(state.step > 0 or state.status == "finished" for state in states)

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

    def again(self, job: Job, states: list[State]) -> int | None:
        """The number of the next try of a job that has ended, or None if there is none.

        Sets ``verdict`` where the whole night makes no sense.
        """
        self.take_note(job, states)
        failed = next((state for state in states if state.status == "failed"), None)
        if failed is None:
            return None
        if not self.begun and job.after is None and self._is_everyones(job, failed):
            self.verdict = failed.reason
            return None
        tries = failed.attempts + 1
        if failed.failure == "refused" or tries > self.retries:
            return None
        self.not_before[job] = time.monotonic() + self.wait * 4 ** (tries - 1)
        return tries

    def _is_everyones(self, job: Job, failed: State) -> bool:
        first = self.at_start.setdefault(failed.reason or "", job)
        return failed.failure == "refused" or (first is not job and failed.failure == "crash")


def stalled(states: list[State], started: float, limit: float) -> bool:
    """Whether nothing was heard of runs for so long, counted from their start at the earliest."""
    heard = max((state.updated for state in states), default=0.0)
    return time.time() - max(heard, started) > limit

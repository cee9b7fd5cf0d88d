"""The live view of a root: a page that updates on a terminal, one line per event in a pipe.

`segloss run`, `segloss tune` and `segloss status --watch` show the same view.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Set
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.live import Live

from bench.cli.views.overview import Overview, counts, event, is_event, render
from bench.errors import RootError
from bench.manifest import Manifest
from studies.estimates import Estimates
from studies.plan import Plan
from studies.runs import Change, RootMonitor

REFRESH_SECONDS = 1.0


def watch(root: Path, choose: Callable[[list[Manifest]], list[Manifest]]) -> None:
    """Show the runs of an output folder until Ctrl-C; in a pipe, until none is running.

    On a terminal it waits for a session where none has begun.

    Args:
        root: the output folder.
        choose: returns the studies to show, of those in the root.
    """
    console = Console(highlight=False)
    with suppress(KeyboardInterrupt):
        monitor = _monitor(root, console)
        with LiveView(monitor, choose, console) as view:
            while console.is_terminal or not monitor.is_over:
                time.sleep(REFRESH_SECONDS)
                view.update()


def _monitor(root: Path, console: Console) -> RootMonitor:
    """Return the monitor of a root; on a terminal wait for its first session."""
    try:
        return RootMonitor(root)
    except RootError as error:
        if not console.is_terminal:
            raise
        console.print(f"{error}\nwaiting for a session; Ctrl-C ends the wait", markup=False)
    while True:
        time.sleep(REFRESH_SECONDS)
        with suppress(RootError):
            return RootMonitor(root)


class LiveView:
    """Shows the changing states of the runs of one session, or of all studies of a root."""

    def __init__(
        self,
        monitor: RootMonitor,
        choose: Callable[[list[Manifest]], list[Manifest]] = lambda manifests: manifests,
        console: Console | None = None,
    ) -> None:
        """Prepare the view.

        Args:
            monitor: reads the states.
            choose: returns the studies to show, of those in the root; by default all.
            console: where to print; the standard output by default.
        """
        self.monitor, self.choose = monitor, choose
        self.console = console or Console(highlight=False)
        self.estimates = Estimates(monitor.root, [])
        self.live = Live(console=self.console, auto_refresh=False)
        self.updated = time.monotonic()

    def __enter__(self) -> LiveView:
        if self.console.is_terminal:
            self.live.start()
            self._draw()
        else:
            overview = self.overview()
            self._print(counts(overview))
            running = (Change(self.monitor.runs[i], None, s) for i, s in overview.running.items())
            self._print(event(overview, change) for change in running)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.update(force=True)
        if self.live.is_started:
            self.live.stop()
        else:
            self._print(counts(self.overview()))

    def update(self, *, force: bool = False) -> None:
        """Show the changes; at most once a second unless ``force`` is set."""
        if not force and time.monotonic() - self.updated < REFRESH_SECONDS:
            return
        self.updated = time.monotonic()
        changes = self.monitor.refresh()
        if self.live.is_started:
            self._draw()
        else:
            overview = self.overview()
            self._print(event(overview, change) for change in changes if is_event(change))

    def overview(self) -> Overview:
        """Return what is to be shown now."""
        monitor = self.monitor
        shown = self.choose(monitor.manifests)
        if shown != self.estimates.studies:
            self.estimates.set_studies(shown)
        return Overview(
            root=monitor.root,
            manifests=shown,
            names={run_id: str(run) for run_id, run in monitor.runs.items()},
            states=monitor.states,
            holder=monitor.holder,
            left=self.estimates.time_left(monitor.states),
        )

    def _draw(self) -> None:
        height, plain = self.console.height, self.console.options.ascii_only
        self.live.update(render(self.overview(), height=height, plain=plain), refresh=True)

    def _print(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.console.print(line, markup=False, soft_wrap=True)


def planned(manifests: Iterable[Manifest], plans: Iterable[Plan]) -> list[Manifest]:
    """Return the studies of a session with the rows that it runs; --without-crf leaves some out."""
    runs = {plan.manifest.name: plan.specs.keys() for plan in plans}
    return [
        _rows_of(manifest, runs[manifest.name]) for manifest in manifests if manifest.name in runs
    ]


def _rows_of(manifest: Manifest, run_ids: Set[str]) -> Manifest:
    if all(run_ids >= {*row.run_ids} for row in manifest.rows.values()):
        return manifest
    tables = [
        table.model_copy(
            update={"rows": tuple(row for row in table.rows if run_ids >= {*row.run_ids})}
        )
        for table in manifest.tables
    ]
    jobs = tuple(job for job in manifest.jobs if run_ids >= {*job.run_ids})
    return manifest.model_copy(update={"tables": tuple(tables), "jobs": jobs})

"""The output of `segloss status`: runs by status, the result, and what is unfinished."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.cli.views.text import say
from bench.manifest import Manifest, manifests
from bench.runs.rundir import State, run_dir
from studies.behaviour import edited_lines
from studies.ledger import DONE, current_state, summary, unfinished

MARKDOWN = re.compile(r"\*\*|`|\\(?=[^\w\s])")
"""Marks of Markdown, and the backslashes that escape other signs."""


def print_status(
    root: Path, choose: Callable[[list[Manifest]], list[Manifest]], *, verbose: bool
) -> None:
    """Print counts by status for every study of the output folder, then its unfinished runs.

    Args:
        root: the output folder.
        choose: returns the studies to show, of those in the root.
        verbose: whether to compare the files that the finished runs were made with.
    """
    for manifest in choose(manifests(root)):
        names = {
            run_id: f"{row.label}, seed {seed}"
            for row in manifest.rows.values()
            for seed, run_id in zip(manifest.seeds, row.run_ids, strict=True)
        }
        states = {run_id: current_state(run_dir(root, run_id)) for run_id in names}
        say(f"{manifest.study} on {manifest.profile}: {summary(states.values())}")
        for line in [*unfinished(names, states), *_result(root, manifest, states)]:
            say(line)
        for line in edited_lines(root, states) if verbose else ():
            say(line)


def _result(root: Path, manifest: Manifest, states: Mapping[str, State]) -> list[str]:
    """Return the verdict and the place of the last report; nothing without a report.

    Where runs have ended since, the way to a new report stands for the verdict.
    """
    index = root / "reports" / manifest.name / "index.html"
    if not index.exists():
        return []
    made = index.stat().st_mtime
    newer = sum(state.updated > made for state in states.values() if state.status in DONE)
    if not newer:
        return [*_verdict(index.with_name("summary.md")), f"  report: {index}"]
    runs = f"{newer} run{'s' * (newer > 1)}"
    again = f"segloss report {manifest.study} --profile {manifest.profile} --root {root}"
    return [f"  report: {index}", f"  {runs} ended after it was made: {again}"]


def _verdict(file: Path) -> list[str]:
    """Return the first paragraph of a report's summary as plain text; nothing without the file."""
    if not file.exists():
        return []
    paragraph = file.read_text().partition("\n\n")[0]
    return [f"  {MARKDOWN.sub('', ' '.join(paragraph.split()))}"]

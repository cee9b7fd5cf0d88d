"""A table that no study asks for, before it has notes."""

from __future__ import annotations

from collections.abc import Sequence

from reports.model import Column, Table, TableRow
from reports.statistics.scores import Scores
from reports.wording import seeds


def bare_table(
    scores: Scores,
    key: str,
    title: str,
    columns: tuple[Column, ...],
    rows: Sequence[TableRow],
) -> Table:
    """Return a table of a study that no study file asks for, without notes."""
    manifest = scores.manifest
    return Table(
        key=key,
        title=title,
        scale=f"{manifest.scale.rstrip('.')}; {seeds(len(manifest.seeds))}.",
        columns=columns,
        rows=tuple(rows),
        seeds=len(manifest.seeds),
    )

"""Folded tables behind the verdict: every two rows compared, and the parts of each interval."""

from __future__ import annotations

from dataclasses import replace

from reports.model import Cell, Column, Table, TableRow
from reports.sentences import notes as words
from reports.statistics.ranking import Ranking, ranking_of
from reports.statistics.scores import Scores
from reports.statistics.stats import Estimate, Paired
from reports.tables.bare import bare_table

MOST = 12
"""Largest number of rows of the matrix; with more it cannot be read."""


def pair_tables(scores: Scores) -> list[Table]:
    """Return the table of all pairs, from three rows on, and that of the parts of intervals."""
    ranking = ranking_of(scores)
    return [table for table in (_matrix(ranking), _parts(ranking)) if table]


def _matrix(ranking: Ranking) -> Table | None:
    labels = list(ranking.pairs.means)[:MOST]
    if len(labels) < 3:
        return None
    columns = tuple(Column(f"gain:over {label}", f"over {label}", "gain") for label in labels)
    rows = [
        TableRow(
            label,
            label,
            tuple(_cell(ranking, label, other) for other in labels),
            len(ranking.scores.runs(label)),
        )
        for label in labels
    ]
    title = f"Every row against every other in {ranking.score}"
    notes = [words.PAIRS.format(population=ranking.scores.population)]
    if ranking.pairs.told:
        notes.append(words.PAIRS_ALONE)
    if len(labels) < len(ranking.pairs.means):
        notes.append(words.PAIRS_TOP.format(count=MOST, rows=len(ranking.pairs.means)))
    table = bare_table(ranking.scores, "pairs", title, columns, rows)
    return replace(table, notes=tuple(notes), folded=True)


def _cell(ranking: Ranking, label: str, other: str) -> Cell:
    if label == other:
        return Cell(text="")
    found = ranking.pairs.difference(label, other)
    if found is None:
        return Cell(missing=True, reason="the two share no seed")
    links = (*ranking.scores.links(label), *ranking.scores.links(other))
    return Cell.of_gain(found.gain, links=links)


def _parts(ranking: Ranking) -> Table | None:
    """Return the interval of each gain beside those that cover seeds alone and images alone."""
    found: dict[str, Paired] = {}
    if ranking.base in ranking.order:
        others = (label for label in ranking.order if label != ranking.base)
        paired = {label: ranking.pairs.difference(label, ranking.base) for label in others}
        found = {label: p for label, p in paired.items() if p and p.of_images is not None}
    if not found:
        return None
    columns = tuple(
        Column(f"gain:{key}", header, "gain")
        for key, header in (
            ("joint", "new seeds and images"),
            ("seeds", "new seeds, same images"),
            ("images", "new images, same seeds"),
        )
    )
    rows = []
    for label, paired in found.items():
        alone = [_around(paired.gain, width) for width in (paired.of_seeds, paired.of_images)]
        cells = tuple(Cell.of_gain(value) for value in (paired.gain, *alone))
        rows.append(TableRow(label, label, cells, paired.gain.n))
    title = f"What the intervals over {ranking.base} are made of"
    table = bare_table(ranking.scores, "parts", title, columns, rows)
    return replace(table, notes=(words.PARTS,), folded=True)


def _around(gain: Estimate, width: float | None) -> Estimate:
    if width is None:
        return Estimate(gain.mean, None, None, gain.n)
    return Estimate(gain.mean, gain.mean - width, gain.mean + width, gain.n)

"""Sentences about a table: the title over it, the notes under it, and its result."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.iou import BORDER_METRICS
from bench.manifest import Manifest
from bench.published.tables import PublishedTable
from reports.checks import Check
from reports.model import Table, TableRow
from reports.published import other_than, row_notes, source, table_of
from reports.sentences import conditions
from reports.sentences import notes as words
from reports.statistics.learned import never_found
from reports.statistics.pairs import pairs, score_columns
from reports.statistics.scores import Scores
from reports.statistics.shown import UNSTEADY, is_unsteady
from reports.statistics.stats import LEVEL, Estimate
from reports.tables.recipes import recipes
from reports.wording import joined, listed, seeds


@dataclass(frozen=True)
class Subject:
    """A table and what its notes need to know about it."""

    table: Table
    scores: Scores
    base: str
    """Label of the row that gains are measured against."""
    paper: PublishedTable | None
    odd: tuple[Check, ...]
    """The digest checks in which a run of this table differs."""

    def has(self, kind: str) -> bool:
        """Return whether the table has a column of a kind."""
        return any(column.kind == kind for column in self.table.columns)

    def values(self, kind: str) -> list[Estimate]:
        """Return the numbers in the columns of a kind."""
        columns = [i for i, column in enumerate(self.table.columns) if column.kind == kind]
        found = (row.cells[i].value for row in self.table.rows for i in columns)
        return [value for value in found if value]


def notes(subject: Subject) -> tuple[str, ...]:
    """Return everything that must be read with the table, one or two sentences each."""
    return tuple(sentence for note in NOTES for sentence in note(subject))


def _interval(subject: Subject) -> list[str]:
    if subject.table.seeds < 2:
        return [words.ONE_SEED]
    return shown_intervals(subject.table)


def shown_intervals(table: Table) -> list[str]:
    """Return what the spreads of a table's scores are: intervals, some of them cut, or ranges."""
    places = [i for i, c in enumerate(table.columns) if c.kind in ("score", "class")]
    found = [row.cells[i].value for row in table.rows for i in places]
    values = [value for value in found if value and value.low is not None]
    whole = [value for value in values if value.spread == "interval"]
    said = [words.INTERVAL] if whole else []
    if any(value.low == 0 or value.high == 100 for value in whole):
        said.append(words.CUT)
    return [*said, words.RANGE] if len(whole) < len(values) else said


def _never_found(subject: Subject) -> list[str]:
    """Name the classes that a row never finds, and the row; not where it learned nothing."""
    if not subject.has("class"):
        return []
    rows = {
        row.label: never_found(subject.scores, row.label)
        for row in subject.table.rows
        if not row.reference
    }
    each = [f"{label}: {listed(names)}" for label, names in rows.items() if names]
    return [words.NEVER_FOUND.format(rows="; ".join(each))] if each else []


def _best(subject: Subject) -> list[str]:
    if not any(cell.best for row in subject.table.rows for cell in row.cells):
        return []
    return [words.BEST]


def _ties(subject: Subject) -> list[str]:
    """Say from which rows the data do not separate the highest, and which of them do differ."""
    found = []
    for i, column in score_columns(subject.table.columns):
        tied = {row.label for row in subject.table.rows if row.cells[i].tied}
        if not tied:
            continue
        gaps = pairs(subject.scores, [row.label for row in subject.table.rows], column.key)
        top, *others = (label for label in gaps.means if label in tied)
        apart = [words.LIES_ABOVE.format(row=a, other=b) for a, b in gaps.separated(tied)]
        text = words.TIE_BUT if apart else words.TIE
        fields = {"column": column.header, "row": top, "rows": joined(others, "or")}
        found.append(text.format(**fields, pairs=listed(apart)))
    return found


def _gains(subject: Subject) -> list[str]:
    if not subject.has("gain"):
        return []
    imported = subject.scores.imported
    pairing = words.GAIN if imported else words.GAIN_OF_SEEDS
    trust = [conditions.TRUST] if imported else []
    gain = pairing.format(base=subject.base, population=subject.scores.population)
    return [gain, *trust, *exact_test(subject.table)]


def _recipes(subject: Subject) -> list[str]:
    return recipes(subject.scores.manifest, {row.label for row in subject.table.rows})


def _numbers_missing(subject: Subject) -> list[str]:
    """Name the columns for which no finished run has a number, and the rows with too few."""
    table = subject.table
    ours = [row for row in table.rows if not row.reference and row.seeds]
    measured = [(i, c) for i, c in enumerate(table.columns) if c.kind in ("score", "cost", "class")]
    empty = [c.key for i, c in measured if all(row.cells[i].missing for row in ours)]
    found = [words.NO_RUN_HAS.format(columns=joined(empty))] if ours and empty else []
    fewer = [
        f"{row.label} ({column.key} in {_seeds_with(row, i)} of {row.seeds} runs)"
        for row in {row.label: row for row in ours}.values()
        for i, column in measured
        if column.key not in empty and _seeds_with(row, i) < row.seeds
    ]
    return [*found, words.SOME_RUNS_LACK.format(rows=listed(fewer))] if fewer else found


def _seeds_with(row: TableRow, index: int) -> int:
    value = row.cells[index].value
    return value.n if value else 0


def _counts_missing(subject: Subject) -> Sequence[str]:
    return subject.scores.images.notes


def _times(subject: Subject) -> list[str]:
    if not subject.has("cost"):
        return []
    spread = any(value.spread == "range" for value in subject.values("cost"))
    unsteady = [
        f"{row.label} ({column.key})"
        for i, column in enumerate(subject.table.columns)
        for row in {row.label: row for row in subject.table.rows}.values()
        if column.kind == "cost" and is_unsteady(row.cells[i].value)
    ]
    found = [words.COSTS, words.TIMES] if spread else [words.TIMES]
    said = words.UNSTEADY.format(ratio=UNSTEADY, rows=listed(unsteady))
    return [*found, said] if unsteady else found


def _borders(subject: Subject) -> list[str]:
    shown = any(column.key in BORDER_METRICS for column in subject.table.columns)
    return [words.BORDERS] if shown else []


def _conditions(subject: Subject) -> list[str]:
    if not any(cell.doubtful for row in subject.table.rows for cell in row.cells):
        return []
    differences = "; ".join(difference_named(check) for check in subject.odd)
    return [conditions.OTHER_CONDITIONS.format(differences=differences)]


def _runs_missing(subject: Subject) -> list[str]:
    table, trials = subject.table, bool(subject.scores.manifest.search)
    if not any(row.reasons for row in table.rows):
        return []
    whole = sum(not row.reasons for row in table.rows)
    return [
        words.TRIALS_COMPLETE.format(complete=whole, trials=len(table.rows))
        if trials
        else words.ROWS_COMPLETE.format(complete=table.complete, seeds=seeds(table.seeds)),
        words.RUNS_MISSING.format(runs=missing_runs(table, trials=trials)),
    ]


def _paper(subject: Subject) -> list[str]:
    paper, manifest = subject.paper, subject.scores.manifest
    if paper is None:
        return []
    quoted = [row.name for row in subject.table.rows if row.reference]
    found = [source(paper), *row_notes(paper, quoted)]
    if other_than(paper, manifest.settings) is None:
        return found
    ours = manifest.scale.rstrip(".")
    scales = words.OTHER_EXPERIMENT.format(ours=ours, model=paper.model, data=paper.data)
    return [scales, *found]


NOTES: tuple[Callable[[Subject], Sequence[str]], ...] = (
    _interval,
    _never_found,
    _best,
    _ties,
    _gains,
    _recipes,
    _numbers_missing,
    _counts_missing,
    _times,
    _borders,
    _conditions,
    _runs_missing,
    _paper,
)
"""The notes in the order in which they are printed; one that does not apply is empty."""


def titled(title: str, manifest: Manifest) -> str:
    """Return the title with the way in which the study differs from the paper that it repeats."""
    head = str(manifest.settings.get("model.head"))
    papers = (table_of(table, head) for table in manifest.tables)
    found = (other_than(paper, manifest.settings) for paper in papers if paper)
    return ", ".join(filter(None, [title.rstrip("."), next(found, None)]))


def exact_test(table: Table) -> list[str]:
    """Return what the exact test can show about a table's gains; nothing without a test."""
    comparisons = {
        (row.label, i): cell.comparison
        for row in table.rows
        for i, cell in enumerate(row.cells)
        if cell.comparison
    }
    known = [c for c in comparisons.values() if c.floor is not None]
    if not known:
        return []
    n, floor = max((c.gain.n, c.floor or 1.0) for c in known)
    family = sum(c.p is not None for c in comparisons.values())
    text = words.EXACT_HOLM if family > 1 else words.EXACT
    if floor > LEVEL:
        text = words.EXACT_TOO_FEW_HOLM if family > 1 else words.EXACT_TOO_FEW
    elif floor * family > LEVEL:
        text = words.EXACT_HOLM_TOO_FEW
    needed = math.ceil(math.log2(2 * family / LEVEL))
    return [text.format(n=n, floor=f"{floor:.2g}", family=family, needed=needed)]


def difference_named(check: Check) -> str:
    """Return which runs differ and how, such as "code abc against def (RMI, seed 1)"."""
    places: dict[str, list[str]] = {}
    details = check.details or [""] * len(check.odd)
    for (label, seed), value, detail in zip(check.odd, check.values, details, strict=True):
        what = detail or f"{value} against {check.value}"
        places.setdefault(what, []).append(f"{label}, seed {seed}")
    return "; ".join(f"{check.name} {what} ({listed(at)})" for what, at in places.items())


def missing_runs(table: Table, *, trials: bool = False) -> str:
    """Return the missing runs by reason: "queued: RMI (seeds 1, 2), CE (seed 2)".

    Args:
        table: The table; its rows hold the reasons.
        trials: Name the rows as trials of a tuning.
    """
    groups: dict[str, dict[str, list[str]]] = {}
    for row in {row.label: row for row in table.rows}.values():
        name = row.name if trials else row.label
        for text in row.reasons:
            seed, _, why = text.removeprefix("seed ").partition(": ")
            groups.setdefault(why, {}).setdefault(name, []).append(seed)
    return "; ".join(
        f"{why}: {listed([_row_and_seeds(*pair) for pair in rows.items()])}"
        for why, rows in groups.items()
    )


def _row_and_seeds(label: str, numbers: list[str]) -> str:
    return f"{label} ({'seeds' if len(numbers) > 1 else 'seed'} {', '.join(numbers)})"

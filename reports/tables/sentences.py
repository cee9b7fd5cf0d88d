"""Sentences about a table: the title over it, the notes under it, and its result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.iou import BORDER_METRICS
from bench.manifest import Manifest
from reports.checks import Check
from reports.model import Table, TableRow
from reports.published import PublishedTable, find_published
from reports.statistics.scores import Scores
from reports.statistics.stats import LEVEL
from reports.tables.recipes import recipes
from reports.wording import DAGGER, DASH, PLUS_MINUS, TRUST, estimate_text, joined, listed, seeds


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


def notes(subject: Subject) -> tuple[str, ...]:
    """Return everything that must be read with the table, one or two sentences each."""
    return tuple(sentence for note in NOTES for sentence in note(subject))


def _interval(subject: Subject) -> list[str]:
    if subject.table.seeds < 2:
        return ["n = 1, so there is no interval: one seed cannot show a difference."]
    return [
        f"Mean over n seeds {PLUS_MINUS} half the width of Student's 95 % interval, which covers "
        "other seeds on these images."
    ]


def _best(subject: Subject) -> list[str]:
    if not any(cell.best for row in subject.table.rows for cell in row.cells):
        return []
    return ["Bold: the highest mean, if its paired interval lies above every other row."]


def _ties(subject: Subject) -> list[str]:
    found = []
    for i, column in enumerate(subject.table.columns):
        tied = dict.fromkeys(row.label for row in subject.table.rows if row.cells[i].tied)
        if tied:
            found.append(f"Tie in {column.header}: no difference is shown between {joined(tied)}.")
    return found


def _gains(subject: Subject) -> list[str]:
    if not subject.has("gain"):
        return []
    fixed = " (a seed fixes initial weights, sample order and augmentation)"
    pairing = (
        f"Gain over {subject.base}: percentage points, paired by seed"
        f"{'' if subject.scores.imported else fixed}. {subject.scores.population}"
    )
    trust = [TRUST] if subject.scores.imported else []
    return [pairing, *trust, *exact_test(subject.table)]


def _recipes(subject: Subject) -> list[str]:
    return recipes(subject.scores.manifest, {row.label for row in subject.table.rows})


def _numbers_missing(subject: Subject) -> list[str]:
    """Name the columns for which no finished run has a number, and the rows with too few."""
    table = subject.table
    ours = [row for row in table.rows if not row.reference and row.seeds]
    measured = [(i, c) for i, c in enumerate(table.columns) if c.kind in ("score", "cost", "class")]
    empty = [c.key for i, c in measured if all(row.cells[i].missing for row in ours)]
    found = [f"No run has {joined(empty)}."] if ours and empty else []
    fewer = [
        f"{row.label} ({column.key} in {_seeds_with(row, i)} of {row.seeds} runs)"
        for row in {row.label: row for row in ours}.values()
        for i, column in measured
        if column.key not in empty and _seeds_with(row, i) < row.seeds
    ]
    return [*found, f"Some finished runs lack a number: {listed(fewer)}."] if fewer else found


def _seeds_with(row: TableRow, index: int) -> int:
    value = row.cells[index].value
    return value.n if value else 0


def _counts_missing(subject: Subject) -> Sequence[str]:
    return subject.scores.images.notes


def _times(subject: Subject) -> list[str]:
    if not subject.has("cost"):
        return []
    return [
        "Time per image: the median over the first images after a warm-up, while no other run of "
        "this root was working. Training time and memory were measured beside other runs."
    ]


def _borders(subject: Subject) -> list[str]:
    if not any(column.key in BORDER_METRICS for column in subject.table.columns):
        return []
    return [
        "boundary_mIoU: Boundary IoU, in a band inside each mask that is 2 % of the image's "
        "diagonal wide. trimap_mIoU_w: at pixels within w pixels of another label."
    ]


def _conditions(subject: Subject) -> list[str]:
    if not any(cell.doubtful for row in subject.table.rows for cell in row.cells):
        return []
    differences = "; ".join(difference_named(check) for check in subject.odd)
    return [
        f"{DAGGER} A run of this row was made under other conditions than its neighbours: "
        f"{differences}; see Conditions."
    ]


def _runs_missing(subject: Subject) -> list[str]:
    table, trials = subject.table, bool(subject.scores.manifest.search)
    if not any(row.reasons for row in table.rows):
        return []
    whole = sum(not row.reasons for row in table.rows)
    return [
        f"{whole} of {len(table.rows)} trials are complete."
        if trials
        else f"Every row is complete for {table.complete} of {seeds(table.seeds)}.",
        f"Missing runs ({DASH}): {missing_runs(table, trials=trials)}.",
    ]


def _paper(subject: Subject) -> list[str]:
    paper, manifest = subject.paper, subject.scores.manifest
    if paper is None:
        return []
    if paper.other_than(manifest.settings) is None:
        return [paper_source(paper)]
    scales = (
        f"Ours: {manifest.scale.rstrip('.')}. The paper's numbers: {paper.model} on "
        f"{paper.data}. These are different experiments: compare directions, not values."
    )
    return [scales, paper_source(paper)]


NOTES: tuple[Callable[[Subject], Sequence[str]], ...] = (
    _interval,
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
    papers = [find_published(table.paper, head) for table in manifest.tables if table.paper]
    found = (paper.other_than(manifest.settings) for paper in papers if paper)
    return ", ".join(filter(None, [title.rstrip("."), next(found, None)]))


def paper_source(paper: PublishedTable) -> str:
    """Return where the published numbers stand and what a reader must know about them."""
    return f"Paper: {paper.source}. {paper.note}".strip()


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
    text = f"Exact sign-flip test over {n} seeds: its p cannot fall below {floor:.2g}"
    if floor > LEVEL:
        return [f"{text}, so it cannot find any of these gains significant; that takes six seeds."]
    family = sum(c.p is not None for c in comparisons.values())
    if family > 1:
        text += f". p is adjusted by Holm for {family} comparisons"
        if floor <= LEVEL < floor * family:
            text += "; these seeds are too few for any of them to be significant"
    return [f"{text}."]


def difference_named(check: Check) -> str:
    """Return which runs differ and how, such as "code abc against def (RMI, seed 1)"."""
    places: dict[str, list[str]] = {}
    for (label, seed), what in zip(check.odd, check.details or check.values, strict=True):
        places.setdefault(what, []).append(f"{label}, seed {seed}")
    usual = "" if check.details else f" against {check.value}"
    return "; ".join(f"{check.name} {what}{usual} ({listed(at)})" for what, at in places.items())


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


def summary(table: Table) -> str:
    """Return one sentence: the leading row, its gain, and whether the lead is shown."""
    index = next((i for i, c in enumerate(table.columns) if c.kind == "score"), None)
    ours = [row for row in table.rows if not row.reference]
    found = [(row, row.cells[index].value) for row in ours] if index is not None else []
    scored = [(row, value) for row, value in found if value]
    if index is None or not scored:
        return "No run has finished yet."
    row, value = max(scored, key=lambda pair: pair[1].mean)
    leaders = ", ".join(r.label for r, v in scored if v.mean == value.mean)
    verb = "has" if leaders == row.label else "share"
    score = table.columns[index].header
    text = f"{leaders} {verb} the highest {score}: {estimate_text(value)} (n = {value.n})"
    text += _gain_clause(table, row)
    others = dict.fromkeys(
        r.label for r, _ in scored if r.cells[index].tied and r.label != row.label
    )
    if others and value.n < 2:
        text += "; one seed cannot tell that from chance"
    elif others:
        text += f"; no difference from {joined(others)} is shown"
    gone = sum({row.label: table.seeds - row.seeds for row in ours}.values())
    return f"{text}. {gone} run{'s are' if gone > 1 else ' is'} missing." if gone else f"{text}."


def _gain_clause(table: Table, row: TableRow) -> str:
    for cell, column in zip(row.cells, table.columns, strict=True):
        if column.kind == "gain":
            gain = estimate_text(cell.value, signed=True) if cell.value else ""
            return f", a {column.header} of {gain} points" if gain else ""
    return ""

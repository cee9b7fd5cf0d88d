"""The tables of a study on several profiles, with the notes under them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.iou import HEADLINE
from reports.model import Cell, Column, Table, TableRow
from reports.profiles.answer import Answer, Side, gain, mean_gain
from reports.profiles.sentences import gain_notes, rank_notes, score_notes
from reports.sentences import profiles as words
from reports.statistics.pairs import mark_best, pairs
from reports.statistics.scores import with_holm
from reports.statistics.shown import score_estimate
from reports.statistics.stats import Estimate
from reports.wording import header


def all_tables(answer: Answer) -> tuple[Table, ...]:
    """Return the tables of gains, of scores with ranks, and of separations."""
    return gain_table(answer), score_table(answer), separation_table(answer)


def gain_table(answer: Answer) -> Table:
    """Return the gain of each row over the base row by profile, and its mean over profiles."""
    columns = [_column(answer, side, "gain") for side in answer.sides]
    columns.append(Column("gain:mean", "mean gain", "gain"))
    rows = with_holm([_gain_row(answer, label) for label in answer.labels if label != answer.base])
    table = _table(answer, "gains", f"Gain over {answer.base} by profile", columns, rows)
    return replace(table, notes=tuple(gain_notes(answer, table)))


def _gain_row(answer: Answer, label: str) -> TableRow:
    found = [gain(side, label, answer.base) for side in answer.sides]
    cells = [
        Cell(missing=True, reason=_why(side, (label, answer.base)))
        if comparison is None
        else Cell.of_gain(
            comparison.gain,
            comparison,
            doubtful=bool({label, answer.base} & side.odd),
        )
        for side, comparison in zip(answer.sides, found, strict=True)
    ]
    mean = mean_gain([comparison for comparison in found if comparison])
    cells.append(Cell.of_gain(mean) if mean else Cell(missing=True, reason="no gain is known"))
    return TableRow(label, label, tuple(cells), seeds=sum(bool(comparison) for comparison in found))


def _why(side: Side, labels: Sequence[str]) -> str:
    for label in labels:
        if label not in side.manifest.rows:
            return f"{side.profile} has no row {label}"
        if side.mean(label) is None:
            return f"no run of {label} has finished on {side.profile}"
    return f"no seed has finished in both rows on {side.profile}"


def score_table(answer: Answer) -> Table:
    """Return the score of each row by profile, and its mean rank."""
    columns = [_column(answer, side, "score") for side in answer.sides]
    rows = [_score_row(answer, label) for label in answer.labels]
    for i, side in enumerate(answer.sides):
        # Rows are compared on one profile at a time.
        rows = mark_best(rows, i, pairs(side.scores, side.manifest.rows, HEADLINE))
    columns.append(Column("rank", "mean rank", "setting"))
    found = answer.ranks.mean if answer.ranks else {}
    rows = [replace(row, cells=(*row.cells, _rank(answer, found.get(row.label)))) for row in rows]
    table = _table(answer, "ranks", "Scores and ranks", columns, rows)
    return replace(table, notes=(*score_notes(table), *rank_notes(answer.ranks)))


def _score_row(answer: Answer, label: str) -> TableRow:
    cells = []
    for side in answer.sides:
        value = score_estimate(side.scores.of(label, HEADLINE).values())
        why = None if value else _why(side, (label,))
        cells.append(Cell(value=value, missing=value is None, reason=why))
    return TableRow(label, label, tuple(cells), seeds=sum(not cell.missing for cell in cells))


def _rank(answer: Answer, rank: float | None) -> Cell:
    if rank is None:
        return Cell(missing=True, reason="not finished on every profile")
    return Cell(value=Estimate(rank, None, None, len(answer.sides)))


def separation_table(answer: Answer) -> Table:
    """Return how well each profile tells the rows apart."""
    columns = (
        Column("rows", "rows", "setting"),
        Column("between", "between rows (points)", "setting"),
        Column("within", "within a row (points)", "setting"),
        Column("ratio", "ratio", "setting"),
        Column("noise", "ratio of a tie", "setting"),
    )
    rows = [
        TableRow(
            label=found.profile,
            name=found.profile,
            cells=(
                Cell(text=str(found.rows)),
                *map(_number, (found.between, found.within, found.ratio, found.noise)),
            ),
        )
        for found in answer.separations
    ]
    table = _table(answer, "separation", "How well each profile tells rows apart", columns, rows)
    return replace(table, notes=(words.SEPARATION, words.SEPARATION_OF_TIES))


def _number(value: float | None) -> Cell:
    if value is None:
        return Cell(missing=True, reason="takes two rows and two seeds")
    return Cell(value=Estimate(value, None, None, 0))


def _column(answer: Answer, side: Side, kind: str) -> Column:
    """Return a profile's column, headed by its metric too where profiles differ in it."""
    metrics = {other.manifest.metric for other in answer.sides}
    name = side.profile
    if len(metrics) > 1:
        name += f", {header(side.manifest.metric)}"
    if kind == "score":
        return Column(f"{side.profile}:miou", name, "score")
    return Column(f"gain:{side.profile}", name, "gain")


def _table(
    answer: Answer, key: str, title: str, columns: Sequence[Column], rows: Sequence[TableRow]
) -> Table:
    return Table(
        key=key,
        title=title,
        scale=f"{answer.scale}.",
        columns=tuple(columns),
        rows=tuple(rows),
        seeds=0,
    )

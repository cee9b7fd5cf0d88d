"""Sentences about a study on several profiles: the notes under its tables, and its result."""

from __future__ import annotations

from collections.abc import Sequence

from reports.model import Lead, Table
from reports.profiles.answer import Answer, Ranks, Side
from reports.sentences import profiles as words
from reports.sentences import verdict
from reports.sentences.conditions import TRUST
from reports.sentences.notes import BEST
from reports.statistics.stats import LEVEL
from reports.tables.notes import exact_test, shown_intervals
from reports.wording import estimate_text, joined, open_rows, seeds


def gain_notes(answer: Answer, table: Table) -> list[str]:
    """Return what must be read with the table of gains."""
    sides = answer.sides
    found = [words.GAIN.format(base=answer.base)]
    sentences: dict[str, list[str]] = {}
    for side in sides:
        sentences.setdefault(side.scores.population, []).append(side.profile)
    for sentence, names in sentences.items():
        on_some = words.ON_PROFILES.format(profiles=joined(names), sentence=sentence)
        found.append(sentence if len(sentences) == 1 else on_some)
    found.append(words.MEAN_GAIN.format(count=len(sides)))
    fewer = [
        f"{row.label} ({row.seeds} of {len(sides)})" for row in table.rows if row.seeds < len(sides)
    ]
    if fewer:
        found.append(words.FEWER_PROFILES.format(rows=joined(fewer)))
    found += exact_test(table)
    if any(cell.doubtful for row in table.rows for cell in row.cells):
        found.append(words.OTHER_CONDITIONS)
    return [*found, *_trust(sides), *_profiles(sides), *_absent(answer), *_settings(answer)]


def _trust(sides: Sequence[Side]) -> list[str]:
    names = [side.profile for side in sides if side.scores.imported]
    return [words.ON_PROFILES.format(profiles=joined(names), sentence=TRUST)] if names else []


def _profiles(sides: Sequence[Side]) -> list[str]:
    return [
        words.SCALE.format(
            profile=side.profile,
            scale=side.manifest.scale.rstrip("."),
            seeds=seeds(len(side.manifest.seeds)),
        )
        for side in sides
    ]


def _absent(answer: Answer) -> list[str]:
    """Name every row that a profile lacks, and every row without a finished run."""
    found = []
    for side in answer.sides:
        rows = side.manifest.rows
        if gone := [label for label in answer.labels if label not in rows]:
            found.append(words.NO_ROW.format(profile=side.profile, rows=joined(gone)))
        if waiting := [label for label in rows if side.mean(label) is None]:
            found.append(words.NOT_FINISHED.format(profile=side.profile, rows=joined(waiting)))
    left_out = [label for label in answer.labels if label not in answer.common]
    if left_out:
        found.append(words.LEFT_OUT.format(rows=joined(left_out)))
    return found


def _settings(answer: Answer) -> list[str]:
    """Name the rows whose settings differ between profiles, such as a tuned weight."""
    found = []
    for label in answer.labels:
        rows = {s.profile: s.manifest.rows[label] for s in answer.sides if label in s.manifest.rows}
        for key in dict.fromkeys(key for row in rows.values() for key in row.settings):
            values = {profile: row.settings.get(key, "none") for profile, row in rows.items()}
            if len(set(map(repr, values.values()))) > 1:
                each = ", ".join(f"{value} on {profile}" for profile, value in values.items())
                found.append(words.SETTING.format(row=label, key=key, values=each))
    return found


def score_notes(table: Table) -> list[str]:
    """Return what the scores and their marks mean."""
    found = shown_intervals(table)
    if any(cell.best for row in table.rows for cell in row.cells):
        found.append(BEST)
    return found


def rank_notes(found: Ranks | None) -> list[str]:
    """Return what ranks mean and what the tests say of them."""
    if found is None:
        return [words.NO_RANKS]
    notes = [words.RANKS]
    if found.critical is None:
        return [*notes, words.TWO_ROWS]
    if found.p is not None:
        text = words.FRIEDMAN_DIFFER if found.p < LEVEL else words.FRIEDMAN_OPEN
        notes.append(
            text.format(
                profiles=found.profiles,
                rows=len(found.mean),
                statistic=f"{found.statistic:.2f}",
                p=f"{found.p:.2g}",
            )
        )
    widest = len(found.mean) - 1
    text = words.CRITICAL_TOO_WIDE if found.critical > widest else words.CRITICAL
    return [*notes, text.format(critical=f"{found.critical:.2f}", widest=widest)]


def profiles_lead(answer: Answer, gains: Table) -> Lead:
    """Return the row with the highest mean gain over profiles, and whether the gain is shown.

    Args:
        answer: The study on its profiles.
        gains: Its table of gains.
    """
    index = len(answer.sides)
    found = [(row, row.cells[index].value) for row in gains.rows]
    known = [(row, v) for row, v in found if v and v.n == len(answer.sides)]
    if not known:
        return Lead(verdict.NOT_SETTLED, (words.NO_GAIN.format(base=answer.base),))
    row, value = max(known, key=lambda pair: pair[1].mean)
    leader = row.label if value.mean > 0 else answer.base
    shown = words.SHOWN if value.above_zero else words.NOT_SHOWN
    if value.above_zero is False:
        shown = words.BELOW
    text = words.HIGHEST.format(
        row=row.label,
        base=answer.base,
        profiles=len(answer.sides),
        gain=estimate_text(value, signed=True),
        verdict=shown,
    )
    sentences = [text]
    if answer.ranks:
        first, rank = next(iter(answer.ranks.mean.items()))
        rows = len(answer.ranks.mean)
        sentences.append(words.BEST_RANK.format(row=first, rank=f"{rank:.2f}", rows=rows))
    return Lead(_headline(answer, leader), tuple(sentences))


def _headline(answer: Answer, leader: str) -> str:
    """Return whether the leader's mean over profiles lies above that of every other row."""
    rows = answer.open(leader)
    if not rows:
        waiting = len(answer.common) < len(answer.labels)
        return verdict.SETTLED_SO_FAR if waiting else verdict.SETTLED
    if answer.base in (leader, *rows):
        return verdict.NOT_SETTLED
    return verdict.SETTLED_AGAINST_BASE.format(base=answer.base, rows=open_rows(rows))

"""Sentences about a study on several profiles: the notes under its tables, and its result."""

from __future__ import annotations

from collections.abc import Sequence

from reports.model import Table, TableRow
from reports.profiles.answer import Answer, Ranks, Side
from reports.statistics.stats import LEVEL
from reports.tables.sentences import exact_test
from reports.wording import DAGGER, TRUST, estimate_text, joined, seeds


def gain_notes(answer: Answer, table: Table) -> list[str]:
    """Return what must be read with the table of gains."""
    sides = answer.sides
    found = [f"Gain over {answer.base}: percentage points, paired by seed on each profile."]
    sentences: dict[str, list[str]] = {}
    for side in sides:
        sentences.setdefault(side.scores.population, []).append(side.profile)
    for sentence, names in sentences.items():
        found.append(sentence if len(sentences) == 1 else f"{joined(names)}: {sentence}")
    found.append(
        "Mean gain: the mean of the profiles' gains, with Student's 95 % interval over "
        f"{len(sides)} profiles, each of which counts once; it covers other data and networks of "
        "this kind."
    )
    fewer = [
        f"{row.label} ({row.seeds} of {len(sides)})" for row in table.rows if row.seeds < len(sides)
    ]
    if fewer:
        found.append(f"Means over fewer profiles: {joined(fewer)}.")
    found += exact_test(table)
    if any(cell.doubtful for row in table.rows for cell in row.cells):
        found.append(
            f"{DAGGER} A run behind this gain was made under other conditions than its neighbours; "
            "the report of that profile says which."
        )
    return [*found, *_trust(sides), *_profiles(sides), *_absent(answer), *_settings(answer)]


def _trust(sides: Sequence[Side]) -> list[str]:
    names = [side.profile for side in sides if side.scores.imported]
    return [f"{joined(names)}: {TRUST}"] if names else []


def _profiles(sides: Sequence[Side]) -> list[str]:
    return [
        f"{side.profile}: {side.manifest.scale.rstrip('.')}; {seeds(len(side.manifest.seeds))}."
        for side in sides
    ]


def _absent(answer: Answer) -> list[str]:
    """Name every row that a profile lacks, and every row without a finished run."""
    found = []
    for side in answer.sides:
        rows = side.manifest.rows
        if gone := [label for label in answer.labels if label not in rows]:
            found.append(f"{side.profile} has no row {joined(gone)}.")
        if waiting := [label for label in rows if side.mean(label) is None]:
            found.append(f"No run has finished on {side.profile} of {joined(waiting)}.")
    left_out = [label for label in answer.labels if label not in answer.common]
    if left_out:
        found.append(f"Ranks and spreads leave out {joined(left_out)}.")
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
                found.append(f"{label} has {key} {each}.")
    return found


def score_notes(rows: Sequence[TableRow]) -> list[str]:
    """Return what the scores and their marks mean."""
    found = ["Mean over seeds, with Student's 95 % interval over other seeds on the same images."]
    if any(cell.best for row in rows for cell in row.cells):
        found.append("Bold: the highest mean, if its paired interval lies above every other row.")
    return found


def rank_notes(found: Ranks | None) -> list[str]:
    """Return what ranks mean and what the tests say of them."""
    if found is None:
        return ["Fewer than two rows have finished on every profile: there are no ranks."]
    notes = [
        "Rank 1 is the highest mean score of a profile; rows that tie share the mean of ranks."
    ]
    if found.critical is None:
        return [*notes, "Two rows alone: tests of ranks need three."]
    if found.p is not None:
        verdict = "differ" if found.p < LEVEL else "no difference is shown"
        notes.append(
            f"Friedman's test over {found.profiles} profiles and {len(found.mean)} rows: "
            f"chi-squared {found.statistic:.2f}, p {found.p:.2g} ({verdict})."
        )
    widest = len(found.mean) - 1
    text = f"Nemenyi's critical difference (5 %): {found.critical:.2f} ranks"
    if found.critical > widest:
        text += f", more than the {widest} that two rows can lie apart: more profiles are needed"
    return [*notes, f"{text}."]


def summary(answer: Answer, gains: Table) -> str:
    """Return one sentence: the row with the highest mean gain, and whether the gain is shown.

    Args:
        answer: The study on its profiles.
        gains: Its table of gains.
    """
    index = len(answer.sides)
    found = [(row, row.cells[index].value) for row in gains.rows]
    known = [(row, v) for row, v in found if v and v.n == len(answer.sides)]
    if not known:
        return f"No row has a gain over {answer.base} on every profile."
    row, value = max(known, key=lambda pair: pair[1].mean)
    shown = "which is shown" if value.above_zero else "which is not shown to differ from zero"
    if value.above_zero is False:
        shown = "so no row beats it"
    text = (
        f"{row.label} has the highest mean gain over {answer.base} on {len(answer.sides)} "
        f"profiles: {estimate_text(value, signed=True)} points, {shown}"
    )
    if answer.ranks:
        first, rank = next(iter(answer.ranks.mean.items()))
        text += f"; {first} has the best mean rank, {rank:.2f} of {len(answer.ranks.mean)}"
    return f"{text}."

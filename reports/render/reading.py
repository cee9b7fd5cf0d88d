"""Which notes of a table stand under it on the page, and which are folded into one explanation."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

from reports.model import Table
from reports.render.text import notes_of
from reports.sentences import notes

KEY = (notes.INTERVAL, notes.RANGE, notes.OPEN_GREY, notes.GAIN, notes.GAIN_OF_SEEDS)
"""Explanations that a reader needs with the first number: they stand under the first table."""
EXPLAINING = (
    *(notes.BEST, notes.CUT, notes.TIMES, notes.COSTS, notes.BORDERS, notes.MEASURES),
    *(notes.BORDER_MEASURES, notes.IMAGE_MEASURE, notes.EFFECTS, notes.PAIRS, notes.PARTS),
    *(notes.EXACT, notes.EXACT_HOLM, notes.EXACT_HOLM_TOO_FEW, notes.EXACT_TOO_FEW),
    *(notes.EXACT_TOO_FEW_HOLM, notes.PAIRS_ALONE, notes.SHARED_RATE, notes.VERDICTS),
)
"""Sentences that say what a number is; all others say what is special about these numbers."""


def notes_under(table: Table, *, first: bool) -> list[str]:
    """Return the notes that stand under a table: what is special about it.

    Args:
        table: The table.
        first: Whether it is the first one of the page, which says what its numbers are.
    """
    return [
        note
        for note in notes_of(table)
        if not _is_of(EXPLAINING, note) and (first or not _is_of(KEY, note))
    ]


def reading(tables: Sequence[Table]) -> list[str]:
    """Return the other notes that explain the numbers of all tables, each once."""
    found = (note for table in tables for note in notes_of(table) if _is_of(EXPLAINING, note))
    return list(dict.fromkeys(found))


def _is_of(templates: Sequence[str], note: str) -> bool:
    """Return whether a note is one of the sentences with its fields filled in."""
    return any(re.fullmatch(_pattern(template), note) for template in templates)


def _pattern(template: str) -> str:
    parts = string.Formatter().parse(template)
    return "".join(re.escape(text) + ("" if name is None else ".*") for text, name, *_ in parts)

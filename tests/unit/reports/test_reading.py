"""A page explains its numbers once; what is special about a table stands under it."""

from reports.model import Table
from reports.render.reading import notes_under, reading
from reports.sentences import notes

INTERVAL = notes.INTERVAL
GAIN = notes.GAIN.format(base="CE", population="Of seeds.")
BORDERS = notes.BORDERS
TIE = notes.TIE.format(column="mIoU (%)", row="A", rows="B or C")


def table(*said: str) -> Table:
    return Table("t", "T", "toy", (), (), 2, notes=said)


def test_what_is_special_stands_under_its_table():
    shown = table(INTERVAL, TIE, GAIN, BORDERS)
    assert notes_under(shown, first=False) == [TIE]
    assert notes_under(shown, first=True) == [INTERVAL, TIE, GAIN]


def test_each_explanation_is_said_once():
    assert reading([table(INTERVAL, TIE, BORDERS), table(BORDERS)]) == [BORDERS]
    assert reading([table(TIE)]) == []


def test_a_note_that_only_begins_like_one_is_not_folded():
    odd = f"{BORDERS} RMI is missing."
    assert notes_under(table(odd), first=False) == [odd]

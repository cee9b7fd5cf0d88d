"""Moments that --since understands."""

from datetime import datetime

import pytest

from bench.errors import SpecError
from reports.news import moment

NOW = datetime(2026, 5, 2, 7, 30)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("YESTERDAY", datetime(2026, 5, 1)),
        ("today", datetime(2026, 5, 2)),
        ("8h", datetime(2026, 5, 1, 23, 30)),
        ("90m", datetime(2026, 5, 2, 6)),
        ("2d", datetime(2026, 4, 30, 7, 30)),
        ("2026-05-01", datetime(2026, 5, 1)),
        ("2026-05-01T22:00", datetime(2026, 5, 1, 22)),
    ],
)
def test_moments(text, meant):
    assert moment(text, NOW) == meant


@pytest.mark.parametrize(
    "text", ["", "soon", "8", "2026-13-01", "8h30", "999999999999999h", "0001-01-01T00:00+14:00"]
)
def test_other_words_are_refused(text):
    with pytest.raises(SpecError, match="--since"):
        moment(text, NOW)


def test_a_span_beyond_the_calendar_is_refused():
    with pytest.raises(SpecError, match="--since"):
        moment("999999d", NOW)

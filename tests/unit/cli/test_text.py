"""Prose wraps at words on a terminal, and stays whole in a pipe."""

import io

import pytest

from bench.cli.views import text
from bench.cli.views.text import say, wrapped

PROSE = "a gain over CE of +9.08 ± 12.95 points; no difference is shown between CE, RMI and Dice"


def test_prose_wraps_at_words_and_keeps_its_indentation():
    lines = wrapped(f"  {PROSE}", 40).split("\n")
    assert all(len(line) <= 40 for line in lines)
    assert [line[:2] for line in lines] == ["  "] * len(lines)
    assert " ".join(" ".join(lines).split()) == PROSE


def test_tables_paths_and_short_lines_stay_whole():
    table = "CE    73.50 ± 4.24                4  50.88 ± 8.01   50.88 ± 8.01"
    path = f"/{'folder/' * 12}index.html"
    assert wrapped(f"short\n{table}\n{path}", 40) == f"short\n{table}\n{path}"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("stream", "wraps"), [(Terminal(), True), (io.StringIO(), False)])
def test_a_pipe_gets_whole_lines(stream, wraps, monkeypatch):
    """So that grep finds them."""
    monkeypatch.setattr(text.sys, "stdout", stream)
    monkeypatch.setenv("COLUMNS", "40")
    say(PROSE)
    assert (stream.getvalue().count("\n") > 1) == wraps

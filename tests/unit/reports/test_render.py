"""Renderers print every cell, and outside text as itself."""

import csv
import io
import json
import re
from dataclasses import replace

import pytest
from toy_table import EVIL, toy_table

from reports import wording
from reports.model import Cell, Column, Table, TableRow
from reports.render import latex
from reports.render.text import (
    FIELDS,
    NO_BREAK,
    escape_markdown,
    markdown,
    rows_csv,
    tables_json,
    text,
)
from reports.sentences import notes as words
from reports.statistics.stats import Comparison, Estimate


@pytest.fixture
def table() -> Table:
    return toy_table()


def test_markdown_has_as_many_cells_in_every_line(table):
    lines = [line for line in markdown(table).splitlines() if line.startswith("|")]
    cells = {line.replace("\\|", "").count("|") for line in lines}
    assert cells == {5}
    assert "**45.00**" in markdown(table)
    assert "40.1\u00a0±\u00a01.5†" in markdown(table)
    assert "−0.50\u00a0±\u00a00.25 ≠ p 0.062" in markdown(table)
    assert "≠ differs" in markdown(table)
    assert "<script" not in markdown(table)


def test_a_gain_whose_interval_holds_zero_stands_back_in_every_format(table):
    """In grey or in parentheses, with a note that says so; a gain apart from zero does not."""
    shown = latex.latex(table), markdown(table), text(table)
    assert not any("includes zero" in out for out in shown)
    gain = Estimate(1.5, -0.5, 3.5, 3)
    row = TableRow("D", "D", (Cell(text=""), Cell(missing=True), Cell.of_gain(gain)))
    tex, *plain = (made(replace(table, rows=(row,))) for made in (latex.latex, markdown, text))
    assert r"& \color{gray} +1.5 +- 2.0 \\" in tex
    assert words.OPEN_GREY in tex
    for out in plain:
        assert "(+1.5 ± 2.0)" in out.replace(NO_BREAK, " ")
        assert words.OPEN_PARENTHESES in out


def test_a_class_that_is_never_found_is_a_plain_zero_and_a_range_stands_in_parentheses(table):
    values = (Estimate(0.0, None, None, 3), Estimate(99.0, 96.5, 100.0, 3))
    values += (Estimate(61.9, 26.8, 94.1, 2, "range"), Estimate(0.0, -0.2, 0.2, 2))
    kinds = ("class", "score", "cost", "gain")
    columns = tuple(Column(kind, kind, kind) for kind in kinds)
    row = TableRow("CE", "CE", tuple(Cell(value=value) for value in values))
    line = text(replace(table, columns=columns, rows=(row,), notes=())).splitlines()[4]
    assert re.split(" {2,}", line)[1:] == [
        "0",
        "99.0 (96.5–100.0)",
        "61.9 (26.8–94.1)",
        "+0.00 ± 0.20",
    ]


def test_markdown_escape_keeps_names_readable():
    assert escape_markdown("loss.downsample_factor") == "loss.downsample_factor"
    assert escape_markdown("_x_ a\nb") == "\\_x\\_ a b"


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("CE & CRF-1", "CE & CRF-1"),
        ("a &b; &#38; &c", "a &amp;b; &amp;#38; &c"),
        ("&lt;b&gt;", "&amp;lt;b&amp;gt;"),
    ],
)
def test_an_ampersand_stays_one_unless_an_entity_begins_there(text, escaped):
    assert escape_markdown(text) == escaped


def test_terminal_text_is_aligned_and_harmless(table):
    evil = replace(table, title="T\x1b[31m", notes=("n\x1b[0m",))
    out = text(evil)
    assert "\x1b" not in out
    lines = out.splitlines()[2:7]
    assert len(lines[0]) == len(lines[1])
    assert wording.DASH in out
    assert "*45.00" in out


def test_csv_has_numbers_flags_and_their_source(table):
    lines = list(csv.DictReader(io.StringIO(rows_csv([table]))))
    ours = next(line for line in lines if line["row"] == "CE" and line["column"] == "miou")
    assert (ours["mean"], ours["n"], ours["source"]) == ("40.123", "3", "ours")
    assert (ours["low"], ours["high"], ours["runs"]) == ("38.623", "41.623", "a b")
    assert (ours["same_conditions"], ours["best"]) == ("False", "False")
    setting = next(line for line in lines if line["column"] == "loss.pooling")
    assert (setting["text"], setting["best"], setting["same_conditions"]) == ("avg", "", "")
    gain = next(line for line in lines if line["row"] == "RMI" and line["column"] == "gain:miou")
    assert (gain["mean"], gain["low"], gain["high"]) == ("-0.5", "-0.75", "-0.25")
    assert gain["best"] == ""
    assert (gain["p"], gain["p_adjusted"], gain["verdict"]) == ("0.03125", "0.0625", "differs")
    gone = [line["missing"] for line in lines if line["row"] == "B"]
    assert gone == ["oom", "no run"]
    quoted = [line for line in lines if line["row"] == "CE* (paper)"]
    assert [(line["mean"], line["source"]) for line in quoted] == [("77.21", "paper")]
    assert {line["best"] + line["same_conditions"] for line in quoted} == {""}


def test_csv_has_four_digits_after_the_point(table):
    value = Estimate(1 / 3, -1e-7, 2 / 3, 3)
    gain = Comparison(value, p=1 / 4096, floor=1 / 4096)
    (row,) = [row for row in table.rows if row.label == "RMI"]
    cells = (row.cells[0], Cell(value=value), Cell(value=value, comparison=gain))
    lines = list(
        csv.DictReader(io.StringIO(rows_csv([replace(table, rows=(replace(row, cells=cells),))])))
    )
    assert [lines[1][key] for key in ("mean", "low", "high")] == ["0.3333", "0.0", "0.6667"]
    assert lines[2]["p"] == "0.0002441"


def test_json_round_trips(table):
    content = json.loads(tables_json([table]))
    assert content["schema"] == 2
    (found,) = content["tables"]
    assert found["rows"][0]["name"] == EVIL
    assert found["rows"][1]["cells"][1]["value"]["mean"] == 45.0
    assert found["rows"][1]["cells"][2]["comparison"]["p_floor"] == 0.03125
    assert found["rows"][2]["cells"][1]["reason"] == "oom"


def test_every_field_is_documented(table, pytestconfig):
    said = (pytestconfig.rootpath / "docs" / "report-files.md").read_text()

    def keys(value):
        if isinstance(value, dict):
            yield from value
        for inner in value.values() if isinstance(value, dict) else value:
            if isinstance(inner, dict | list):
                yield from keys(inner)

    for key in {*FIELDS, *keys(json.loads(tables_json([table])))}:
        assert f"`{key}`" in said, key

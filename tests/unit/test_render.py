"""Renderers print every cell, and outside text as itself."""

import csv
import io
import json

import pytest

from reports import wording
from reports.model import Cell, Column, Table, TableRow
from reports.render import (
    escape_latex,
    escape_markdown,
    latex,
    markdown,
    rows_csv,
    tables_json,
    text,
)
from reports.stats import Estimate

EVIL = "[x] & 50% $a_b$ #{c} ~^\\ <script>|*d*"


@pytest.fixture
def table() -> Table:
    columns = (
        Column("loss.pooling", "pooling", "setting"),
        Column("miou", "mIoU (%)", "score"),
        Column("gain:miou", "gain over CE", "gain"),
    )
    rows = (
        TableRow(
            "CE",
            EVIL,
            (
                Cell(text="avg"),
                Cell(value=Estimate(40.123, 38.623, 41.623, 3), doubtful=True),
                Cell(text=""),
            ),
            seeds=3,
        ),
        TableRow(
            "RMI",
            "RMI",
            (
                Cell(text="max"),
                Cell(value=Estimate(45.0, None, None, 1), best=True),
                Cell(value=Estimate(-0.5, -0.75, -0.25, 2)),
            ),
            seeds=1,
        ),
        TableRow("B", "B", (Cell(text=""), Cell(missing=True), Cell(missing=True))),
        TableRow(
            "CE* (paper)",
            "CE*",
            (Cell(text=""), Cell(value=Estimate(77.21, None, None, 0)), Cell(text="")),
            reference=True,
        ),
    )
    return Table("t", "A & B", "toy; 3 seeds.", columns, rows, 3, ("A note_with % signs.",))


def test_markdown_has_as_many_cells_in_every_line(table):
    lines = [line for line in markdown(table).splitlines() if line.startswith("|")]
    cells = {line.replace("\\|", "").count("|") for line in lines}
    assert cells == {5}
    assert "**45.00**" in markdown(table)
    assert "40.12 ± 1.50†" in markdown(table)
    assert "<script" not in markdown(table)


def test_latex_escapes_and_rules(table):
    out = latex(table)
    body = out[out.index(r"\midrule") : out.index(r"\bottomrule")]
    row = body.splitlines()[1]
    assert row.startswith(r"{[}x] \& 50\% \$a\_b\$ \#\{c\} \textasciitilde{}\textasciicircum{}")
    assert row.replace(r"\&", "").count("&") == 3
    assert row.endswith(r"\\")
    assert r"40.12 $\pm$ 1.50$^{\dagger}$" in row
    assert r"\textbf{45.00}" in body
    assert body.count(r"\midrule") == 2  # before the quoted rows
    assert "$-$0.50" in body


@pytest.mark.parametrize("character", list("\\&%$#_{}~^<>|"))
def test_latex_escape_leaves_no_active_character(character):
    escaped = escape_latex(f"a{character}b")
    assert escaped != f"a{character}b"
    assert escaped.startswith("a")
    assert escaped.endswith("b")


def test_markdown_escape_keeps_names_readable():
    assert escape_markdown("loss.downsample_factor") == "loss.downsample_factor"
    assert escape_markdown("_x_ a\nb") == "\\_x\\_ a b"


def test_terminal_text_is_aligned_and_harmless(table):
    rows = table.rows
    evil = Table("t", "T\x1b[31m", "s.", table.columns, rows, 3, ("n\x1b[0m",))
    out = text(evil)
    assert "\x1b" not in out
    lines = out.splitlines()[2:7]
    assert len(lines[0]) == len(lines[1])
    assert wording.DASH in out


def test_csv_has_full_numbers_and_their_source(table):
    lines = list(csv.DictReader(io.StringIO(rows_csv([table]))))
    ours = next(line for line in lines if line["row"] == "CE" and line["column"] == "miou")
    assert (ours["mean"], ours["n"], ours["source"]) == ("40.123", "3", "ours")
    assert ours["same_conditions"] == "False"
    quoted = [line for line in lines if line["row"] == "CE* (paper)"]
    assert [(line["mean"], line["source"]) for line in quoted] == [("77.21", "paper")]


def test_json_round_trips(table):
    (content,) = json.loads(tables_json([table]))
    assert content["rows"][0]["name"] == EVIL
    assert content["rows"][1]["cells"][1]["value"]["mean"] == 45.0

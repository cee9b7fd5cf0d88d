"""LaTeX prints every cell, aligned by siunitx, and gives each number one name that stays."""

import re
from dataclasses import replace

import pytest
from toy_table import toy_table
from typeset import typeset

from reports.model import Cell, Column, Table, TableRow
from reports.render import latex
from reports.render.legend import legend_of
from reports.render.numbers import macros, named_numbers, number, table_format
from reports.statistics.stats import Comparison, Estimate


@pytest.fixture
def table() -> Table:
    return toy_table()


def body_of(out: str) -> list[str]:
    return out[out.index(r"\midrule") : out.index(r"\bottomrule")].splitlines()


def test_cells_are_escaped_aligned_and_ruled(table):
    out = latex.latex(table)
    body = body_of(out)
    row = body[1]
    assert row.startswith(r"{[}x] \& 50\% \$a\_b\$ \#\{c\} \textasciitilde{}\textasciicircum{}")
    assert row.endswith(r"\\")
    # Numbers stand alone; † and the verdict have a column of their own beside them.
    assert r"& 40.1 +- 1.5 & $^{\dagger}$ &" in row
    assert r"& \bfseries 45.00 &  & -0.50 +- 0.25 & $\neq$ p 0.062 \\" in body[2]
    assert body[3].count(r"{\textendash{}}") == 2
    assert body.count(r"\midrule") == 2  # before the quoted rows
    kinds = out[out.index(r"\begin{tabular}") :].splitlines()[0]
    assert "S[table-format=2.2 +- 1.1]@" in kinds
    assert "S[table-format=+1.2 +- 1.2]@" in kinds
    lines = [line for line in body if line.endswith(r"\\")]
    assert {line.replace(r"\&", "").count("&") for line in lines} == {5}


def test_a_table_says_what_its_marks_mean_and_keeps_its_notes_as_comments(table):
    out = latex.latex(table)
    shown = out[out.index(r"\footnotesize") : out.index(r"\end{minipage}")]
    assert "95~\\%" in shown
    assert legend_of(table).count(".") <= 7
    assert "A note_with % signs." not in shown
    assert out.rstrip().splitlines()[-2] == "% A note_with % signs."
    assert r"\label{tab:t}" in out
    plain = TableRow("CE", "CE", (Cell(text="avg"), Cell(value=Estimate(1, None, None, 1)), Cell()))
    assert legend_of(replace(table, rows=(plain,))) == "Gains: percentage points, paired by seed."


@pytest.mark.parametrize(("rows", "room"), [(1, "table"), (3, "table*")], ids=["narrow", "wide"])
def test_a_table_takes_one_column_of_a_paper_or_both(table, rows, room):
    columns = tuple(Column(f"c{i}", "mIoU (%)", "score") for i in range(2 * rows))
    row = TableRow("CE", "CE", tuple(Cell(value=Estimate(40, 38, 42, 3)) for _ in columns))
    assert rf"\begin{{{room}}}[" in latex.latex(replace(table, columns=columns, rows=(row,)))


def test_a_wide_table_of_few_rows_is_printed_the_other_way_round(table):
    names = [f"class {i}" for i in range(latex.WIDE)]
    row = TableRow("CE", "CE", tuple(Cell(value=Estimate(1, 0, 2, 3)) for _ in names))
    columns = tuple(Column(name, name, "class") for name in names)
    body = body_of(latex.latex(replace(table, columns=columns, rows=(row,))))
    assert body[1:] == [rf"class {i} & 1.0 +- 1.0 \\" for i in range(latex.WIDE)]


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (("62.15", "± 7.12"), "62.15 +- 7.12"),
        (("−0.50", ""), "-0.50"),
        (("+9.08", "± 12.95"), "+9.08 +- 12.95"),
        (("61.9", "(27–94)"), None),
        (("–", ""), None),
        (("2 of 3", ""), None),
    ],
)
def test_what_siunitx_reads_is_a_number_and_its_width(texts, found):
    assert number(*texts) == found


def test_the_format_of_a_column_has_room_for_each_number():
    assert table_format(["62.15 +- 7.12", "-0.5", "112.1 +- 12.95"]) == "+3.2 +- 2.2"
    assert table_format(["3", "12"]) == "2"


@pytest.mark.parametrize("character", list("\\&%$#_{}~^<>|\"`'"))
def test_escape_leaves_no_active_character(character):
    escaped = latex.escape(f"a{character}b")
    assert escaped != f"a{character}b"
    assert escaped.startswith("a")
    assert escaped.endswith("b")


def test_escape_has_one_sign_for_plus_and_minus_and_prints_codes_of_the_rest():
    assert latex.escape("+1.49 and −0.50, DeepLabv3+, C+3") == (
        "$+$1.49 and $-$0.50, DeepLabv3+, C+3"
    )
    assert latex.escape("a\x1b中") == r"a\texttt{U+001B}\texttt{U+4E2D}"
    assert latex.escape("a\0b") == r"a\texttt{U+FFFD}b"
    assert latex.escape("a--b") == "a-{}-b"
    assert latex.escape("the paper's") == "the paper'{}s"


def test_names_of_networks_stay_whole_and_what_is_longer_may_break():
    for name in ("EfficientNet-Lite0", "tf_efficientnet_lite0", "ResNet101-DeepLabv3+"):
        assert "allowbreak" not in latex.escape(name)
    path = "segmentation_models_pytorch.losses:LovaszLoss"
    assert latex.escape(path).split(r"\allowbreak{}")[-1] == "LovaszLoss"
    assert latex.escape("x" * 300).count(r"\allowbreak{}") == 12


def test_each_number_has_a_name_and_its_parts(table):
    found = named_numbers([table])
    assert found["t/rmi/gain-miou/text"] == "-0.50 +- 0.25"
    parts = [found[f"t/rmi/gain-miou/{part}"] for part in ("mean", "low", "high", "n", "p")]
    assert parts == ["-0.50", "-0.75", "-0.25", "2", "0.062"]
    assert found["t/ce/miou/high"] == "41.6"
    assert found["t/ce-paper/miou/mean"] == "77.21"
    assert "t/ce-paper/miou/n" not in found
    assert "t/ce/loss-pooling/mean" not in found  # text, no number
    assert not any(name.startswith("t/b/") for name in found)  # missing
    assert all(re.fullmatch("[a-z0-9/-]+", name) for name in found)
    assert r"\segset{t/rmi/miou/mean}{45.00}" in macros([table]).splitlines()


def test_a_further_row_or_column_renames_nothing(table):
    row = replace(table.rows[1], label="RMI df=2")
    wider = replace(table, rows=(row, *table.rows, table.rows[1]))
    found = named_numbers([table])
    assert {name: named_numbers([wider])[name] for name in found} == found


def test_names_that_differ_in_signs_alone_are_told_apart(table):
    rows = tuple(replace(table.rows[1], label=label) for label in ("a*", "a+", "a"))
    columns = (*table.columns[:2], replace(table.columns[2], key="miou", kind="paper"))
    twins = replace(table, rows=rows, columns=columns)
    rows_found = {name.split("/")[1] for name in named_numbers([twins])}
    assert rows_found == {"a", "a-2", "a-3"}
    assert {name.split("/")[2] for name in named_numbers([twins])} == {"miou", "paper-miou"}


def test_a_gains_ends_have_its_sign(table):
    value = Estimate(0.5, -0.25, 1.25, 3)
    cell = Cell(value=value, comparison=Comparison(value))
    row = replace(table.rows[1], cells=(*table.rows[1].cells[:2], cell))
    found = named_numbers([replace(table, rows=(row,))])
    assert [found[f"t/rmi/gain-miou/{part}"] for part in ("mean", "low", "high")] == [
        *("+0.50", "-0.25", "+1.25")
    ]


DOCUMENT = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage{siunitx}
\input{macros}
%s
\begin{document}
\typeout{FOUND \segvalue{t/rmi/gain-miou/mean} and \segvalue{t/ce/miou/n}.}
\seg{t/rmi/gain-miou/text} $\num{\segvalue{t/ce/miou/high}}$ %s
\end{document}
"""
PREFIX = r"\renewcommand{\segprefix}{b/}\input{macros}"


@pytest.mark.parametrize(
    ("before", "body", "code", "words"),
    [
        ("", "", 0, "FOUND -0.50 and 3."),
        (PREFIX, r"\seg{b/t/rmi/gain-miou/mean}", 0, "FOUND -0.50 and 3."),
        ("", r"\seg{t/rmi/miou/median}", 1, "No number is called t/rmi/miou/median"),
        ("", r"\segvalue{t/none}", 1, "Undefined control sequence"),
        (r"\input{macros}", "", 1, "Two reports have a number t/ce/miou/text"),
    ],
    ids=["called", "two reports", "an unknown name", "an unknown value", "twice"],
)
def test_a_paper_calls_numbers_by_name(table, tmp_path, before, body, code, words):
    (tmp_path / "macros.tex").write_text(macros([table]))
    (tmp_path / "paper.tex").write_text(DOCUMENT % (before, body))
    assert typeset(tmp_path, "paper")[0] == code
    assert words in (tmp_path / "paper.log").read_text()


def test_a_table_alone_needs_the_named_packages_and_no_more(table, tmp_path):
    packages = "\n".join(rf"\usepackage{package}" for package in latex.PACKAGES)
    body = latex.latex(table)
    lines = [r"\documentclass[twocolumn]{article}", packages, r"\begin{document}", body]
    (tmp_path / "one.tex").write_text("\n".join([*lines, r"\end{document}"]))
    code, log = typeset(tmp_path, "one")
    assert code == 0, log[-1000:]
    assert "Overfull" not in log

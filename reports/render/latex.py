r"""Tables for a paper: booktabs, columns aligned by siunitx, and a document that shows all of them.

A table with many columns and few rows is printed the other way round, so that a class is a line. A
table as wide as one column of a two-column paper is a ``table``, a wider one a ``table*``. Whatever
is wider or higher than its room is scaled down.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bench.manifest import slug
from reports.model import Cell, Column, Report, Table
from reports.render.legend import legend_of
from reports.render.numbers import number, table_format
from reports.render.text import (
    VERDICTS,
    dagger,
    mean_and_interval,
    name_of,
    notes_of,
    one_line,
    p_value,
)
from reports.wording import DAGGER, DASH, MINUS, PLUS_MINUS

PACKAGES = (
    "[T1]{fontenc}",
    "[utf8]{inputenc}",
    "{adjustbox}",
    "{array}",
    "{booktabs}",
    "{graphicx}",
    "{siunitx}",
    "{xcolor}",
)
SETUP = (
    r"\sisetup{separate-uncertainty, retain-explicit-plus, detect-weight, mode=text}"
    r"\renewcommand{\bfdefault}{b}"
)
"""For one table: a sign before each gain, and bold digits as wide as the others, which those of the
extended bold are not. The options are those of siunitx 2, which version 3 knows too."""
SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "'": "'{}",  # two of them would become a closing quotation mark
    "[": "{[}",  # at the start of a row it would be an option of the previous one
    PLUS_MINUS: r"$\pm$",
    MINUS: "$-$",
    DASH: r"\textendash{}",
    DAGGER: r"$^{\dagger}$",
    VERDICTS["differs"]: r"$\neq$",
    "\N{NO-BREAK SPACE}": "~",
    "…": r"\ldots{}",
    "×": r"$\times$",
    "’": "'{}",
}
SIZE = r"width=\linewidth,height=0.75\textheight,keepaspectratio"
ROOM = r"max width=\linewidth,max totalheight=0.8\textheight"
WORDS = ("setting", "seeds")
"""Kinds of columns whose numbers are not aligned with those of other kinds."""
WIDE = 8
"""Smallest number of columns of a table that may be printed the other way round."""
LONG_NAME = 36
"""Number of letters beyond which the first column is broken into lines."""
ONE_COLUMN = 58
"""Most letters in a line of a table that fits one column of a paper, at nine tenths of its size."""
LONG_WORD = 24
"""Number of letters beyond which a word may be broken; names of networks and losses are shorter."""


@dataclass(frozen=True)
class _Column:
    """One column as LaTeX."""

    kind: str
    marked: bool
    """Whether a column of marks follows."""
    cells: list[str]


@dataclass(frozen=True)
class _Grid:
    """What a table prints: its headings, and the cells under each."""

    first: list[str]
    """The first column."""
    headers: list[str]
    columns: list[list[tuple[Cell, Column]]]
    rule: int | None
    """The line before which a rule stands: there begin the quoted rows."""


def latex(table: Table) -> str:
    """Return the table with the meaning of its marks; it needs PACKAGES alone.

    All its notes follow as comments.
    """
    grid = _grid(table)
    columns = [_column(cells) for cells in grid.columns]
    heads = [
        rf"{{{escape(head)}}}" + (" &" if column.marked else "")
        for head, column in zip(grid.headers, columns, strict=True)
    ]
    room = "table" if _letters(grid) <= ONE_COLUMN else "table*"
    kinds = _first_column(grid) + "".join(column.kind for column in columns)
    lines = [
        rf"\begin{{{room}}}[htbp]",
        rf"\centering{SETUP}",
        rf"\caption{{{escape(f'{table.title}. {table.scale}')}}}",
        rf"\label{{{_label(table)}}}",
        r"\medskip",
        rf"\begin{{adjustbox}}{{{ROOM}}}",
        rf"\begin{{tabular}}{{{kinds}}}",
        r"\toprule",
        " & ".join(["", *heads]) + r" \\",
        r"\midrule",
    ]
    for i, name in enumerate(grid.first):
        lines += [r"\midrule"] if i == grid.rule else []
        lines.append(" & ".join([escape(name), *(column.cells[i] for column in columns)]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{adjustbox}", ""]
    if meaning := legend_of(table):
        lines += [r"\smallskip", r"\begin{minipage}{\linewidth}", r"\footnotesize\raggedright"]
        lines += [escape(meaning), r"\end{minipage}"]
    lines += [rf"\end{{{room}}}", *(f"% {one_line(note)}" for note in notes_of(table))]
    return "\n".join(lines) + "\n"


def document(tables: Sequence[Table]) -> str:
    """Return all tables, under a comment that names the packages they need."""
    head = [f"% \\usepackage{package}" for package in PACKAGES]
    return "\n".join([*head, "", *map(latex, tables)])


def paper(report: Report, figures: Sequence[tuple[str, str]]) -> str:
    """Return a document in two columns for pdflatex: the answer, all notes, tables and figures.

    Args:
        report: The report.
        figures: File and caption of each figure.
    """
    lines = [
        r"\documentclass[twocolumn]{article}",
        r"\usepackage[margin=2cm,columnsep=8mm]{geometry}",
        *(rf"\usepackage{package}" for package in PACKAGES),
        r"\renewcommand{\dbltopfraction}{0.95}\renewcommand{\dblfloatpagefraction}{0.8}",
        r"\input{macros}",
        rf"\title{{{escape(report.manifest.title)}}}\date{{}}\author{{}}",
        r"\begin{document}",
        r"\maketitle",
        r"\raggedright",
        escape(report.lead.text),
    ]
    for table in report.tables:
        notes = " ".join(map(escape, notes_of(table)))
        lines += [rf"\paragraph{{Table~\ref{{{_label(table)}}}.}} {notes}"] if notes else []
    lines += [r"\input{tables}", r"\clearpage"]
    for file, caption in figures:
        lines += [
            r"\begin{figure*}[htbp]",
            rf"\centering\includegraphics[{SIZE}]{{{file}}}",
            rf"\caption{{{escape(caption)}}}",
            rf"\label{{fig:{file.removesuffix('.pdf')}}}",
            r"\end{figure*}",
        ]
    return "\n".join([*lines, r"\end{document}"]) + "\n"


def escape(value: str) -> str:
    """Return LaTeX that prints the text as it is.

    A character without a glyph in pdflatex is printed as its code point, and a sign before a digit
    in math, as in all numbers. A word of more than LONG_WORD letters may be broken.
    """
    words = value.replace("\0", "\N{REPLACEMENT CHARACTER}").split()
    text = "".join(map(_character, " ".join(map(_breakable, words))))
    text = re.sub(r"(?<![\w{])\+(?=\.?\d)", "$+$", text)
    # LaTeX would set two hyphens as a dash.
    return re.sub(r"-(?=-)", "-{}", text).replace(r" \%", r"~\%")


def _breakable(word: str) -> str:
    r"""Return the word with "\0" where it may be broken: after signs, else at LONG_WORD letters."""
    if len(word) <= LONG_WORD:
        return word
    word = re.sub(r"([/_.:=,])(?=\w)", "\\1\0", word)
    return re.sub(rf"([^\0]{{{LONG_WORD}}})(?=[^\0])", "\\1\0", word)


def _character(character: str) -> str:
    if character == "\0":
        return r"\allowbreak{}"
    known = SPECIAL.get(character)
    if known or (" " <= character <= "~") or ("¡" <= character <= "ÿ"):
        return known or character
    return rf"\texttt{{U+{ord(character):04X}}}"


def _label(table: Table) -> str:
    return f"tab:{slug(table.key)}"


def _grid(table: Table) -> _Grid:
    """Return the table as it is printed: the other way round if it is wide and has few rows."""
    names = [name_of(row) for row in table.rows]
    headers = [column.header for column in table.columns]
    rows = [list(zip(row.cells, table.columns, strict=True)) for row in table.rows]
    if len(headers) >= WIDE and len(headers) > len(names):
        return _Grid(headers, names, rows, None)
    quoted = (i for i, row in enumerate(table.rows) if i and row.reference)
    return _Grid(
        names, headers, [list(cells) for cells in zip(*rows, strict=True)], next(quoted, None)
    )


def _column(cells: Sequence[tuple[Cell, Column]]) -> _Column:
    """Return a column as LaTeX: numbers aligned, their marks in a column of their own."""
    texts = [mean_and_interval(cell, column) for cell, column in cells]
    words = [column.kind in WORDS for _, column in cells]
    numbers = [
        None if word and not all(words) else number(*text)
        for word, text in zip(words, texts, strict=True)
    ]
    others = [escape(" ".join(filter(None, text))) for text in texts]
    if any(numbers):
        kind = f"S[table-format={table_format(filter(None, numbers))}]"
        body = [
            found or (f"{{{other}}}" if other else "")
            for found, other in zip(numbers, others, strict=True)
        ]
    else:
        kind, body = "l", others
    styled = [_styled(text, cell) for text, (cell, _) in zip(body, cells, strict=True)]
    marks = [_marks(cell) for cell, _ in cells]
    if not any(marks):
        return _Column(kind, False, styled)
    both = [f"{text} & {mark}" for text, mark in zip(styled, marks, strict=True)]
    return _Column(rf"{kind}@{{\hspace{{2pt}}}}l", True, both)


def _marks(cell: Cell) -> str:
    verdict = VERDICTS[cell.verdict] if cell.verdict else ""
    return escape(" ".join(filter(None, [dagger(cell) + verdict, p_value(cell)])))


def _styled(text: str, cell: Cell) -> str:
    """Return the best score bold, and a gain in grey where its interval includes zero."""
    if cell.best:
        return rf"\bfseries {text}"
    return rf"\color{{gray}} {text}" if cell.apart is False and text else text


def _first_column(grid: _Grid) -> str:
    long = any(len(name) > LONG_NAME for name in grid.first)
    return r">{\raggedright\arraybackslash}p{4.5cm}" if long else "l"


def _letters(grid: _Grid) -> int:
    """Return about how many letters the widest line of the table has."""
    columns = zip(grid.headers, grid.columns, strict=True)
    return max(map(len, grid.first)) + sum(
        2 + max(len(head), *(_length(cell, column) for cell, column in cells))
        for head, cells in columns
    )


def _length(cell: Cell, column: Column) -> int:
    return len(" ".join(filter(None, [*mean_and_interval(cell, column), p_value(cell)])))

r"""Tables for a paper: booktabs, one macro per cell, and a document that shows all of them.

A table with a column per class is wide: its headings are turned, and intervals stand under the
means. Whatever is wider than the line is scaled down to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bench.manifest import slug
from reports.model import Cell, Column, Table, TableRow
from reports.render.text import (
    VERDICTS,
    cell_text,
    dagger,
    mean_and_interval,
    name_of,
    notes_of,
)
from reports.wording import DAGGER, DASH, MINUS, PLUS_MINUS

PACKAGES = (
    "[T1]{fontenc}",
    "[utf8]{inputenc}",
    "{adjustbox}",
    "{array}",
    "{booktabs}",
    "{graphicx}",
    "{xcolor}",
)
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
    "'": r"\textquotesingle{}",
    "[": "{[}",  # at the start of a row it would be an option of the previous one
    PLUS_MINUS: r"$\pm$",
    MINUS: "$-$",
    DASH: r"\textendash{}",
    DAGGER: r"$^{\dagger}$",
    VERDICTS["differs"]: r"$\neq$",
    "…": r"\ldots{}",
    "×": r"$\times$",
    "’": "'",
}
DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
SIZE = r"width=\linewidth,height=0.75\textheight,keepaspectratio"
WIDE = 8
"""Smallest number of columns of a table in the wide form."""
LONG_NAME = 36
"""Number of letters beyond which the first column is broken into lines."""
MACRO_WORDS = 60
"""Largest number of letters in each part of a macro's name: a row may have any name."""


def latex(table: Table) -> str:
    """Return the table with its notes under it; it needs PACKAGES."""
    wide = len(table.columns) >= WIDE
    headers = [_header(column, turned=wide) for column in table.columns]
    lines = [
        r"\begin{table}[htbp]",
        r"\centering",
        rf"\caption{{{escape(f'{table.title}. {table.scale}')}}}",
        rf"\label{{tab:{slug(table.key)}}}",
        r"\medskip",
        r"\begin{adjustbox}{max width=\linewidth}",
        rf"\begin{{tabular}}{{{_first_column(table)}{'r' * len(table.columns)}}}",
        r"\toprule",
        " & ".join(["", *headers]) + r" \\",
        r"\midrule",
    ]
    for i, row in enumerate(table.rows):
        if i and row.reference and not table.rows[i - 1].reference:
            lines.append(r"\midrule")
        lines += _stacked(table, row) if wide else [_row(table, row)]
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{adjustbox}", ""]
    lines += [r"\smallskip", r"\begin{minipage}{\linewidth}", r"\footnotesize\raggedright"]
    lines += [rf"{escape(note)}\par" for note in notes_of(table)]
    return "\n".join([*lines, r"\end{minipage}", r"\end{table}"]) + "\n"


def document(tables: Sequence[Table]) -> str:
    """Return all tables, under a comment that names the packages they need."""
    head = [f"% \\usepackage{package}" for package in PACKAGES]
    return "\n".join([*head, "", *map(latex, tables)])


def macros(tables: Sequence[Table]) -> str:
    r"""Return a macro for each cell, such as ``\segTableOneRMIMiou``, that prints its text."""
    used: set[str] = set()
    lines = ["% One macro per cell: table, row, column. A paper that uses them follows a new run."]
    for table in tables:
        for row, column, cell in _cells(table):
            if not _cell(cell, column):
                continue
            name = _unused(macro_name(table.key, row.label, column.key), used)
            lines.append(rf"\newcommand{{\{name}}}{{{_cell(cell, column)}}}")
    return "\n".join(lines) + "\n"


def macro_name(table: str, row: str, column: str) -> str:
    """Return a name of letters alone, as TeX needs it: digits become words."""
    return f"segTable{_words(table)}{_words(row)}{_words(column)}"


def paper(title: str, figures: Sequence[tuple[str, str]]) -> str:
    """Return a document with every table and figure, for pdflatex.

    Args:
        title: Title of the document.
        figures: File and caption of each figure.
    """
    lines = [
        r"\documentclass{article}",
        r"\usepackage[margin=2.5cm]{geometry}",
        *(rf"\usepackage{package}" for package in PACKAGES),
        r"\renewcommand{\topfraction}{0.95}\renewcommand{\floatpagefraction}{0.8}",
        r"\input{macros}",
        rf"\title{{{escape(title)}}}\date{{}}\author{{}}",
        r"\begin{document}",
        r"\maketitle",
        r"\input{tables}",
        r"\clearpage",
    ]
    for file, caption in figures:
        lines += [
            r"\begin{figure}[htbp]",
            rf"\centering\includegraphics[{SIZE}]{{{file}}}",
            rf"\caption{{{escape(caption)}}}",
            r"\end{figure}",
        ]
    return "\n".join([*lines, r"\end{document}"]) + "\n"


def escape(value: str) -> str:
    """Return LaTeX that prints the text as it is.

    A character without a glyph in pdflatex is printed as its code point.
    """
    words = (re.sub(r"(\S{16})(?=\S)", "\\1\0", word) for word in value.split())
    # LaTeX would set two hyphens as a dash.
    return re.sub(r"-(?=-)", "-{}", "".join(map(_character, " ".join(words))))


def _character(character: str) -> str:
    if character == "\0":
        return r"\allowbreak{}"
    known = SPECIAL.get(character)
    if known or (" " <= character <= "~") or ("¡" <= character <= "ÿ"):
        return known or character
    return rf"\texttt{{U+{ord(character):04X}}}"


def _header(column: Column, *, turned: bool) -> str:
    text = rf"\textbf{{{escape(column.header)}}}"
    return rf"\rotatebox{{90}}{{{text}}}" if turned else text


def _first_column(table: Table) -> str:
    long = any(len(name_of(row)) > LONG_NAME for row in table.rows)
    return r">{\raggedright\arraybackslash}p{4.5cm}" if long else "l"


def _row(table: Table, row: TableRow) -> str:
    cells = [_bold(_cell(cell, column), cell) for _, column, cell in _cells_of(table, row)]
    return " & ".join([escape(name_of(row)), *cells]) + r" \\"


def _stacked(table: Table, row: TableRow) -> Iterator[str]:
    """Yield the row's means in one line and its intervals in a smaller line below."""
    texts = [(cell, *mean_and_interval(cell, column)) for _, column, cell in _cells_of(table, row)]
    means = [_bold(_shaded(escape(mean + dagger(cell)), cell), cell) for cell, mean, _ in texts]
    spreads = [spread for _, _, spread in texts]
    has_spreads = any(spreads)
    yield " & ".join([escape(name_of(row)), *means]) + (r" \\[-3pt]" if has_spreads else r" \\")
    if has_spreads:
        below = [rf"\scriptsize {escape(spread)}" if spread else "" for spread in spreads]
        yield " & ".join(["", *below]) + r" \\[2pt]"


def _cell(cell: Cell, column: Column) -> str:
    return _shaded(escape(cell_text(cell, column)), cell)


def _shaded(text: str, cell: Cell) -> str:
    """Return a gain in grey where its interval holds zero."""
    return rf"\textcolor{{gray}}{{{text}}}" if cell.apart is False and text else text


def _bold(text: str, cell: Cell) -> str:
    return rf"\textbf{{{text}}}" if cell.best else text


def _cells(table: Table) -> Iterator[tuple[TableRow, Column, Cell]]:
    for row in table.rows:
        yield from _cells_of(table, row)


def _cells_of(table: Table, row: TableRow) -> Iterator[tuple[TableRow, Column, Cell]]:
    for cell, column in zip(row.cells, table.columns, strict=True):
        yield row, column, cell


def _words(text: str) -> str:
    text = re.sub(r"\d", lambda digit: f" {DIGITS[int(digit[0])]} ", text)
    words = re.findall(r"[A-Za-z]+", text)
    return "".join(word[0].upper() + word[1:] for word in words)[:MACRO_WORDS]


def _unused(name: str, used: set[str]) -> str:
    """Return the name, with a suffix if it is used: rows may differ in symbols alone."""
    found, count = name, 0
    while found in used:
        count += 1
        found = f"{name}Again{_words(str(count))}"
    used.add(found)
    return found

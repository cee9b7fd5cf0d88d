r"""Tables for a paper: booktabs, one macro per cell, and a document that shows all of them.

A table with a column per class is wide: its headings are turned, and intervals stand under the
means. Whatever is wider than the line is scaled down to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bench.naming import slug
from reports.model import Cell, Column, Table, TableRow
from reports.render.terminal import VERDICTS, name_of, notes_of, parts, plain
from reports.wording import DAGGER, DASH, MINUS, PLUS_MINUS

PACKAGES = (
    "[T1]{fontenc}",
    "[utf8]{inputenc}",
    "{adjustbox}",
    "{array}",
    "{booktabs}",
    "{graphicx}",
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
    "[": "{[}",  # at the start of a row it would be an option of the row before
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
"""From so many columns on a table is set in the wide form."""
LONG_NAME = 36
MACRO_WORDS = 60
"""Letters of each part of a macro's name: a row may be called anything."""


def latex(table: Table) -> str:
    """The table with its notes under it; needs PACKAGES."""
    wide = len(table.columns) >= WIDE
    headers = [_header(column, turned=wide) for column in table.columns]
    lines = [
        r"\begin{table}[htbp]",
        r"\centering",
        rf"\caption{{{escape(table.caption)}}}",
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
    """All tables, under a comment that names what they need."""
    head = [f"% \\usepackage{package}" for package in PACKAGES]
    return "\n".join([*head, "", *map(latex, tables)])


def macros(tables: Sequence[Table]) -> str:
    r"""One macro per cell, ``\segTableOneRMIMiou`` say, that prints what the cell prints."""
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
    """Letters only, as TeX wants them: digits become words, all else begins a new word."""
    return f"segTable{_words(table)}{_words(row)}{_words(column)}"


def paper(title: str, figures: Sequence[tuple[str, str]]) -> str:
    """A document with every table and every (file, caption) of the figures; pdflatex sets it."""
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
    """The text as itself; a character that pdflatex has no glyph for is named by its code point."""
    words = (re.sub(r"(\S{16})(?=\S)", "\\1\0", word) for word in value.split())
    # Two hyphens are two, not a dash.
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
    """The row's means in one line, its intervals in a smaller one under them."""
    shown = [(cell, parts(cell, column)) for _, column, cell in _cells_of(table, row)]
    means = [_bold(escape(mean + DAGGER * cell.doubtful), cell) for cell, (mean, _) in shown]
    under = any(spread for _, (_, spread) in shown)
    yield " & ".join([escape(name_of(row)), *means]) + (r" \\[-3pt]" if under else r" \\")
    if under:
        spreads = [rf"\scriptsize {escape(spread)}" if spread else "" for _, (_, spread) in shown]
        yield " & ".join(["", *spreads]) + r" \\[2pt]"


def _cell(cell: Cell, column: Column) -> str:
    return escape(plain(cell, column))


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
    """The name itself the first time, then with a letter more: rows may differ by symbols only."""
    found, count = name, 0
    while found in used:
        count += 1
        found = f"{name}Again{_words(str(count))}"
    used.add(found)
    return found

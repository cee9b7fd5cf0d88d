"""Tables as text: terminal, Markdown, LaTeX, CSV, JSON. Outside text is escaped."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from collections.abc import Callable, Sequence

from reports.model import Cell, Column, Table
from reports.wording import DAGGER, DASH, MINUS, PLUS_MINUS, number

LATEX = {
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
    "[": "{[}",  # at the start of a row it would be an option of the row before
    PLUS_MINUS: r"$\pm$",
    MINUS: "$-$",
    DASH: "--",
    DAGGER: r"$^{\dagger}$",
}


def parts(cell: Cell, column: Column) -> tuple[str, str]:
    """A cell's main text and its interval (or ""), unescaped: ("52.14", "± 0.80")."""
    if cell.missing:
        return DASH, ""
    if cell.value is None:
        return cell.text or "", ""
    decimals = 1 if column.kind == "cost" else 2
    return number(cell.value, decimals=decimals, signed=column.kind == "gain")


def plain(cell: Cell, column: Column) -> str:
    """A cell in one line, with a dagger where its runs do not match their neighbours."""
    text = " ".join(filter(None, parts(cell, column)))
    return text + DAGGER if cell.doubtful else text


def text(table: Table) -> str:
    """The table aligned for a terminal, with its notes; control characters are dropped."""
    lines = [["", *(column.header for column in table.columns)]]
    for row in table.rows:
        cells = zip(row.cells, table.columns, strict=True)
        lines.append([_mark(row.name, row.reference), *(plain(*pair) for pair in cells)])
    lines = [[one_line(field) for field in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    printed = []
    for line in lines:
        fields = [field.rjust(width) for field, width in zip(line[1:], widths[1:], strict=True)]
        printed.append("  ".join([line[0].ljust(widths[0]), *fields]).rstrip())
    printed.insert(1, "-" * max(map(len, printed)))
    notes = [one_line(note) for note in table.notes]
    return "\n".join([one_line(table.caption), "", *printed, "", *notes]) + "\n"


def markdown(table: Table) -> str:
    """The table in GitHub's Markdown, best cells bold, notes as a list."""
    lines = [
        _pipes(["", *(escape_markdown(column.header) for column in table.columns)]),
        _pipes([":--", *("--:" for _ in table.columns)]),
    ]
    for row in table.rows:
        cells = [
            f"**{escaped}**" if cell.best else escaped
            for cell, column in zip(row.cells, table.columns, strict=True)
            for escaped in [escape_markdown(plain(cell, column))]
        ]
        lines.append(_pipes([escape_markdown(_mark(row.name, row.reference)), *cells]))
    notes = [f"- {escape_markdown(note)}" for note in table.notes]
    return (
        "\n".join(
            [
                f"**{escape_markdown(table.title)}.** {escape_markdown(table.scale)}",
                "",
                *lines,
                "",
                *notes,
            ]
        )
        + "\n"
    )


def latex(table: Table) -> str:
    """The table for LaTeX with the booktabs package; notes stand under it."""
    headers = [rf"\textbf{{{escape_latex(column.header)}}}" for column in table.columns]
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex(table.caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        r"\toprule",
        " & ".join(["", *headers]) + r" \\",
        r"\midrule",
    ]
    for i, row in enumerate(table.rows):
        if i and row.reference and not table.rows[i - 1].reference:
            lines.append(r"\midrule")
        cells = [
            rf"\textbf{{{escaped}}}" if cell.best else escaped
            for cell, column in zip(row.cells, table.columns, strict=True)
            for escaped in [escape_latex(plain(cell, column))]
        ]
        lines.append(" & ".join([escape_latex(_mark(row.name, row.reference)), *cells]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", "", r"\smallskip", r"\footnotesize"]
    lines += [escape_latex(note) + r"\\" for note in table.notes]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def rows_csv(tables: Sequence[Table]) -> str:
    """All cells of all tables, one line each, with the full numbers."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["table", "row", "column", "source", "text", "mean", "half_width", "n", "same_conditions"]
    )
    for table in tables:
        for row in table.rows:
            for cell, column in zip(row.cells, table.columns, strict=True):
                paper = row.reference or column.kind == "paper"
                value = cell.value
                if value is None and not cell.text and not cell.missing:
                    continue
                numbers = (value.mean, value.half_width, value.n or "") if value else ("", "", "")
                start = [table.key, row.label, column.key, "paper" if paper else "ours"]
                writer.writerow([*start, cell.text or "", *numbers, not cell.doubtful])
    return out.getvalue()


def tables_json(tables: Sequence[Table]) -> str:
    """All tables as they are in memory."""
    content = [dataclasses.asdict(table) for table in tables]
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def document(tables: Sequence[Table], render: Callable[[Table], str]) -> str:
    """All tables through one renderer."""
    return "\n".join(render(table) for table in tables)


def one_line(value: str) -> str:
    """The text without line breaks and control characters: safe to print to a terminal."""
    return "".join(filter(str.isprintable, " ".join(value.split())))


def escape_markdown(value: str) -> str:
    """The text as itself in Markdown: no markup, no HTML, no new cell."""
    value = " ".join(value.split())
    value = value.replace("&", "&amp;").replace("<", "&lt;")
    value = re.sub(r"([\\`*\[\]|~$>])", r"\\\1", value)
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", value)


def escape_latex(value: str) -> str:
    """The text as itself in LaTeX."""
    return "".join(LATEX.get(character, character) for character in " ".join(value.split()))


def _pipes(fields: Sequence[str]) -> str:
    return "| " + " | ".join(fields) + " |"


def _mark(name: str, reference: bool) -> str:
    return f"{name} (paper)" if reference else name

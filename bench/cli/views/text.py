"""Prose for people: wrapped at words on a terminal; in a pipe each line stays whole for grep."""

from __future__ import annotations

import shutil
import sys
import textwrap

import typer

WIDEST = 100
"""Longest line in letters: longer ones are hard to read."""


def say(text: str, *, err: bool = False) -> None:
    """Print a text; on a terminal its long lines of prose are wrapped at words.

    Args:
        text: one line or several.
        err: whether it goes to the standard error output.
    """
    stream = sys.stderr if err else sys.stdout
    typer.echo(wrapped(text, width_of_terminal()) if stream.isatty() else text, err=err)


def say_on_terminal(text: str) -> None:
    """Print a line to standard error on a terminal; print nothing in a pipe."""
    if sys.stderr.isatty():
        say(text, err=True)


def width_of_terminal() -> int:
    """Return the number of letters in a line of prose."""
    return min(WIDEST, shutil.get_terminal_size((80, 24)).columns)


def wrapped(text: str, width: int) -> str:
    """Return a text with its lines of prose wrapped at words, further lines indented.

    Lines of a table, whose columns lie two spaces or more apart, stay whole.
    """
    return "\n".join(_wrapped_line(line, width) for line in text.split("\n"))


def _wrapped_line(line: str, width: int) -> str:
    body = line.lstrip()
    if len(line) <= width or "  " in body.rstrip():
        return line
    indent = line[: len(line) - len(body)]
    return textwrap.fill(
        body,
        width,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )

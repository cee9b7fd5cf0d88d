"""A mark for the status of a run: a shape, or a letter where a console has no shapes."""

from __future__ import annotations

import sys
from collections.abc import Iterable

# Shape, letter and style of each status. Shapes tell them apart without colours; consoles without
# shapes get the letters.
SYMBOLS = {
    "finished": ("●", "#", "green"),
    "running": ("▶", ">", "bold cyan"),
    "queued": ("·", ".", "dim"),
    "interrupted": ("‖", "=", "yellow"),
    "diverged": ("∞", "~", "magenta"),
    "failed": ("✗", "X", "bold red"),
}


def mark(status: str, *, plain: bool) -> tuple[str, str]:
    """Return the mark of a status and its style."""
    shape, letter, style = SYMBOLS[status]
    return letter if plain else shape, style


def legend(statuses: Iterable[str], *, plain: bool) -> str:
    """Return the marks of these statuses with their meaning, in one line."""
    found = set(statuses)
    return "  ".join(f"{mark(s, plain=plain)[0]} {s}" for s in SYMBOLS if s in found)


def is_plain() -> bool:
    """Return whether the standard output cannot show the shapes."""
    try:
        "".join(shape for shape, *_ in SYMBOLS.values()).encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return True
    return False

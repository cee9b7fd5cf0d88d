"""Short forms of a profile's [data] section, and the files of class names that it may name.

A class file is a text file with a class on each line, a name alone or "name,red,green,blue"; or a
JSON file with a list of names, or with {"0": "name", "1": …} as Hugging Face's id2label.json has.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from bench.data_spec import FOLD
from bench.errors import SpecError


def expand(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a profile's [data] section with its short forms written out.

    Args:
        data: The section: ``splits`` may be a table, ``classes`` the name of a file, colours
            "#rrggbb"; ``folds`` scores the fold.
        folder: The folder that a file of classes is looked for in.

    Raises:
        SpecError: The file of classes is missing or damaged.
    """
    data = dict(data)
    if isinstance(data.get("splits"), dict):
        data["splits"] = [list(pair) for pair in data["splits"].items()]
    if isinstance(data.get("classes"), str):
        names, colours = read_classes(folder / data["classes"])
        data["classes"] = names
        if colours:
            data.setdefault("colours", colours)
    for key in ("colours", "ignored_colours"):
        if isinstance(data.get(key), list):
            data[key] = [_colour(colour) for colour in data[key]]
    if data.get("folds") is not None:
        data.setdefault("evaluate", FOLD)
    return data


def read_classes(path: Path) -> tuple[list[str], list[list[int]]]:
    """Return the names of a class file, and their colours; no colours if it has none.

    Raises SpecError if the file is missing or damaged.
    """
    try:
        text = path.read_text("utf-8-sig")
        if path.suffix.lower() == ".json":
            return _names(json.loads(text)), []
        rows = [_row(line) for line in text.splitlines() if line.strip()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SpecError(
            f"data.classes: {path} cannot be read as a list of classes: {reason}"
        ) from None
    coloured = [colour for _, colour in rows if colour]
    if coloured and len(coloured) < len(rows):
        raise SpecError(f"data.classes: {path}: only some of the classes have a colour")
    return [name for name, _ in rows], coloured


def _names(found: Any) -> list[str]:
    if isinstance(found, dict):
        return [str(found[str(label)]) for label in range(len(found))]
    return [str(name) for name in found]


def _row(line: str) -> tuple[str, list[int]]:
    """Return the name of a line and its colour; an empty one if the line has none."""
    found = re.fullmatch(r"\s*(.*?)[\s,;]+(\d{1,3})[\s,;]+(\d{1,3})[\s,;]+(\d{1,3})\s*", line)
    return (found[1], [int(found[n]) for n in (2, 3, 4)]) if found else (line.strip(), [])


def _colour(colour: Any) -> Any:
    """Return (red, green, blue) of "#rrggbb"; anything else unchanged."""
    if isinstance(colour, str) and re.fullmatch("#[0-9a-fA-F]{6}", colour):
        return list(bytes.fromhex(colour[1:]))
    return colour

"""How the parts of a run behaved, as its probes.json says; of a damaged one nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.files import read_json

Part = dict[str, Any]
"""{"text": …, "numbers": …}; where the part cannot be tried, "fault" instead of numbers."""
Record = dict[str, Any]
"""{"form": number, "parts": {name: Part}}"""


def recorded(file: Path) -> Record | None:
    """Return the record in a probes.json; None if it is missing or damaged."""
    record = read_json(file)
    parts = record.get("parts") if isinstance(record, dict) else None
    if not isinstance(parts, dict) or "form" not in record:
        return None
    return record if all(map(_is_part, parts.values())) else None


def _is_part(part: Any) -> bool:
    text = part.get("text") if isinstance(part, dict) else None
    if not isinstance(text, dict):
        return False
    for kind in ("files", "packages"):
        names = text.get(kind)
        if not isinstance(names, dict) or not all(isinstance(n, str) for n in names.values()):
            return False
    numbers = part.get("numbers", {})
    return isinstance(numbers, dict) and all(map(_is_group, numbers.values()))


def _is_group(group: Any) -> bool:
    if not isinstance(group, dict) or not isinstance(group.get("values"), list):
        return False
    return all(isinstance(x, int | float) for x in (group.get("within"), *group["values"]))

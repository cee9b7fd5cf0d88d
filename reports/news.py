"""What is new in a study since a moment."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from bench.errors import SpecError
from bench.manifest import Manifest
from reports.frame import values

if TYPE_CHECKING:
    import pandas as pd

UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True)
class News:
    """The runs that finished since a moment."""

    since: str
    lines: tuple[str, ...]
    """One per run: when, which row and seed, its score."""
    mlflow_run_ids: frozenset[str]


def moment(text: str, now: datetime | None = None) -> datetime:
    """What "yesterday", "today", "8h", "90m", "2d" or an ISO date means, in local time.

    "yesterday" and "today" are those days' midnights. Raises SpecError for anything else.
    """
    now = now or datetime.now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    days = {"today": 0, "yesterday": 1}
    if text.lower() in days:
        return midnight - timedelta(days=days[text.lower()])
    try:
        if span := re.fullmatch(r"(\d{1,6})([mhd])", text):
            return now - timedelta(**{UNITS[span[2]]: int(span[1])})
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise SpecError(
            f"--since {text}: no moment such as yesterday, 8h, 2026-05-01 or 2026-05-01T22:00"
        ) from None
    return found.astimezone().replace(tzinfo=None) if found.tzinfo else found


def news(manifest: Manifest, frame: pd.DataFrame, since: datetime) -> News:
    """The finished runs of a study whose last word came after ``since``, oldest first."""
    over = frame.loc[frame["status"] == "finished", :]
    over = over.loc[over["updated"] > since.timestamp(), :].sort_values("updated", kind="stable")
    lines = []
    for run in over.to_dict("records"):
        score = values(frame, run["label"], f"final/{manifest.metric}").get(run["seed"])
        shown = "" if score is None else f": {manifest.metric} {100 * score:.2f}"
        when = datetime.fromtimestamp(run["updated"]).strftime("%Y-%m-%d %H:%M")
        lines.append(f"{when}  {run['label']}, seed {run['seed']}{shown}")
    said = since.strftime("%Y-%m-%d %H:%M")
    return News(said, tuple(lines), frozenset(over["mlflow_run_id"]))

"""The runs of a study that finished after a moment."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from bench.errors import SpecError
from bench.iou import HEADLINE
from reports.model import News
from reports.statistics.scores import Scores

UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def moment(text: str, now: datetime | None = None) -> datetime:
    """Return the moment that ``--since`` names, in local time.

    Args:
        text: "yesterday" or "today" (the midnight that begins the day), a span such as "8h",
            "90m" or "2d", or an ISO date with or without a time.
        now: The present; the clock's if None.

    Raises:
        SpecError: The text is none of these.
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
        found = found.astimezone().replace(tzinfo=None) if found.tzinfo else found
        found.timestamp()  # of the year 1 it is out of range
    except (ValueError, OverflowError):
        raise SpecError(
            f"--since {text}: not a moment; write one such as yesterday, 8h, 2026-05-01 or "
            "2026-05-01T22:00"
        ) from None
    return found


def news(scores: Scores, since: datetime) -> News:
    """Return the runs of a study that finished after ``since``, oldest first."""
    frame, metric = scores.frame, scores.manifest.metric
    over = frame.loc[frame["status"] == "finished", :]
    over = over.loc[over["updated"] > since.timestamp(), :].sort_values("updated", kind="stable")
    lines = []
    for run in over.to_dict("records"):
        score = scores.of(run["label"], HEADLINE).get(run["seed"])
        result = "" if score is None else f": {metric} {score:.2f}"
        when = datetime.fromtimestamp(run["updated"]).strftime("%Y-%m-%d %H:%M")
        lines.append(f"{when}  {run['label']}, seed {run['seed']}{result}")
    start = since.strftime("%Y-%m-%d %H:%M")
    return News(start, tuple(lines), frozenset(over["mlflow_run_id"]))

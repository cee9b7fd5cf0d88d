"""The time at which a session has to end, as the command line gives it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from bench.errors import SpecError


def deadline(until: str | None, budget: str | None, now: datetime | None = None) -> float | None:
    """Return the end of a session in seconds since the epoch, None where neither is given.

    Args:
        until: a time of day such as "07:00"; tomorrow's if it has passed today.
        budget: a span of time such as "8h" or "1h30m"; the earlier of both counts.
        now: the time to count from.

    Raises:
        SpecError: One of them is no time.
    """
    now = now or datetime.now()
    ends = []
    if until is not None:
        ends.append(_next_at(until, now))
    if budget is not None:
        ends.append(now + _span(budget))
    return min(ends).timestamp() if ends else None


def _next_at(clock: str, now: datetime) -> datetime:
    try:
        at = datetime.strptime(clock, "%H:%M").time()
    except ValueError:
        raise SpecError(f"--until {clock}: not a time of day such as 07:00") from None
    end = datetime.combine(now.date(), at)
    return end if end > now else end + timedelta(days=1)


def _span(text: str) -> timedelta:
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    if not match or not any(match.groups()):
        raise SpecError(f"--budget {text}: not a span of time such as 8h, 1h30m or 90s")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)

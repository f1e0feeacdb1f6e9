"""Time as it is written down: RFC 3339 in UTC for machines, Beijing time for people and for what the law counts in days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

BEIJING = timezone(timedelta(hours=8), "CST")


def shown_time(moment: datetime) -> str:
    """``2026-11-21T08:00:00Z``: whole seconds; what is below a second is cut off.

    ``moment`` knows its zone.
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

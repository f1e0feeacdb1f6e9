"""How old something is, in words that a clerk reads at a glance."""

from __future__ import annotations

from datetime import datetime

_UNITS = ((86_400, "day", "天"), (3600, "hour", "小时"), (60, "minute", "分钟"))


def spoken(since: datetime, now: datetime) -> tuple[str, str]:
    """The time from ``since`` to ``now`` in English and Chinese: ``("3 hours", "3 小时")``, rounded down; never negative."""
    seconds = max(0, int((now - since).total_seconds()))
    for size, word, word_zh in _UNITS:
        if seconds >= size:
            count = seconds // size
            return f"{count} {word}{'' if count == 1 else 's'}", f"{count} {word_zh}"
    return "less than a minute", "不到 1 分钟"

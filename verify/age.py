"""How old something is and whose word it is, in words that a clerk reads at a glance."""

from __future__ import annotations

from datetime import datetime

from formats.dates import shown_time
from formats.regions import region_name

_UNITS = ((86_400, "day", "天"), (3600, "hour", "小时"), (60, "minute", "分钟"))


def spoken(since: datetime, now: datetime) -> tuple[str, str]:
    """The time from ``since`` to ``now`` in English and Chinese: ``("3 hours", "3 小时")``, rounded down; never negative."""
    seconds = max(0, int((now - since).total_seconds()))
    for size, word, word_zh in _UNITS:
        if seconds >= size:
            count = seconds // size
            return f"{count} {word}{'' if count == 1 else 's'}", f"{count} {word_zh}"
    return "less than a minute", "不到 1 分钟"


def on_whose_word(region: str, as_of: datetime, now: datetime) -> tuple[str, str]:
    """That the status list of a region says so, and how old it is; in English and Chinese."""
    (age, age_zh), (name, name_zh), at = spoken(as_of, now), region_name(region), shown_time(as_of)
    return f"So says the status list of {name}, {age} old ({at}).", f"依据{name_zh}的状态列表，距今{age_zh}（{at}）。"

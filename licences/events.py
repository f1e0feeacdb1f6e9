"""The life of a licence as events: what was decided, when it was recorded, from when it counts.

Two times are kept. An event counts from its *effective* time and is known from its *recorded* time, so that both "was it valid
on that day, as we know today?" and "what did the register say on that day?" have an answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from typing import Protocol

from crypto.errors import BadInput, Conflict
from formats.dates import BEIJING
from verify.schemas import LicenceStatus

IN_FORCE, SUSPENDED, WITHDRAWN, SUPERSEDED = "in-force", "suspended", "withdrawn", "superseded"
_FINAL = frozenset({WITHDRAWN, SUPERSEDED})

REVOCATIONS = {
    "撤销": "annulled: it should never have been issued",
    "撤回": "withdrawn: the law or the facts changed",
    "吊销": "forfeited as a penalty",
    "注销": "cancelled at its end",
}
"""The four ways in which a licence ends early. Only 撤销 may act on the past."""


class LicenceStateRefused(Conflict):
    """The licence's present state does not allow this."""

    code = "licence-state"


class BadEffectiveTime(BadInput):
    """A decision cannot count from the time given."""

    code = "bad-effective-time"


class Event(Protocol):
    """A row of ``licence_events``."""

    @property
    def state(self) -> str: ...
    @property
    def state_zh(self) -> str: ...
    @property
    def effective_at(self) -> datetime: ...
    @property
    def recorded_at(self) -> datetime: ...


class Licence(Protocol):
    """What the state depends on besides the events."""

    @property
    def identifier(self) -> str: ...
    @property
    def region(self) -> str: ...
    @property
    def valid_from(self) -> datetime: ...
    @property
    def valid_to(self) -> datetime | None: ...
    @property
    def document_sha256(self) -> str: ...


def state_at(
    licence: Licence, type_name: str, events: Iterable[Event], at: datetime, *, known_at: datetime | None = None
) -> LicenceStatus | None:
    """How a licence stood at a time; None before it was issued.

    An end (撤销, 撤回, 吊销, 注销, 变更) that counts at that time prevails over whatever else does, the one recorded last over
    earlier ones; among the others the last to take effect counts.

    :param known_at: leave out what was recorded later: what the register said then
    """
    counting = [e for e in events if e.effective_at <= at and (known_at is None or e.recorded_at <= known_at)]
    if not counting:
        return None
    ends = [e for e in counting if e.state in _FINAL]
    event = max(ends, key=lambda e: e.recorded_at) if ends else max(counting, key=lambda e: (e.effective_at, e.recorded_at))
    status, state_zh, since = event.state, event.state_zh, event.effective_at
    if not ends and licence.valid_to is not None and at > licence.valid_to:
        status, state_zh, since = "expired", "失效", licence.valid_to
    elif status == IN_FORCE and at < licence.valid_from:
        status, state_zh, since = "not-yet-valid", "未生效", licence.valid_from
    documents = (licence.document_sha256,)
    return LicenceStatus(licence.identifier, type_name, status, state_zh, since, licence.region, "register", documents)


def effective_time(kind: str, wanted: datetime | date | None, *, issued_at: datetime, now: datetime) -> datetime:
    """From when a revocation counts.

    A day counts from its first moment, local time. 撤销 may reach back, to the issue at most; the others act forward.

    :raises BadEffectiveTime: unknown kind, or a past day for a kind that acts forward
    """
    if kind not in REVOCATIONS:
        raise BadEffectiveTime(
            f"A licence ends early by one of {', '.join(REVOCATIONS)}.", f"终止方式为{'、'.join(REVOCATIONS)}之一。"
        )
    if wanted is None:
        return now
    moment = wanted if isinstance(wanted, datetime) else datetime.combine(wanted, time(), BEIJING)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=BEIJING)
    if kind == "撤销":
        return max(moment, issued_at)
    if not isinstance(wanted, datetime) and wanted >= now.date():
        return max(moment, now)
    # "Today" is today where the clerk sits or where the server's clock says it is: either is no backdating.
    if all(moment.astimezone(zone).date() < now.astimezone(zone).date() for zone in (BEIJING, UTC)):
        raise BadEffectiveTime(
            f"{kind} acts from today on; only 撤销 may act on the past.", f"{kind}自决定之日起生效；只有撤销可以溯及既往。"
        )
    return max(moment, now)


def check_may_end(events: Iterable[Event], kind: str, effective: datetime) -> None:
    """:raises LicenceStateRefused: it has ended already (an annulment from an earlier day may still be recorded)"""
    ends = [e for e in events if e.state in _FINAL]
    if ends and not (kind == "撤销" and all(effective < e.effective_at for e in ends)):
        raise _ended(max(ends, key=lambda e: e.recorded_at))


def check_alive(events: Iterable[Event]) -> None:
    """:raises LicenceStateRefused: it has ended, or its end is decided"""
    ends = [e for e in events if e.state in _FINAL]
    if ends:
        raise _ended(max(ends, key=lambda e: e.recorded_at))


def _ended(event: Event) -> LicenceStateRefused:
    day = event.effective_at.astimezone(BEIJING).date()
    return LicenceStateRefused(
        f"The licence ended on {day} ({event.state_zh}); this cannot be done any more.",
        f"该证照已于 {day} {event.state_zh}，不能再执行此操作。",
        state=event.state,
        since=day.isoformat(),
    )

"""What happened, for other systems: events written in the transaction of what they tell of, numbered and sent afterwards.

A notice that is sent inside a transaction may tell of what was then rolled back; one sent after it may be lost to a crash. So
:meth:`Outbox.add` only writes a row, and the worker numbers rows (:meth:`Outbox.number`) and hands each to whoever asked for it
in the transaction that numbers it. An event says which object changed and how it stands now: identifiers, digests and states,
never a person or a document's content; who may know more asks for the object.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from crypto.errors import BadInput
from formats.canonical import canonical_json, rfc3339
from store.db import utc_now
from store.ids import new_id
from store.models import EventRow

MAX_BYTES = 16_384
"""Of subject and data as canonical JSON; an event is a notice, not a delivery of documents."""

_KIND = re.compile(r"[a-z][a-z-]*\.[a-z][a-z-]*")
_NEW_EVENT = sa.insert(cast(sa.Table, EventRow.__table__))


class BadEvent(BadInput):
    """An event that cannot be written like this."""

    code = "bad-event"


@dataclass(frozen=True)
class Event:
    """An event as it is shown and sent; ``seq`` is None until the worker has numbered it."""

    id: str
    seq: int | None
    at: datetime
    kind: str
    department: str | None
    matter: str | None
    subject: dict[str, str]
    data: dict[str, Any]

    @classmethod
    def of(cls, row: EventRow) -> Event:
        """The event in a row."""
        return cls(row.id, row.seq, row.at, row.kind, row.department, row.matter, row.subject, row.data)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return {**vars(self), "at": rfc3339(self.at)}


class Outbox:
    """The events of one region."""

    def __init__(self, region: str, *, now: Callable[[], datetime] = utc_now) -> None:
        self.region = region
        self._now = now

    def add(
        self,
        session: Session,
        kind: str,
        subject: Mapping[str, str],
        data: Mapping[str, Any],
        *,
        department: str | None = None,
        matter: str | None = None,
    ) -> str:
        """Write an event in the caller's transaction; its identifier.

        :param kind: ``room.verb`` (``application.sealed``, ``impression.voided``)
        :param subject: the objects it speaks of, by name: ``application``, ``impression``, ``seal``, ``licence``, ``document``
        :param data: plain JSON without floats: the new state, digests, codes; nothing personal
        :param department: whose members may know of it (identifier or social credit code); ``data["department"]`` by default
        :param matter: ``data["matter"]`` by default
        :raises BadEvent: a kind that is none, or more than :data:`MAX_BYTES`
        :raises NotCanonical: ``data`` has no canonical JSON
        """
        if not _KIND.fullmatch(kind) or len(kind) > 64:
            raise BadEvent("An event's kind is room.verb, such as impression.voided.", "事件类型的形式为 room.verb。")
        if len(canonical_json([dict(subject), dict(data)]).encode()) > MAX_BYTES:
            raise BadEvent(
                f"An event has at most {MAX_BYTES} bytes; name the objects instead of copying them.",
                f"事件不得超过 {MAX_BYTES} 字节；请只列出对象编号。",
            )
        event_id = new_id("event")
        row = {
            "id": event_id,
            "region": self.region,
            "at": self._now(),
            "kind": kind,
            "department": department or data.get("department"),
            "matter": matter or data.get("matter"),
            "impression_id": subject.get("impression"),
            "seal_id": subject.get("seal"),
            "subject": dict(subject),
            "data": dict(data),
        }
        session.connection().execute(_NEW_EVENT, row)
        return event_id

    def number(self, session: Session, *, batch: int = 200) -> list[EventRow]:
        """Number events that wait, oldest first, in the caller's transaction; the rows that got their number now.

        Whoever reads events by number misses none: a number is given after all lower ones were committed.
        """
        waiting = session.scalars(
            sa.select(EventRow)
            .where(EventRow.region == self.region, EventRow.seq.is_(None))
            .order_by(EventRow.at, EventRow.id)
            .limit(batch)
        ).all()
        if waiting:
            last = session.scalar(sa.select(sa.func.max(EventRow.seq)).where(EventRow.region == self.region))
            for number, row in enumerate(waiting, start=(last or 0) + 1):
                row.seq = number
        return list(waiting)

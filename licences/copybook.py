"""The book of copies: how a copy ends, and how what happens to a licence reaches the copies of it.

Everything here runs in the caller's transaction, so that an authorisation and the copies that rest on it end together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.orm import Session

from licences.events import IN_FORCE, SUPERSEDED, WITHDRAWN
from licences.holding_models import CopyRow, GrantRow
from licences.models import LicenceEventRow, LicencePersonRow, LicenceRow
from licences.standing import OWNERS, line_of, newest, onward, state_of
from licences.statuslists import VALUES
from store.audit import AuditLog
from store.db import utc_now
from store.outbox import Outbox
from verify.schemas import LicenceStatus, StatusRef

NODE = "system"
"""Who acts where one thing follows from another."""


class StatusBook(Protocol):
    """The published status lists; ``licences.statuslists`` fills it."""

    def allot(self, session: Session, intent_id: str | None = None) -> StatusRef: ...

    def set(self, session: Session, ref: StatusRef, value: int, *, at: datetime | None = None) -> None: ...


class CopyBook:
    """Copies and grants as they end. One instance serves all threads."""

    def __init__(
        self,
        audit: AuditLog,
        outbox: Outbox,
        statuses: StatusBook,
        *,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.audit = audit
        self.outbox = outbox
        self.statuses = statuses
        self._now = now
        self.followers: list[Callable[[Session, Sequence[GrantRow], str, str | None], None]] = []
        """Told of grants that ended, by whom and under which rule, in the same transaction."""

    def end(self, session: Session, copies: Iterable[CopyRow], status: str, *, actor: str, rule: str | None) -> int:
        """End copies for good: their places in the status list say so, other systems are told; how many were alive."""
        ended = 0
        for copy in copies:
            if copy.status != "active":
                continue
            ended += 1
            copy.status, copy.ended_at = status, self._now()
            value = VALUES[SUPERSEDED if status == "superseded" else WITHDRAWN]
            self.statuses.set(session, StatusRef(copy.status_uri, copy.status_index), value)
            subject = {"copy": copy.id, "licence": copy.licence_id}
            self.audit.append(session, kind="copy.ended", actor=actor, subject=subject, data={"status": status}, rule=rule)
            self.outbox.add(session, "copy.ended", subject, {"status": status}, department=_issuer(copy.line))
        session.flush()
        return ended

    def withdraw(
        self, session: Session, grants: Iterable[GrantRow], *, actor: str, rule: str | None, why: str
    ) -> list[GrantRow]:
        """End grants, whatever rests on them, and all their copies, at once; the grants that ended.

        :param why: withdrawn, given-up, representative-changed
        """
        ended = [one for one in onward(session, list(grants)) if one.withdrawn_at is None]
        for number, one in enumerate(ended):
            one.withdrawn_at, one.withdrawn_by = self._now(), actor
            one.withdrawn_why = why if one.parent is None or number == 0 else "giver-withdrawn"
            subject = {"grant": one.id, "licence": one.licence_id}
            self.audit.append(
                session, kind="grant.withdrawn", actor=actor, subject=subject, data={"why": one.withdrawn_why}, rule=rule
            )
            self.outbox.add(session, "grant.withdrawn", subject, {"status": "withdrawn"}, department=_issuer(one.line))
        resting = sa.select(CopyRow).where(CopyRow.grant_id.in_([one.id for one in ended]), CopyRow.status == "active")
        self.end(session, session.scalars(resting).all(), "withdrawn", actor=actor, rule=rule)
        for follow in self.followers:
            follow(session, ended, actor, rule)
        return ended

    def follow(self, session: Session, licence: LicenceRow) -> None:
        """Something was decided about a licence: its copies' places in the status list say what counts now.

        After a change 变更 the copies of the old version end, and what an earlier representative authorised ends with the
        office: the new one has not agreed to it.
        """
        copies = session.scalars(sa.select(CopyRow).where(CopyRow.licence_id == licence.id, CopyRow.status == "active")).all()
        state = state_of(session, licence, self._now())
        if state is not None and state.status == SUPERSEDED:
            self.end(session, copies, "superseded", actor=NODE, rule=None)
            self._of_earlier_owners(session, licence)
            return
        for copy in copies:
            self.say(session, copy, licence)

    def say(self, session: Session, copy: CopyRow, licence: LicenceRow) -> None:
        """A copy's place in the status list says what its licence does, from now on and from later days as decided."""
        now, ref = self._now(), StatusRef(copy.status_uri, copy.status_index)
        state = state_of(session, licence, now)
        self.statuses.set(session, ref, _value(state))
        events = sa.select(LicenceEventRow).where(LicenceEventRow.licence_id == licence.id, LicenceEventRow.effective_at > now)
        for event in session.scalars(events.order_by(LicenceEventRow.recorded_at)):
            self.statuses.set(session, ref, VALUES[event.state], at=event.effective_at)

    def _of_earlier_owners(self, session: Session, old: LicenceRow) -> None:
        """Withdraw what those authorised who are no owners of the newest version any more."""
        line = line_of(old)
        present = set(
            session.scalars(
                sa.select(LicencePersonRow.person).where(
                    LicencePersonRow.licence_id == newest(session, line).id, LicencePersonRow.relation.in_(OWNERS)
                )
            )
        )
        given = session.scalars(
            sa.select(GrantRow).where(GrantRow.line == line, GrantRow.withdrawn_at.is_(None), GrantRow.parent.is_(None))
        ).all()
        orphans = [one for one in given if one.giver not in present]
        self.withdraw(session, orphans, actor=NODE, rule=None, why="representative-changed")


def _value(state: LicenceStatus | None) -> int:
    """Expired and not yet valid are in force here: a credential says itself from when and until when it counts."""
    return VALUES.get(state.status, VALUES[IN_FORCE]) if state else VALUES[IN_FORCE]


def _issuer(line: str) -> str:
    return line.split("/")[1]

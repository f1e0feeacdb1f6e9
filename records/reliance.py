"""Who relied on which sealed document: systems that verified it here, signed in, and found it good."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from people.schemas import Actor
from records.models import RelianceRow
from seals.models import ImpressionRow
from store.audit import AuditLog
from store.db import Database, utc_now
from store.models import EventRow

_FALLING = ("impression.", "seal.", "licence.")
"""Kinds of events that a relying party is told: what became of the document, its seal, its licence; nothing of applications."""


class Reliances:
    """Notes who verified what, and answers whether an event touches it."""

    def __init__(self, db: Database, audit: AuditLog, region: str, *, now: Callable[[], datetime] = utc_now) -> None:
        self.db = db
        self.audit = audit
        self.region = region
        self._now = now

    def note(self, actor: Actor, revisions: Collection[str]) -> int:
        """Remember that a system verified these documents; how many were new. People and documents of others are not noted.

        :param revisions: SHA-256 (hex) of each file up to the end of what a signature covers
        """
        if actor.kind != "system" or not revisions:
            return 0
        with self.db.read() as session:
            if not self._new(session, actor, revisions):
                return 0

        def write(session: Session) -> int:
            new = self._new(session, actor, revisions)
            for row in new:
                session.add(
                    RelianceRow(
                        account_id=actor.id,
                        impression_id=row.id,
                        seal_id=row.seal_id,
                        region=self.region,
                        first_at=self._now(),
                    )
                )
                subject = {"impression": row.id, "account": actor.id}
                self.audit.append(session, kind="impression.relied-on", actor=actor.id, subject=subject, data={})
            return len(new)

        return self.db.run(write)

    def _new(self, session: Session, actor: Actor, revisions: Collection[str]) -> list[ImpressionRow]:
        known = sa.select(RelianceRow.impression_id).where(RelianceRow.account_id == actor.id)
        statement = sa.select(ImpressionRow).where(
            ImpressionRow.revision_sha256.in_(list(revisions)[:64]),
            ImpressionRow.region == self.region,
            ImpressionRow.id.not_in(known),
        )
        return list(session.scalars(statement))


def relied(session: Session, account_id: str, event: EventRow) -> bool:
    """Whether the account verified the document that an event speaks of."""
    if not event.kind.startswith(_FALLING):
        return False
    of_event = (
        RelianceRow.seal_id == event.seal_id
        if event.kind.startswith("seal.")
        else RelianceRow.impression_id == event.impression_id
    )
    found = sa.select(RelianceRow.impression_id).where(RelianceRow.account_id == account_id, of_event).limit(1)
    return session.scalar(found) is not None


def relied_events(account_id: str) -> sa.ColumnElement[bool]:
    """:func:`relied` as a condition on ``events``, for lists."""
    own = sa.select(RelianceRow.impression_id).where(RelianceRow.account_id == account_id)
    seals = sa.select(RelianceRow.seal_id).where(RelianceRow.account_id == account_id)
    falling = sa.or_(*(EventRow.kind.startswith(room) for room in _FALLING))
    return sa.or_(
        sa.and_(falling, EventRow.impression_id.in_(own)),
        sa.and_(EventRow.kind.startswith("seal."), EventRow.seal_id.in_(seals)),
    )

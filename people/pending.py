"""What is begun in one request and ended in a later one, once: challenges of passkeys, sign-ins elsewhere, enrolment codes."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from people.errors import TicketOver
from people.models import PendingRow, SpentRow
from people.room import digest

TEN_MINUTES = timedelta(minutes=10)


def begin(session: Session, purpose: str, data: dict[str, Any], now: datetime, *, lasts: timedelta = TEN_MINUTES) -> str:
    """Keep ``data`` until :func:`end` is called with the ticket returned, which is shown this once."""
    session.execute(sa.delete(PendingRow).where(PendingRow.expires_at <= now))
    ticket = secrets.token_urlsafe(32)
    session.add(PendingRow(digest=digest(f"{purpose}:{ticket}"), purpose=purpose, data=data, expires_at=now + lasts))
    return ticket


def end(session: Session, purpose: str, ticket: str, now: datetime) -> dict[str, Any]:
    """What was kept under the ticket, which counts no more.

    :raises TicketOver: unknown, used already, or too old
    """
    taken = session.execute(
        sa.delete(PendingRow)
        .where(PendingRow.digest == digest(f"{purpose}:{ticket}"))
        .returning(PendingRow.data, PendingRow.expires_at)
    ).one_or_none()
    if taken is None or taken.expires_at <= now:
        raise TicketOver(
            "This took too long or was done already; open the page again and start over.",
            "操作已超时或已完成；请重新打开页面再操作。",
        )
    found: dict[str, Any] = taken.data
    return found


def spend(session: Session, what: str, until: datetime, now: datetime) -> bool:
    """Whether ``what`` is used for the first time; remembered until ``until``."""
    session.execute(sa.delete(SpentRow).where(SpentRow.expires_at <= now))
    key = digest(what)
    if session.get(SpentRow, key, with_for_update=True) is not None:
        return False
    session.add(SpentRow(digest=key, expires_at=until))
    session.flush()
    return True
